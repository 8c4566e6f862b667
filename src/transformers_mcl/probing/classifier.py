"""Logistic regression on standardised features, its regularisation given or found by cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .features import Features

__all__ = ["CHOSEN_FROM", "MOST_ROWS", "Classifier", "check_folds", "fit_classifier"]

CHOSEN_FROM = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""The C's that cross-validation tries."""

MOST_ROWS = 10_000
"""Training rows on which it does; of more, a sample. C is the prior's variance, which is of no number of rows."""

_MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier.

    Attributes:
        C: the inverse strength of its regularisation, as scikit-learn has it.
        converged: whether the solver came to an end.
    """

    pipeline: Pipeline
    C: float
    converged: bool

    def probabilities(self, features: Features, classes: int) -> NDArray[np.float64]:
        """`(rows, classes)`; 0 of a class that no training row has."""
        found = np.zeros((len(features), classes))
        found[:, self.pipeline.classes_] = self.pipeline.predict_proba(features)
        return found


def fit_classifier(
    features: Features, labels: NDArray[np.int64], C: float | None, folds: int, seed: int
) -> Classifier:
    """Fits all rows; without `C`, with that whose log loss in `folds`-fold cross-validation is the lowest."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if C is None:
            rows = _sample(labels, seed)
            split = StratifiedKFold(folds, shuffle=True, random_state=seed)
            grid: Any = {"logisticregression__C": CHOSEN_FROM}
            search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=split, refit=False)
            C = float(search.fit(features[rows], labels[rows]).best_params_["logisticregression__C"])
        fitted = pipeline.set_params(logisticregression__C=C).fit(features, labels)
    return Classifier(fitted, C, bool(fitted[-1].n_iter_.max() < _MOST_ITERATIONS))


def check_folds(labels: NDArray[np.int64], folds: int, seed: int) -> int | None:
    """A class that has fewer rows than there are folds, if there is one."""
    classes, counts = np.unique(labels[_sample(labels, seed)], return_counts=True)
    return int(classes[counts.argmin()]) if counts.min() < folds else None


def _sample(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most `MOST_ROWS` rows, drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(len(labels))[:MOST_ROWS])
