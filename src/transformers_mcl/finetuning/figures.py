"""The names of figures: the Trainer's, which begin with the name of a validation set, and ours, which end in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import UserError
from .arguments import MAIN_METRIC
from .task import LoadedTask

__all__ = ["best_result", "diverged", "evaluation_figures", "trainer_metric", "trainer_name"]


def evaluation_figures(evaluated: Mapping[str, Any], task: LoadedTask) -> dict[str, float]:
    """The finite figures of an evaluation, the main ones first and the losses last: from the Trainer's names, of
    several validation sets `eval_mismatched_accuracy`, to the task's, `accuracy_mm`."""
    figures = {}
    for split in task.validations:
        prefix = f"eval_{_set_prefix(task, split)}"
        for name in evaluated:
            plain = name.removeprefix(prefix)
            timing = plain.endswith(("runtime", "per_second", "_time"))
            if not name.startswith(prefix) or timing or not math.isfinite(value := evaluated[name]):
                continue
            figures[plain + task.suffix(split)] = value if isinstance(value, int) else float(value)
    first = [task.main_metric + task.suffix(split) for split in task.validations]
    return {name: figures[name] for name in sorted(figures, key=lambda n: (n not in first, "loss" in n))}


def trainer_metric(task: LoadedTask, asked: str) -> str:
    """The Trainer's name of a figure that was asked for as `accuracy`, `eval_accuracy`, `accuracy_mm` or `main`.

    Raises:
        UserError: the task has none of this name.
    """
    name = task.main_metric if asked == MAIN_METRIC else asked.removeprefix("eval_")
    known = (*task.metric_names, "loss")
    for split in task.validations:
        for metric in known:
            theirs = trainer_name(task, metric, split)
            if name in (metric + task.suffix(split), theirs):
                return theirs
    raise UserError(f"metric_for_best_model={asked!r} is none of {task.name}: give one of {', '.join(known)}")


def trainer_name(task: LoadedTask, metric: str, split: str | None = None) -> str:
    """What the Trainer calls a figure of a validation set, the main one if none is named."""
    return _set_prefix(task, split or next(iter(task.validations), "")) + metric


def _set_prefix(task: LoadedTask, split: str) -> str:
    """The Trainer puts a set's name before its figures, where there are several."""
    return f"{task.set_name(split)}_" if len(task.validations) > 1 else ""


def diverged(model: PreTrainedModel, evaluated: Mapping[str, Any]) -> bool:
    """Whether a model has a weight that is not finite, or its evaluation a loss that is not."""
    losses = [value for name, value in evaluated.items() if name.endswith("loss")]
    finite = all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    return not finite or not all(map(math.isfinite, losses))


def best_result(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of one task's results the one with the highest main figure, the first of equals; None if all diverged."""
    finite = [result for result in results if not result.get("diverged")]
    return max(finite, key=lambda r: float(r["metrics"].get(r["main_metric"], -math.inf)), default=None)
