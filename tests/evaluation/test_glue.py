"""GLUE's figures, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transformers_mcl.evaluation.glue import GLUE_TASKS, classification_metrics, glue_metrics, regression_metrics

# 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
GIVEN = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
TRUE = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


def test_classes_by_hand() -> None:
    assert glue_metrics("sst2", GIVEN, TRUE) == {"accuracy": 0.7}
    assert glue_metrics("mrpc", GIVEN, TRUE) == pytest.approx({"accuracy": 0.7, "f1": 6 / 9})
    correlation = (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)
    assert glue_metrics("cola", GIVEN, TRUE) == pytest.approx({"matthews_correlation": correlation})


def test_scores_by_hand() -> None:
    given, true = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    found = glue_metrics("stsb", given, true)
    assert found == pytest.approx({"spearmanr": 0.8, "pearson": 0.8})  # 1 - 6 * 2 / (4 * 15)
    skewed = glue_metrics("stsb", np.exp(true), true)
    assert skewed["spearmanr"] == pytest.approx(1)
    assert skewed["pearson"] == pytest.approx(np.corrcoef(np.exp(true), true)[0, 1])


def test_what_is_constant_counts_as_nothing() -> None:
    assert glue_metrics("stsb", np.ones(4), np.arange(4.0)) == {"spearmanr": 0.0, "pearson": 0.0}
    assert glue_metrics("cola", np.ones(4, int), np.array([0, 1, 0, 1])) == {"matthews_correlation": 0.0}


def test_three_classes_are_averaged_and_a_score_has_an_error() -> None:
    found = classification_metrics([0, 1, 1], [0, 1, 2], classes=3)
    assert found == pytest.approx({"accuracy": 2 / 3, "f1": (1 + 2 / 3 + 0) / 3})
    assert regression_metrics([0.0, 1.0], [0.0, 3.0])["mse"] == 2


def test_nine_tasks_with_the_columns_of_the_hub() -> None:
    assert list(GLUE_TASKS) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    assert GLUE_TASKS["qqp"].columns == ("question1", "question2")
    assert GLUE_TASKS["rte"].labels == ("entailment", "not_entailment")
    assert GLUE_TASKS["wnli"].labels == ("not_entailment", "entailment")
