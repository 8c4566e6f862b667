"""`transformers-mcl pretrain`: from text to a pre-trained pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import DataArguments
from ..errors import UserError
from ..locks import claimed
from ..training.arguments import LENGTHS, MclTrainingArguments
from ..training.report import results_table
from ..training.run import ModelArguments, prepare, preset_path
from .arguments import ParsedArguments, parse_arguments
from .inspect import show
from .main import PROG

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
    if dry.dry_run:
        training_args.push_to_hub = False  # for which a repository would be made
        _run(parsed)
        return
    with claimed(training_args.output_dir, process_index=training_args.process_index):
        _run(parsed)


def _run(parsed: ParsedArguments) -> None:
    dry, model_args, data_args, training_args = parsed
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
    inspection = run.finish()
    if speaks:
        print(results_table(run.evaluation, run.baselines))
        if inspection is None:
            print("No held-out row has a token that is known, so there is no sentence to show")
        else:
            show(inspection)
        print(f"The pair, its tokenizer, model card and curves.png are in {training_args.output_dir}")


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
    preset = given.get("preset") or ("small" if given.get("train_file") or given.get("dataset_name") else "tiny")
    values = read(preset_path(preset))
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
