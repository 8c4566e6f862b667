"""transformers' Trainer for a task: it evaluates every row of every set, and knows which set that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from ..training.arguments import changed
from ..training.callbacks import CourseLinesCallback, CourseProgressCallback, show_lines
from ..training.resumable import ResumableTrainer
from .arguments import FinetuningArguments
from .task import LoadedTask

__all__ = ["TaskTrainer", "early_stopping"]

# What concerns training's batches only: of an evaluation all rows count, and predictions stand in their order.
_OF_EVALUATION: dict[str, Any] = {"dataloader_drop_last": False, "train_sampling_strategy": "random"}


def _mean_loss(task: LoadedTask, predictions: Any, references: Any, rows: Dataset) -> float | None:
    """The loss over all examples; None where it is not one of classes, scores or spans."""
    if isinstance(references, tuple) and len(references) == 2 and isinstance(predictions, tuple):
        return float(np.mean([_place_loss(*one, rows) for one in zip(predictions, references, strict=False)]))
    if not isinstance(predictions, np.ndarray) or not isinstance(references, np.ndarray):
        return None
    logits, labels = torch.from_numpy(predictions).float(), torch.from_numpy(references)
    if not task.classes:
        return mse_loss(logits.squeeze(-1), labels).item() if labels.is_floating_point() else None
    if labels.is_floating_point():
        return binary_cross_entropy_with_logits(logits, labels).item()
    if not (labels >= 0).any():
        return None
    return cross_entropy(logits.flatten(0, -2), labels.flatten()).item()


def _place_loss(logits: np.ndarray, places: np.ndarray, rows: Dataset) -> float:
    """Of one place in each row out of its own tokens, whatever a batch filled it up with."""
    found, lengths = torch.from_numpy(logits).float(), torch.tensor([len(ids) for ids in rows["input_ids"]])
    beyond = torch.arange(found.shape[1]) >= lengths[:, None]
    return cross_entropy(found.masked_fill(beyond, -torch.inf), torch.from_numpy(places)).item()


def early_stopping(args: FinetuningArguments) -> list[TrainerCallback]:
    """The callback that ends a run whose evaluations get no better, if it is asked for."""
    if args.early_stopping_patience is None:
        return []
    return [EarlyStoppingCallback(args.early_stopping_patience, args.early_stopping_threshold)]


# Of a log, what is not worth a line of 80 columns.
_NOT_SHOWN = ("epoch", "grad_norm", "learning_rate", "total_flos", "train_loss")


class TaskLinesCallback(CourseLinesCallback):
    """A line at each log: the loss, and of an evaluation the metrics."""

    @staticmethod
    def line(logs: Mapping[str, float]) -> str:
        shown = {name: value for name, value in logs.items() if name not in _NOT_SHOWN and isinstance(value, float)}
        speeds = ("runtime", "per_second")
        return "  ".join(
            f"{name.removeprefix('eval_')} {value:.3g}" for name, value in shown.items() if not name.endswith(speeds)
        )


class TaskProgressCallback(TaskLinesCallback, CourseProgressCallback):
    """The same above progress bars."""


class TaskTrainer(ResumableTrainer):
    """Trains and evaluates a model on a task.

    Args:
        task: what is measured.
        arguments: those of [`~transformers.Trainer`], without `compute_metrics`.
    """

    args: FinetuningArguments

    def __init__(self, task: LoadedTask, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        show_lines(self, TaskLinesCallback, TaskProgressCallback)
        self.task = task
        # The heads' losses are means over the batch, whatever number of examples the Trainer would tell them of.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """In training that of weighted classes, if they have weights; evaluations of all runs have the same."""
        if self.args.class_weights is None or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**inputs)
        logits = outputs["logits"].float().flatten(0, -2)
        labels = inputs["labels"].flatten()
        weights = torch.tensor(self.task.class_weights(self.args.class_weights), device=logits.device)
        smoothing = self.args.label_smoothing_factor
        # Not the mean of torch, whose divisor is the batch's sum of weights: it would take back those of rare classes.
        loss = cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)
        loss = loss / (labels >= 0).sum().clamp(min=1)
        return (loss, outputs) if return_outputs else loss

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        with changed(self.args, **_OF_EVALUATION):
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        with changed(self.args, **_OF_EVALUATION):
            return super().get_test_dataloader(test_dataset)

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """With the loss over all examples: a mean of batches' means depends on how these are made."""
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        name = f"{metric_key_prefix}_loss"
        if output.metrics and name in output.metrics:
            loss = _mean_loss(self.task, output.predictions, output.label_ids, dataloader.dataset)
            output.metrics[name] = output.metrics[name] if loss is None else loss
        return output

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        names = {self.task.set_name(split): split for split in self.task.validations}
        split = names.get(eval_dataset, self.task.validations[0]) if isinstance(eval_dataset, str) else None
        self.compute_metrics = lambda predicted: self.task.metrics(predicted, split)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
