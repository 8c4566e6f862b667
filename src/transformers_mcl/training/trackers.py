"""A panel for each course in TensorBoard, wandb and trackio, which group figures by the first part of their names."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback, WandbCallback

from ..method.metrics import COURSE_FIGURES
from ..models.configuration_mcl import COURSES

__all__ = ["group_by_course", "panel_name"]

# Where each figure of a course goes: its losses keep their own names, the others lose the course's.
_PLACES = {f"{course}_{figure}": f"{course}/{figure}" for course in COURSES for figure in COURSE_FIGURES}
_PLACES |= {f"{loss}_loss": f"{course}/{loss}_loss" for course, losses in COURSES.items() for loss in losses if loss}


def panel_name(name: str) -> str:
    """Where transformers' name for a logged figure is shown: held-out figures beside those of training.

    `train/rtd_disc_auc` becomes `rtd/disc_auc`, `eval/rtd_disc_auc` becomes `rtd/disc_auc_eval`; what belongs to no
    course stays where it is.
    """
    split, _, figure = name.partition("/")
    if figure not in _PLACES:
        return name
    return _PLACES[figure] if split == "train" else f"{_PLACES[figure]}_{split}"


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
