"""Metrics as modules of the library `evaluate`, with the inputs and outputs of the Hub's modules of the same names.

They need no download, and can be combined (`evaluate.combine`), given to `evaluate.evaluator` or used in a Trainer.
Only who imports this module pays for importing `evaluate`; it is the extra `transformers-mcl[evaluate]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Features, Value
from datasets import Sequence as ListOf
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, roc_auc_score

from ..errors import UserError
from .metrics import regression_metrics
from .squad import squad_metrics
from .tagging import figures_by_tag, tagging_metrics

try:
    import evaluate
except ImportError as error:
    raise ImportError("metrics as modules need evaluate: pip install 'transformers-mcl[evaluate]'") from error

__all__ = ["METRICS", "load_metric"]

Compute = Callable[..., dict[str, Any]]

_CLASSES = {"predictions": Value("int32"), "references": Value("int32")}
_SCORES = {"predictions": Value("float32"), "references": Value("float32")}
_TAGS = {name: ListOf(Value("string")) for name in ("predictions", "references")}
_ANSWERS = {
    "id": Value("string"),
    "answers": {"text": ListOf(Value("string")), "answer_start": ListOf(Value("int32"))},
}


def accuracy(predictions: Any, references: Any, normalize: bool = True, sample_weight: Any = None) -> dict[str, Any]:
    return {
        "accuracy": float(accuracy_score(references, predictions, normalize=normalize, sample_weight=sample_weight))
    }


def f1(
    predictions: Any,
    references: Any,
    labels: Any = None,
    pos_label: int = 1,
    average: str | None = "binary",
    sample_weight: Any = None,
) -> dict[str, Any]:
    given: Any = {"labels": labels, "pos_label": pos_label, "average": average, "sample_weight": sample_weight}
    score = f1_score(references, predictions, **given)
    return {"f1": score if getattr(score, "size", 1) > 1 else float(score)}


def matthews_correlation(predictions: Any, references: Any, sample_weight: Any = None) -> dict[str, Any]:
    return {"matthews_correlation": float(matthews_corrcoef(references, predictions, sample_weight=sample_weight))}


def roc_auc(references: Any, prediction_scores: Any, **options: Any) -> dict[str, Any]:
    """`options` are those of scikit-learn's `roc_auc_score`."""
    return {"roc_auc": roc_auc_score(references, prediction_scores, **options)}


def glue(predictions: Any, references: Any, *, task: str) -> dict[str, Any]:
    """The figures of a task of GLUE's leaderboard."""
    if task == "stsb":
        found = regression_metrics(predictions, references)
        return {name: found[name] for name in ("pearson", "spearmanr")}
    if task == "cola":
        return matthews_correlation(predictions, references)
    both = f1(predictions, references) if task in ("mrpc", "qqp") else {}
    return accuracy(predictions, references) | both


def squad_v2(predictions: Any, references: Any, no_answer_threshold: float = 1.0) -> dict[str, Any]:
    return squad_metrics(
        {one["id"]: one["prediction_text"] for one in predictions},
        {one["id"]: one["answers"]["text"] for one in references},
        {one["id"]: one["no_answer_probability"] for one in predictions},
        no_answer_threshold,
    )


def squad(predictions: Any, references: Any) -> dict[str, Any]:
    found = squad_metrics(
        {one["id"]: one["prediction_text"] for one in predictions},
        {one["id"]: one["answers"]["text"] for one in references},
    )
    return {"exact_match": found["exact"], "f1": found["f1"]}


def seqeval(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 of spans, by kind and over all, and the accuracy by word."""
    found: dict[str, Any] = figures_by_tag(predictions, references, spans=True)
    for of_kind in found.values():
        of_kind["number"] = int(of_kind.pop("support"))
    return found | {f"overall_{n}": value for n, value in tagging_metrics(predictions, references, spans=True).items()}


def minimal_pairs(good: Any, bad: Any) -> dict[str, Any]:
    """Of the scores of acceptable and unacceptable sentences, or of right options and the best of the others."""
    good, bad = np.asarray(good), np.asarray(bad)
    right, ties = float(np.mean(good > bad)), float(np.mean(good == bad))
    return {"accuracy": right, "accuracy_with_ties": right + ties, "ties": int(np.sum(good == bad))}


_PREDICTED = {"id": Value("string"), "prediction_text": Value("string")}
_AUC = {
    "default": {"prediction_scores": Value("float64"), "references": Value("int32")},
    "multiclass": {"prediction_scores": ListOf(Value("float64")), "references": Value("int32")},
    "multilabel": {"prediction_scores": ListOf(Value("float64")), "references": ListOf(Value("int32"))},
}
_SEVERAL = {name: ListOf(kind) for name, kind in _CLASSES.items()}
_GLUE = ("cola", "sst2", "mrpc", "qqp", "mnli", "mnli_matched", "mnli_mismatched", "qnli", "rte", "wnli", "hans")

METRICS: dict[str, tuple[Compute, dict[str, dict[str, Any]]]] = {
    "accuracy": (accuracy, {"default": _CLASSES, "multilabel": _SEVERAL}),
    "f1": (f1, {"default": _CLASSES, "multilabel": _SEVERAL}),
    "matthews_correlation": (matthews_correlation, {"default": _CLASSES}),
    "roc_auc": (roc_auc, _AUC),
    "glue": (glue, {**dict.fromkeys(_GLUE, _CLASSES), "stsb": _SCORES}),
    "squad": (squad, {"default": {"predictions": _PREDICTED, "references": _ANSWERS}}),
    "squad_v2": (
        squad_v2,
        {
            "default": {
                "predictions": {**_PREDICTED, "no_answer_probability": Value("float32")},
                "references": _ANSWERS,
            }
        },
    ),
    "seqeval": (seqeval, {"default": _TAGS}),
    "minimal_pairs": (minimal_pairs, {"default": {"good": Value("float64"), "bad": Value("float64")}}),
}
"""By name what computes a metric, and for each of its configurations what it is given."""


class _Module(evaluate.Metric):  # type: ignore[misc, unused-ignore]
    """A metric of `METRICS`."""

    def __init__(self, name: str, config_name: str, **options: Any) -> None:
        self._metric = name
        super().__init__(config_name=config_name, **options)

    @property
    def name(self) -> str:
        return self._metric

    def _info(self) -> Any:
        compute, configurations = METRICS[self._metric]
        return evaluate.MetricInfo(
            description=compute.__doc__ or f"The Hub's {self._metric}.",
            citation="",
            features=Features(configurations[self.config_name]),
        )

    def _compute(self, **given: Any) -> dict[str, Any]:
        task = {"task": self.config_name} if self._metric == "glue" else {}
        return METRICS[self._metric][0](**given, **task)


def load_metric(name: str, config_name: str | None = None, **options: Any) -> Any:
    """A module of `evaluate`, as `evaluate.load(name, config_name)` gives, without a download.

    Args:
        name: of `METRICS`.
        config_name: of one that has several: a task of `glue`, or `multilabel` say.
        options: `num_process`, `process_id`, `experiment_id` and the like, of `evaluate.Metric`.

    Raises:
        UserError: no such metric or configuration.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}; the metrics are {', '.join(METRICS)}")
    configurations = METRICS[name][1]
    config_name = config_name or "default"
    if config_name not in configurations:
        raise UserError(f"{name}: unknown configuration {config_name!r}; choose from {', '.join(configurations)}")
    return _Module(name, config_name, **options)
