"""Figures of classes and scores, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transformers_mcl.evaluation.metrics import classification_metrics, multilabel_metrics, regression_metrics

# 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
GIVEN = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
TRUE = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


def test_classes_by_hand() -> None:
    correlation = (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)
    wanted = {"accuracy": 0.7, "f1": 6 / 9, "macro_f1": (6 / 9 + 8 / 11) / 2, "matthews_correlation": correlation}
    assert classification_metrics(GIVEN, TRUE, classes=2) == pytest.approx(wanted)


def test_scores_by_hand() -> None:
    given, true = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    found = regression_metrics(given, true)
    assert found == pytest.approx({"spearmanr": 0.8, "pearson": 0.8, "mse": 0.5})  # 1 - 6 * 2 / (4 * 15)
    skewed = regression_metrics(np.exp(true), true)
    assert skewed["spearmanr"] == pytest.approx(1)
    assert skewed["pearson"] == pytest.approx(np.corrcoef(np.exp(true), true)[0, 1])


def test_what_is_constant_counts_as_nothing() -> None:
    found = regression_metrics(np.ones(4), np.arange(4.0))
    assert (found["spearmanr"], found["pearson"]) == (0, 0)
    assert classification_metrics(np.ones(4, int), np.array([0, 1, 0, 1]), 2)["matthews_correlation"] == 0


def test_three_classes_are_averaged_and_a_score_has_an_error() -> None:
    found = classification_metrics([0, 1, 1], [0, 1, 2], classes=3)
    mean = (1 + 2 / 3 + 0) / 3
    wanted = {"accuracy": 2 / 3, "f1": mean, "macro_f1": mean, "matthews_correlation": 3 / math.sqrt(4 * 6)}
    assert found == pytest.approx(wanted)
    assert regression_metrics([0.0, 1.0], [0.0, 3.0])["mse"] == 2


def test_means_are_over_the_classes_of_the_references() -> None:
    """Not over those that are predicted, which change, nor over those that nothing is of: perfect answers have 1."""
    assert classification_metrics([0, 1, 1], [0, 1, 1], classes=5)["f1"] == 1
    assert classification_metrics([3, 1, 1], [0, 1, 1], classes=5)["f1"] == 0.5
    nothing = multilabel_metrics(np.zeros((2, 3), int), np.zeros((2, 3), int))
    assert nothing == {"micro_f1": 0, "macro_f1": 0, "accuracy": 1}
    perfect = multilabel_metrics([[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]])
    assert perfect == {"micro_f1": 1, "macro_f1": 1, "accuracy": 1}
