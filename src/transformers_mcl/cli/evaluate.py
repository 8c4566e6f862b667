"""``transformers-mcl evaluate``: benchmarks that need no fine-tuning."""

from __future__ import annotations

import sys
from pathlib import Path

from accelerate import PartialState

from .. import probing  # noqa: F401  (it registers an evaluation)
from ..evaluation import EvaluationArguments, evaluate, find_evaluation
from .arguments import given_value, parse_arguments
from .main import COMMANDS, PROG


def run(argv: list[str]) -> None:
    """Evaluate a model and print its results; `argv` is what follows ``transformers-mcl evaluate``."""
    kinds = evaluation_kinds(given_value("task", argv))
    args, *own = parse_arguments(kinds, argv, prog=f"{PROG} evaluate", description=COMMANDS["evaluate"])
    evaluate(args, *own, say=lambda line: print(line, file=sys.stderr, flush=True))
    if PartialState().is_main_process:
        print(Path(args.output_dir, "results.md").read_text(encoding="utf-8"))
        print(f"This is results.md; results.json and all else that was written is beside it, in {args.output_dir}")


def evaluation_kinds(task: str | None) -> tuple[type, ...]:
    """The dataclasses of the arguments of `evaluate --task`; those of blimp if no task is said, as in ``--help``.

    Raises:
        UserError: there is no such evaluation.
    """
    return (EvaluationArguments, *find_evaluation(task or "blimp").arguments)
