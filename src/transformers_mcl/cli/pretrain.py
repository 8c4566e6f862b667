"""`transformers-mcl pretrain`: from text to a pre-trained pair."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import DataArguments
from ..data.shipped import SHIPPED_PAIR, shipped_figures
from ..errors import UserError
from ..io import printable
from ..locks import claimed
from ..training.arguments import LENGTHS, MclTrainingArguments
from ..training.report import comparison_table, results_table
from ..training.run import ModelArguments, PretrainingRun, prepare, preset_path
from .arguments import ParsedArguments, parse_arguments
from .main import PROG
from .terminal import hidden_bars

_DESCRIPTION = "Pre-train a generator and a discriminator on text; with no text given, on that inside the package."


@dataclass
class DryRun:
    """Whether to train at all."""

    dry_run: bool = field(
        default=False,
        metadata={"help": "Print the plan of the run, with the speed of a few steps that are tried; train nothing."},
    )


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl pretrain --help`."""
    parsed = arguments_of(argv, "pretrain", _DESCRIPTION, DryRun)
    dry, _, _, training_args = parsed
    claim: AbstractContextManager[Any] = claimed(training_args.output_dir, process_index=training_args.process_index)
    if dry.dry_run:
        claim = nullcontext()
        training_args.push_to_hub = training_args.push_revisions = False  # for which a repository would be made
    with hidden_bars(bool(training_args.disable_tqdm)), claim:
        _run(parsed)


def _run(parsed: ParsedArguments) -> None:
    dry, model_args, data_args, training_args = parsed
    demo = not (data_args.train_file or data_args.dataset_name)
    run = prepare(model_args, data_args, training_args, parsed.recipe)
    speaks = run.trainer.is_world_process_zero()
    measured = run.measure() if dry.dry_run else None
    if speaks:
        print(run.plan(), flush=True)
    if dry.dry_run:
        if speaks and measured is None:
            print("  time       not measured: what FSDP or DeepSpeed shards could not be trained after it was tried")
        return
    run.train()
    run.finish()
    if speaks:
        print(_results(run, demo))


def _results(run: PretrainingRun, demo: bool) -> str:
    """What was learnt, with `demo` beside what the pair inside the package knows, and what to do next."""
    lines = ["", results_table(run.evaluation, run.baselines), ""]
    if demo and any(name.endswith("disc_auc") for name in run.evaluation):
        lines += [
            f"Beside it {SHIPPED_PAIR}, the pair inside the package, trained for longer on more",
            "text, of which other documents were held out:",
            comparison_table({"this run": run.evaluation, SHIPPED_PAIR: shipped_figures()}),
            "",
        ]
    folder = run.trainer.args.output_dir
    text = printable(run.held_out_text or "A sentence of your own.", sys.stdout.encoding or "utf-8")
    look = ("inspect", "--model_name_or_path", folder, "--text", text)
    # CoLA is English, as the demo is: of a text in any language there are only the user's own labels.
    task = "--task_name cola" if demo else "--train_file train.csv --validation_file test.csv"
    tune = ("finetune", "--model_name_or_path", folder, *task.split(), "--learning_rate", "3e-4")
    tune += ("--output_dir", "my-cola" if demo else "my-classifier")
    return "\n".join(
        [
            *lines,
            f"The pair, its tokenizer, model card and curves.png are in {folder}",
            *(f"Next: {shlex.join([PROG, *map(str, words)])}" for words in (look, tune)),
        ]
    )


Underlay = Callable[[Mapping[str, Any], Callable[[Path], dict[str, Any]]], dict[str, Any]]


def arguments_of(
    argv: Sequence[str], command: str, description: str, kind: type, underlay: Underlay | None = None
) -> ParsedArguments:
    """What is given to a command: its own arguments, which are of this `kind`, and those of pre-training.

    Args:
        underlay: as that of `parse_arguments`; `proposing` by default.
    """
    return parse_arguments(
        (kind, ModelArguments, DataArguments, MclTrainingArguments),
        argv,
        prog=f"{PROG} {command}",
        description=f"{description} The defaults shown are the values that the arguments beside --help lead to.",
        underlay=underlay or proposing,
    )


def preset_arguments(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The training arguments that go with a preset, under those that were given; an underlay of `parse_arguments`."""
    if given.get("model_name_or_path") or given.get("discriminator_name_or_path"):
        return {}
    preset, text = given.get("preset"), given.get("train_file") or given.get("dataset_name")
    values = read(preset_path(preset or ("small" if text else "tiny")))
    if not (preset or text or given.get("backbone")):
        values |= read(preset_path("demo"))
    if lengths_in(given):
        values.pop("max_steps", None)
    return values


def lengths_in(given: Mapping[str, Any]) -> list[str]:
    """Which arguments say how long the run is; `--max_steps -1` takes back what a file says.

    Raises:
        UserError: more than one does.
    """
    names = [name for name in LENGTHS if given.get(name, -1) not in (-1, None)]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)} both say how long the run is: give one of them")
    return names


def proposing(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """As `preset_arguments`, but that a preset's steps are the most that are proposed."""
    values = preset_arguments(given, read)
    if "max_steps" in values:
        values["up_to_steps"] = values.pop("max_steps")
    return values
