"""The nine tasks of GLUE, as the data set `glue` of the Hub has them, with the metrics of its leaderboard.

The first metric of each is the one that stands for it in averages (that of ELECTRA's tables).
"""

from __future__ import annotations

from typing import Any

from .sequence_task import SequenceTask
from .task import Task, register_task

__all__ = ["GLUE_AVERAGE"]

GLUE_AVERAGE = ("mnli", "qqp", "qnli", "sst2", "cola", "rte", "mrpc", "stsb")
"""The tasks that papers average: WNLI is left out."""


def _register(name: str, *text_columns: str, metric_names: tuple[str, ...] = ("accuracy",), **rest: Any) -> None:
    where: dict[str, Any] = {"dataset_name": "nyu-mll/glue", "dataset_config_name": name, "group": "glue"}
    register_task(Task(name, SequenceTask, text_columns=text_columns, metric_names=metric_names, **where, **rest))


_register("cola", "sentence", classes=("unacceptable", "acceptable"), metric_names=("matthews_correlation",))
_register("sst2", "sentence", classes=("negative", "positive"))
_register("mrpc", "sentence1", "sentence2", classes=("not_equivalent", "equivalent"), metric_names=("accuracy", "f1"))
_register("stsb", "sentence1", "sentence2", score_range=(0, 5), metric_names=("spearmanr", "pearson"))
_register("qqp", "question1", "question2", classes=("not_duplicate", "duplicate"), metric_names=("accuracy", "f1"))
_register(
    "mnli",
    "premise",
    "hypothesis",
    classes=("entailment", "neutral", "contradiction"),
    validations={"validation_matched": "", "validation_mismatched": "_mm"},
)
_register("qnli", "question", "sentence", classes=("entailment", "not_entailment"))
_register("rte", "sentence1", "sentence2", classes=("entailment", "not_entailment"))
_register("wnli", "sentence1", "sentence2", classes=("not_entailment", "entailment"))
