"""What is seen of a run in a notebook; it imports IPython, and nothing else imports it."""

from __future__ import annotations

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.utils.notebook import NotebookProgressCallback, NotebookTrainingTracker

from .callbacks import main_figures

__all__ = ["CourseNotebookCallback"]


class CourseNotebookCallback(NotebookProgressCallback):
    """A table of the main figures, a row for each log and each evaluation, under a bar with the time left and the
    speed."""

    training_tracker: Any  # none outside of training

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **kwargs: Any) -> None:
        self.training_tracker = NotebookTrainingTracker(state.max_steps)
        self._speed: str | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_: Any, **kwargs: Any) -> None:
        self.training_tracker.update(state.global_step, self._force_next_update, self._speed)
        self._force_next_update = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        figures = main_figures(logs or {})
        if self.training_tracker is None or not figures or logs is None:
            return
        if speed := logs.get("tokens_per_second"):
            self._speed = f"{speed:,.0f} tokens/s"
        held_out = ", held out" * ("eval_loss" in logs)
        known = dict.fromkeys((self.training_tracker.inner_table or [[]])[0], "")  # courses may begin later, or end
        self.training_tracker.write_line(known | {"step": f"{state.global_step:,}{held_out}"} | figures)
        self._force_next_update = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        self.prediction_bar = None
        if self.training_tracker is not None:
            self.training_tracker.remove_child()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_: Any, **kwargs: Any) -> None:
        self.training_tracker.update(state.global_step, True, self._speed)
        self.training_tracker = None
