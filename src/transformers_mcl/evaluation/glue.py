"""The nine tasks of GLUE, as the data set `glue` of the Hub has them, and the metrics of its leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

__all__ = ["GLUE_TASKS", "GlueTask", "classification_metrics", "glue_metrics", "regression_metrics"]

_ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTask:
    """One task: its text columns, the names of its classes (none: a score) and its official metrics, the first of
    which stands for it in averages (that of ELECTRA's tables)."""

    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    validations: tuple[str, ...] = ("validation",)


GLUE_TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",)),
    "sst2": GlueTask(("sentence",), ("negative", "positive")),
    "mrpc": GlueTask(("sentence1", "sentence2"), ("not_equivalent", "equivalent"), ("accuracy", "f1")),
    "stsb": GlueTask(("sentence1", "sentence2"), metrics=("spearmanr", "pearson")),
    "qqp": GlueTask(("question1", "question2"), ("not_duplicate", "duplicate"), ("accuracy", "f1")),
    "mnli": GlueTask(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        validations=("validation_matched", "validation_mismatched"),
    ),
    "qnli": GlueTask(("question", "sentence"), _ENTAILMENT),
    "rte": GlueTask(("sentence1", "sentence2"), _ENTAILMENT),
    "wnli": GlueTask(("sentence1", "sentence2"), ("not_entailment", "entailment")),
}


def glue_metrics(task: str, predictions: Any, references: Any) -> dict[str, float]:
    """The official metrics of a task, in [-1, 1], by the names that `evaluate`'s `glue` gives them.

    Args:
        predictions: classes or, for STS-B, scores, `(examples,)`.
        references: the true ones, `(examples,)`.
    """
    if not GLUE_TASKS[task].labels:
        found = regression_metrics(predictions, references)
    else:
        found = classification_metrics(predictions, references, classes=2)
        found["matthews_correlation"] = float(matthews_corrcoef(references, predictions))
    return {name: found[name] for name in GLUE_TASKS[task].metrics}


def classification_metrics(predictions: Any, references: Any, classes: int) -> dict[str, float]:
    """Accuracy, and F1: of class 1 where there are two classes, else the mean over all."""
    accuracy = float(accuracy_score(references, predictions))
    if classes == 2 and set(np.unique(np.concatenate([predictions, references]))) <= {0, 1}:
        return {"accuracy": accuracy, "f1": float(f1_score(references, predictions, zero_division=0))}
    return {
        "accuracy": accuracy,
        "f1": float(f1_score(references, predictions, labels=range(classes), average="macro", zero_division=0)),
    }


def regression_metrics(predictions: Any, references: Any) -> dict[str, float]:
    """Spearman's and Pearson's correlation, and the mean squared error.

    A correlation with a constant is not defined; it is 0 here, as scikit-learn's Matthews correlation is, so that a
    run that learnt nothing has a place in a median; so it is with scores that are not finite, of one that diverged.
    """
    predictions, references = np.asarray(predictions, float), np.asarray(references, float)
    constant = len(references) < 2 or np.ptp(predictions) == 0 or np.ptp(references) == 0
    constant |= not np.isfinite(predictions).all()
    return {
        "spearmanr": 0.0 if constant else float(spearmanr(predictions, references).statistic),
        "pearson": 0.0 if constant else float(pearsonr(predictions, references).statistic),
        "mse": float(np.mean((predictions - references) ** 2)),
    }
