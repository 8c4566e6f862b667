"""Metrics of classes and of scores, those of GLUE's leaderboard among them, by the names that `evaluate` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_recall_fscore_support

__all__ = ["classification_metrics", "figures_by_class", "multilabel_metrics", "regression_metrics"]


def classification_metrics(predictions: Any, references: Any, classes: int) -> dict[str, float]:
    """Accuracy, F1 (of class 1 where there are two classes, else the mean), the mean of the F1 of all classes that the
    references have (`macro_f1`), and Matthews' correlation.

    Args:
        predictions: numbers of classes, `(examples,)`.
        references: the true ones, `(examples,)`.
        classes: how many there are.
    """
    # The mean is over the same classes whatever is predicted, and perfect answers have 1.
    macro = float(f1_score(references, predictions, labels=np.unique(references), average="macro", zero_division=0))
    two = classes == 2 and set(np.unique(np.concatenate([predictions, references]))) <= {0, 1}
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        "f1": float(f1_score(references, predictions, zero_division=0)) if two else macro,
        "macro_f1": macro,
        "matthews_correlation": float(matthews_corrcoef(references, predictions)),
    }


def multilabel_metrics(predictions: Any, references: Any) -> dict[str, float]:
    """F1 over all decisions (`micro_f1`), the mean of the F1 of the classes that the references have (`macro_f1`), and
    the share of examples whose classes are all right (`accuracy`).

    Args:
        predictions: 1 for a class that is given, else 0, `(examples, classes)`.
        references: the same of those that are true.
    """
    predictions, references = np.asarray(predictions), np.asarray(references)
    there = np.flatnonzero(references.any(0))
    given: Any = {"zero_division": 0}
    return {
        "micro_f1": float(f1_score(references, predictions, average="micro", **given)),
        "macro_f1": float(f1_score(references, predictions, average="macro", labels=there, **given))
        if len(there)
        else 0.0,
        "accuracy": float((predictions == references).all(1).mean()),
    }


def figures_by_class(predictions: Any, references: Any, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each class, and how many examples are of it (`support`).

    Args:
        predictions, references: as for `classification_metrics` or `multilabel_metrics`.
        names: of the classes.
    """
    figures = precision_recall_fscore_support(
        references, predictions, labels=range(len(names)), average=None, zero_division=0
    )
    kinds = ("precision", "recall", "f1", "support")
    return {
        name: dict(zip(kinds, map(float, row), strict=True))
        for name, row in zip(names, np.transpose(figures), strict=True)
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
