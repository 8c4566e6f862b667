"""The runs of a command: each task, at each point of a grid of training arguments, with each seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..io import one_line
from ..training.checkpoints import checkpoint_to_resume
from .arguments import EncoderArguments, FinetuningArguments, TaskArguments
from .figures import trainer_metric
from .task import LoadedTask

__all__ = ["Run", "checkpoint_of", "plan_runs", "run_arguments"]

_LAST = re.compile("true|auto", re.IGNORECASE)  # of resume_from_checkpoint, which is text: each run's own last one


@dataclass(frozen=True)
class Run:
    """One training: a task, a seed, a point of the grid, and where it goes."""

    task: str
    seed: int
    settings: Mapping[str, Any]
    folder: Path

    def __str__(self) -> str:
        return ", ".join(
            [self.task, *(f"{name} {value}" for name, value in self.settings.items()), f"seed {self.seed}"]
        )


def plan_runs(encoder: EncoderArguments, task_args: TaskArguments, args: FinetuningArguments) -> list[Run]:
    """All runs: by task, then by point of the grid, then by seed.

    Raises:
        UserError: a grid of what is no training argument, or of values that it cannot have; a checkpoint of one run
            to go on from, or models to push that are not kept.
    """
    grid = encoder.sweep or {}
    if encoder.sweep == {}:
        raise UserError("sweep={}: name training arguments, each with a list of values, or leave it out")
    _check_grid(grid)
    if (last := args.seed + encoder.num_seeds - 1) >= 2**32:
        raise UserError(f"num_seeds={encoder.num_seeds} from seed={args.seed} on: {last} is beyond 2**32 - 1")
    points = [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*(list(dict.fromkeys(values)) for values in grid.values()))
    ]
    for point in points:
        run_arguments(args, point)
    seeds = [args.seed + i for i in range(encoder.num_seeds)]
    folder, runs = Path(str(args.output_dir)), []
    single = len(task_args.task_name) * len(points) * len(seeds) == 1
    for task, point, seed in itertools.product(task_args.task_name, points, seeds):
        slug = ",".join(f"{name}={value}" for name, value in point.items()).replace("/", "_")
        runs.append(Run(task, seed, point, folder if single else folder / task / slug / f"seed-{seed}"))
    if not single and args.resume_from_checkpoint and not _LAST.fullmatch(str(args.resume_from_checkpoint)):
        raise UserError(
            f"resume_from_checkpoint={args.resume_from_checkpoint!r} is of one run, and these are {len(runs)}: give "
            "true, and each goes on with its own last checkpoint"
        )
    if args.push_to_hub and encoder.save_models is False:
        raise UserError("push_to_hub beside --save_models false: there would be no model to push")
    return runs


def _check_grid(grid: Mapping[str, Any]) -> None:
    known = {f.name: f.default for f in fields(FinetuningArguments) if f.name not in ("output_dir", "seed")}
    for name, values in grid.items():
        if name not in known:
            raise UserError(f"sweep: {name!r} is no training argument that can be swept")
        if not isinstance(values, list) or not values:
            raise UserError(f"sweep: {name} must be a list of values, not {values!r}")
        for value in values:
            if not _is_like(value, known[name]):
                raise UserError(f"sweep: {name} cannot be {value!r}: its default is {known[name]!r}")


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value may stand where `default` does."""
    if isinstance(default, bool) or not isinstance(default, int | float):
        return isinstance(value, bool) == isinstance(default, bool) or default is None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (isinstance(default, float) or float(value).is_integer())


def run_arguments(
    args: FinetuningArguments, settings: Mapping[str, Any], task: LoadedTask | None = None, **more: Any
) -> FinetuningArguments:
    """The arguments of one run: of a point of the grid, with the metric that chooses among its checkpoints.

    Raises:
        UserError: they refuse these settings, or the task has no such metric.
    """
    more["push_to_hub"] = False  # what goes to the Hub is chosen when all runs are done
    if task is not None and not task.validations:
        more |= {"do_eval": False, "eval_strategy": "no"}
    if task is not None and task.validations and args.metric_for_best_model is not None:
        more["metric_for_best_model"] = trainer_metric(task, args.metric_for_best_model)
    try:
        return replace(args, **{**settings, **more})
    except (ValueError, TypeError) as error:
        raise UserError(f"sweep: {dict(settings)} is refused: {one_line(error)}") from error


def checkpoint_of(args: FinetuningArguments) -> str | None:
    """The checkpoint that a run goes on from: the one named, or the last whole one of its folder.

    Raises:
        UserError: it is damaged, or none.
    """
    path = args.resume_from_checkpoint
    return checkpoint_to_resume("auto" if _LAST.fullmatch(str(path)) else path, str(args.output_dir))
