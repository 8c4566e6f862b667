"""``transformers-mcl evaluate``: benchmarks that need no fine-tuning."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from accelerate import PartialState

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import COMMANDS, PROG
from transformers_mcl.evaluation.blimp import MinimalPairsArguments, evaluate_minimal_pairs
from transformers_mcl.evaluation.pairs import PairsArguments


@dataclass
class TaskArguments:
    """Which benchmark."""

    task: Literal["blimp"] = field(metadata={"help": "blimp: which of two sentences is acceptable, BLiMP's or yours."})


def run(argv: list[str]) -> None:
    """Evaluate a model and print its results; `argv` is what follows ``transformers-mcl evaluate``."""
    kinds = (TaskArguments, MinimalPairsArguments, PairsArguments)
    _, args, pairs_args = parse_arguments(kinds, argv, prog=f"{PROG} evaluate", description=COMMANDS["evaluate"])
    evaluate_minimal_pairs(args, pairs_args, report=lambda line: print(line, file=sys.stderr, flush=True))
    if PartialState().is_main_process:
        print(Path(args.output_dir, "results.md").read_text(encoding="utf-8"))
        print(f"results.json, results.md, results.png and scores.jsonl are in {args.output_dir}")
