from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from transformers_mcl.probing import classifier
from transformers_mcl.probing.classifier import CHOSEN_FROM, check_folds, fit_classifier


def points(rows: int, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of two classes that lie apart in the first of ten directions."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 2, rows)
    features = draws.normal(size=(rows, 10)).astype(np.float32)
    features[:, 0] += signal * labels
    return features, labels


def test_it_is_logistic_regression_on_standardised_features() -> None:
    features, labels = points(200)
    scaled = (features - features.mean(0)) / features.std(0)
    plain = LogisticRegression(C=0.5, max_iter=1000).fit(scaled, labels)
    fitted = fit_classifier(features * 50 + 7, labels, 0.5, folds=5, seed=0)
    assert (fitted.C, fitted.converged) == (0.5, True)
    np.testing.assert_allclose(fitted.probabilities(features * 50 + 7, 2), plain.predict_proba(scaled), atol=1e-3)


def test_noise_is_regularised_more_than_signal() -> None:
    noise = fit_classifier(*points(60, signal=0.0), None, folds=3, seed=0)
    signal = fit_classifier(*points(2000, signal=4.0), None, folds=3, seed=0)
    assert noise.C == CHOSEN_FROM[0] < signal.C
    assert fit_classifier(*points(2000, signal=4.0), None, folds=3, seed=0).C == signal.C


def test_c_is_chosen_on_a_sample_and_all_rows_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = points(300)
    monkeypatch.setattr(classifier, "MOST_ROWS", 100)
    few = fit_classifier(features, labels, None, folds=3, seed=1)
    whole = fit_classifier(features, labels, few.C, folds=3, seed=1)
    np.testing.assert_array_equal(few.probabilities(features, 2), whole.probabilities(features, 2))
    assert len(set(classifier._sample(labels, 1))) == 100
    assert (classifier._sample(labels, 1) != classifier._sample(labels, 2)).any()


def test_classes_that_are_rare_or_not_there() -> None:
    features, labels = points(50)
    found = fit_classifier(features, labels * 2, 1.0, folds=2, seed=0).probabilities(features, 3)
    assert (found[:, 1] == 0).all() and np.allclose(found.sum(1), 1)
    labels[:] = 0
    labels[:2] = 1
    assert check_folds(labels, 3, seed=0) == 1
    assert check_folds(labels, 2, seed=0) is None
