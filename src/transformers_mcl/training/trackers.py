"""A panel for each course in TensorBoard, wandb and trackio, which group figures by the first part of their names."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback, WandbCallback

from ..method.courses import COURSES
from ..method.metrics import COURSE_FIGURES

__all__ = ["group_by_course", "panel_name"]


def panel_name(name: str) -> str:
    """Where transformers' name for a logged figure is shown: held-out figures beside those of training.

    `train/rtd_disc_auc` becomes `rtd/disc_auc`, `eval/rtd_disc_auc` becomes `rtd/disc_auc_eval`; losses keep their own
    names, and what belongs to no course stays where it is.
    """
    split, _, figure = name.partition("/")
    for course in COURSES.values():
        own = {f"{course.name}_{shown}": shown for shown in COURSE_FIGURES}
        own |= {f"{loss.name}_loss": f"{loss.name}_loss" for loss in course.losses}
        if figure in own:
            return f"{course.name}/{own[figure]}" + ("" if split == "train" else f"_{split}")
    return name


class _Regrouped:
    """A tracker that shows figures where `panel_name` says; all else is the tracker's own."""

    def __init__(self, tracker: Any):
        self._tracker = tracker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)

    def add_scalar(self, tag: str, *args: Any, **kwargs: Any) -> None:
        """TensorBoard's."""
        self._tracker.add_scalar(panel_name(tag), *args, **kwargs)

    def log(self, figures: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Wandb's and trackio's."""
        self._tracker.log({panel_name(name): value for name, value in figures.items()}, *args, **kwargs)


def group_by_course(callback: TrainerCallback) -> None:
    """Makes `callback` show a panel a course, if it is transformers' for TensorBoard, wandb or trackio."""
    if isinstance(callback, TensorBoardCallback):
        new_writer: Any = callback._SummaryWriter
        callback._SummaryWriter = lambda **kwargs: _Regrouped(new_writer(**kwargs))  # type: ignore[assignment]
        callback.tb_writer = callback.tb_writer and _Regrouped(callback.tb_writer)
    elif isinstance(callback, WandbCallback):
        callback._wandb = _Regrouped(callback._wandb)
    elif isinstance(callback, TrackioCallback):
        callback._trackio = _Regrouped(callback._trackio)
