"""The tasks that come with the package: GLUE's, SQuAD's, and those whose examples are the user's own."""

from __future__ import annotations

import math
from typing import Any

from .question_answering_task import QuestionAnsweringTask
from .sequence_task import SequenceTask
from .task import Submission, Task, find_task, register_task
from .token_task import TokenTask

__all__ = ["GLUE_AVERAGE"]

GLUE_AVERAGE = ("mnli", "qqp", "qnli", "sst2", "cola", "rte", "mrpc", "stsb")
"""The tasks that papers average: WNLI is left out."""


_NUMBERED = ("CoLA", "SST-2", "MRPC", "QQP", "WNLI")  # those whose classes are numbers on the leaderboard


def _glue(
    name: str,
    *text_columns: str,
    submission: str,
    metric_names: tuple[str, ...] = ("accuracy",),
    **rest: Any,
) -> None:
    """A task of the data set `glue` of the Hub, with the metrics of its leaderboard, whose files for it are called
    `submission`; the first metric stands for it in averages, as in ELECTRA's tables."""
    both = {"test_matched": f"{submission}-m.tsv", "test_mismatched": f"{submission}-mm.tsv"}
    files = both if name == "mnli" else {"test": f"{submission}.tsv"}
    rest["submission"] = Submission(files, numbers=submission in _NUMBERED)
    where: dict[str, Any] = {"dataset_name": "nyu-mll/glue", "dataset_config_name": name, "group": "glue"}
    register_task(Task(name, SequenceTask, text_columns=text_columns, metric_names=metric_names, **where, **rest))


_glue(
    "cola",
    "sentence",
    submission="CoLA",
    classes=("unacceptable", "acceptable"),
    metric_names=("matthews_correlation",),
)
_glue("sst2", "sentence", submission="SST-2", classes=("negative", "positive"))
_glue(
    "mrpc",
    "sentence1",
    "sentence2",
    submission="MRPC",
    classes=("not_equivalent", "equivalent"),
    metric_names=("accuracy", "f1"),
)
_glue("stsb", "sentence1", "sentence2", submission="STS-B", score_range=(0, 5), metric_names=("spearmanr", "pearson"))
_glue(
    "qqp",
    "question1",
    "question2",
    submission="QQP",
    classes=("not_duplicate", "duplicate"),
    metric_names=("accuracy", "f1"),
)
_glue(
    "mnli",
    "premise",
    "hypothesis",
    submission="MNLI",
    classes=("entailment", "neutral", "contradiction"),
    validations={"validation_matched": "", "validation_mismatched": "_mm"},
)
_glue("qnli", "question", "sentence", submission="QNLI", classes=("entailment", "not_entailment"))
_glue("rte", "sentence1", "sentence2", submission="RTE", classes=("entailment", "not_entailment"))
_glue("wnli", "sentence1", "sentence2", submission="WNLI", classes=("not_entailment", "entailment"))


def _ten_thousand(name: str) -> None:
    """The 10,000 rows of a task of GLUE that the BabyLM challenge of 2025 trains on, and its one validation set."""
    source = find_task(name)
    files = f"{name}.train.jsonl and {name}.valid.jsonl in glue_filtered of BabyLM's evaluation data (osf.io/ryjfm)"
    what: dict[str, Any] = {"text_columns": source.text_columns, "classes": source.classes}
    what |= {"metric_names": source.metric_names, "folder": name, "files_from": files, "max_train_samples": 10_000}
    register_task(Task(f"{name}_10k", SequenceTask, **what))


_ten_thousand("mnli")
_ten_thousand("qqp")

# The examples of these say all there is to know: columns, labels, and so the metrics.
register_task(Task("text_classification", SequenceTask))
register_task(Task("regression", SequenceTask, score_range=(-math.inf, math.inf)))
register_task(Task("token_classification", TokenTask))
register_task(Task("question_answering", QuestionAnsweringTask))

register_task(Task("squad", QuestionAnsweringTask, dataset_name="rajpurkar/squad"))
register_task(Task("squad_v2", QuestionAnsweringTask, dataset_name="rajpurkar/squad_v2", some_unanswered=True))
