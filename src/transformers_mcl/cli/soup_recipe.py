"""`transformers-mcl soup --recipe FILE`: the paper's fourteen ingredients and MCL, and their soups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from ..data import DataArguments
from ..soups.recipe import RecipeArguments, prepare_course_soups
from ..training.arguments import MclTrainingArguments
from ..training.model_arguments import ModelArguments
from .arguments import parse_arguments
from .pretrain import preset_arguments

__all__ = ["run"]

_DESCRIPTION = "Train a pair for every mixture of the corrections, average their weights, and compare them all."


def run(argv: list[str]) -> None:
    """Runs the recipe; `argv` is what follows ``transformers-mcl soup``, ``--recipe FILE`` among it."""
    preset: dict[str, Any] = {}

    def underlay(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        preset.update(preset_arguments(given, read))
        return preset

    parsed = parse_arguments(
        (RecipeArguments, ModelArguments, DataArguments, MclTrainingArguments),
        ["--config" + word.removeprefix("--recipe") if word.split("=")[0] == "--recipe" else word for word in argv],
        prog="transformers-mcl soup --recipe FILE",
        description=_DESCRIPTION,
        underlay=underlay,
    )
    args, model_args, data_args, training_args = parsed
    own = {field.name for field in fields(RecipeArguments)}
    given = preset | {name: value for name, value in yaml.safe_load(parsed.recipe).items() if name not in own}

    def say(line: str) -> None:
        print(line, flush=True)

    soups = prepare_course_soups(args, model_args, data_args, training_args, given)
    say(soups.plan)
    soups.train(say)
    if args.train_only:
        say(f"The ingredients are in {soups.folder / 'ingredients'}; the same command without --train_only mixes them")
        return
    from ..soups.recipe_results import finish

    say(f"\n{finish(soups, say)}\nThis table, results.json and results.png are in {soups.folder}")
