"""`transformers-mcl pretrain`: from text to a pre-trained pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data import DataArguments
from ..training.arguments import MclTrainingArguments
from ..training.report import results_table
from ..training.run import ModelArguments, prepare, preset_path
from .arguments import parse_arguments
from .inspect import show

_DESCRIPTION = "Pre-train a generator and a discriminator on text; with no text given, on that inside the package."


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl pretrain --help`."""
    parsed = parse_arguments(
        (ModelArguments, DataArguments, MclTrainingArguments),
        argv,
        prog="transformers-mcl pretrain",
        description=_DESCRIPTION,
        underlay=preset_arguments,
    )
    model_args, data_args, training_args = parsed
    run = prepare(model_args, data_args, training_args, parsed.recipe)
    speaks = run.trainer.is_world_process_zero()
    if speaks:
        print(run.plan(), flush=True)
    run.train()
    inspection = run.finish()
    if speaks:
        print(results_table(run.evaluation, run.baselines))
        show(inspection)
        print(f"The pair, its tokenizer, model card and curves.png are in {training_args.output_dir}")


def preset_arguments(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """The training arguments that go with a preset, under those that were given; an underlay of `parse_arguments`."""
    if given.get("model_name_or_path") or given.get("discriminator_name_or_path"):
        return {}
    preset = given.get("preset") or ("small" if given.get("train_file") or given.get("dataset_name") else "tiny")
    values = read(preset_path(preset))
    if "num_train_epochs" in given:
        values.pop("max_steps", None)
    return values
