"""Metrics as modules of the library `evaluate`, with the inputs and outputs of the Hub's modules of the same names.

They need no download, and can be combined (`evaluate.combine`), given to `evaluate.evaluator` or used in a Trainer.
Only who imports this module pays for importing `evaluate`; it is the extra `transformers-mcl[evaluate]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Features, Value
from datasets import Sequence as ListOf
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    mean_squared_error,
    roc_auc_score,
    root_mean_squared_error,
)

from ..errors import UserError
from .squad import exact_match, normalize_answer, squad_metrics, token_f1
from .tagging import span_figures

try:
    import evaluate
except ImportError as error:
    raise ImportError("metrics as modules need evaluate: pip install 'transformers-mcl[evaluate]'") from error

__all__ = ["METRICS", "load_metric", "metric_class", "write_modules"]

Compute = Callable[..., dict[str, Any]]


def _both(kind: Any) -> dict[str, Any]:
    return {"predictions": kind, "references": kind}


_CLASSES, _SCORES = _both(Value("int32")), _both(Value("float32"))
_TAGS = _both(ListOf(Value("string")))
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


def matthews_correlation(
    predictions: Any, references: Any, sample_weight: Any = None, average: str | None = None
) -> dict[str, Any]:
    """Of labels that are lists one for each class, or their mean (`average="macro"`)."""
    if np.ndim(references) < 2:
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions, sample_weight=sample_weight))}
    if average not in (None, "macro"):
        raise UserError(f"matthews_correlation: average={average!r} must be 'macro' or None")
    columns = zip(np.transpose(references), np.transpose(predictions), strict=True)
    found = [matthews_corrcoef(*column, sample_weight=sample_weight) for column in columns]
    return {"matthews_correlation": float(np.mean(found)) if average else found}


def mse(
    predictions: Any,
    references: Any,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    squared: bool = True,
) -> dict[str, Any]:
    error = mean_squared_error if squared else root_mean_squared_error
    return {"mse": error(references, predictions, sample_weight=sample_weight, multioutput=multioutput)}


def roc_auc(references: Any, prediction_scores: Any, **options: Any) -> dict[str, Any]:
    """`options` are those of scikit-learn's `roc_auc_score`."""
    return {"roc_auc": roc_auc_score(references, prediction_scores, **options)}


def glue(predictions: Any, references: Any, *, task: str) -> dict[str, Any]:
    """The figures of a task of GLUE's leaderboard."""
    if task == "stsb":  # not a number where one is constant, as the Hub's
        return {
            "pearson": float(pearsonr(predictions, references).statistic),
            "spearmanr": float(spearmanr(predictions, references).statistic),
        }
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
    """The figures of SQuAD 1.1: a question that is not answered counts as wrong, and words of which nothing is left
    without articles and punctuation have no F1."""
    given = {one["id"]: one["prediction_text"] for one in predictions}
    exact, words = 0, 0.0
    for one in references:
        if not (answers := one["answers"]["text"]):
            raise UserError(f"squad: question {one['id']!r} has no answer in references: squad_v2 takes such")
        if (text := given.get(one["id"])) is None:
            continue
        exact += max(exact_match(answer, text) for answer in answers)
        words += max(token_f1(answer, text) for answer in answers) if normalize_answer(text) else 0.0
    return {"exact_match": 100.0 * exact / len(references), "f1": 100.0 * words / len(references)}


def seqeval(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], **options: Any
) -> dict[str, Any]:
    """Precision, recall and F1 of spans, by kind and over all, and the accuracy by word.

    `options` are those of the Hub's module, such as `mode="strict"` with `scheme="IOB2"`; the package seqeval, which
    only they need, does as they say.
    """
    if options:
        whole, by_kind, accuracy = _by_seqeval(predictions, references, **options)
    else:
        whole, by_kind = span_figures(
            *([[_read_tag(tag) for tag in row] for row in r] for r in (predictions, references))
        )
        tags = [[tag for row in rows for tag in row] for rows in (references, predictions)]
        accuracy = float(accuracy_score(*tags))
    found: dict[str, Any] = {
        kind: {"number" if name == "support" else name: value for name, value in figures.items()}
        for kind, figures in by_kind.items()
    }
    found |= {f"overall_{name}": whole[name] for name in ("precision", "recall", "f1")}
    return {**found, "overall_accuracy": accuracy}


def _read_tag(tag: str) -> str:
    """As seqeval reads a tag where it is told no scheme: its first letter, and as its kind what follows a dash."""
    letter, kind = tag[:1], tag[1:].split("-", 1)[-1] or "_"
    return "O" if letter in ("O", ".") else f"{letter if letter in 'BIES' else 'I'}-{kind}"


def _by_seqeval(
    predictions: Any, references: Any, scheme: str | None = None, **options: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], float]:
    try:
        from seqeval import metrics
        from seqeval import scheme as schemes
    except ImportError as error:
        given = ", ".join(sorted({**options, **({"scheme": scheme} if scheme else {})}))
        raise UserError(f"seqeval: {given} needs the package of this name: pip install seqeval") from error
    kind = None if scheme is None else getattr(schemes, scheme, None)
    if scheme is not None and kind is None:
        raise UserError(f"seqeval: scheme {scheme!r} must be one of IOB1, IOB2, IOE1, IOE2, IOBES, BILOU")
    report: dict[str, Any] = metrics.classification_report(
        references, predictions, output_dict=True, scheme=kind, **options
    )
    figures = {
        name: {"f1" if key == "f1-score" else key: value for key, value in one.items()} for name, one in report.items()
    }
    whole = figures.pop("micro avg")
    by_kind = {name: one for name, one in figures.items() if not name.endswith(" avg")}
    return whole, by_kind, float(metrics.accuracy_score(references, predictions))


def minimal_pairs(good: Any, bad: Any) -> dict[str, Any]:
    """Of the scores of acceptable and unacceptable sentences, or of right options and the best of the others."""
    good, bad = np.asarray(good), np.asarray(bad)
    right, ties = float(np.mean(good > bad)), float(np.mean(good == bad))
    return {"accuracy": right, "accuracy_with_ties": right + ties, "ties": int(np.sum(good == bad))}


_PREDICTED = {"id": Value("string"), "prediction_text": Value("string")}
_AUC = {
    "default": {"prediction_scores": Value("float32"), "references": Value("int32")},
    "multiclass": {"prediction_scores": ListOf(Value("float32")), "references": Value("int32")},
    "multilabel": {"prediction_scores": ListOf(Value("float32")), "references": ListOf(Value("int32"))},
}
_OF_CLASSES = {"default": _CLASSES, "multilabel": _both(ListOf(Value("int32")))}
_GLUE = ("cola", "sst2", "mrpc", "qqp", "mnli", "mnli_matched", "mnli_mismatched", "qnli", "rte", "wnli", "hans")

METRICS: dict[str, tuple[Compute, dict[str, dict[str, Any]]]] = {
    "accuracy": (accuracy, _OF_CLASSES),
    "f1": (f1, _OF_CLASSES),
    "matthews_correlation": (matthews_correlation, _OF_CLASSES),
    "roc_auc": (roc_auc, _AUC),
    "mse": (mse, {"default": _SCORES, "multilist": _both(ListOf(Value("float32")))}),
    "glue": (glue, {**dict.fromkeys(_GLUE, _both(Value("int64"))), "stsb": _SCORES}),
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
    """A metric of `METRICS`; each has a subclass."""

    metric: str

    @property
    def name(self) -> str:
        return self.metric

    def _info(self) -> Any:
        compute, configurations = METRICS[self.metric]
        if self.config_name not in configurations:
            raise UserError(
                f"{self.metric}: unknown configuration {self.config_name!r}; choose from {', '.join(configurations)}"
            )
        return evaluate.MetricInfo(
            description=compute.__doc__ or f"The Hub's {self.metric}.",
            citation="",
            features=Features(configurations[self.config_name]),
            format="numpy" if self.metric == "glue" else None,
        )

    def _compute(self, **given: Any) -> dict[str, Any]:
        task = {"task": self.config_name} if self.metric == "glue" else {}
        return METRICS[self.metric][0](**given, **task)


def metric_class(name: str) -> type[Any]:
    """The class of a module of `evaluate`, as the Hub's repositories of metrics hold one.

    Raises:
        UserError: no such metric.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}; the metrics are {', '.join(METRICS)}")
    return type(name.title().replace("_", ""), (_Module,), {"metric": name})


def load_metric(name: str, config_name: str | None = None, **options: Any) -> Any:
    """A module of `evaluate`, as `evaluate.load(name, config_name)` gives, without a download.

    Args:
        name: of `METRICS`.
        config_name: of one that has several: a task of `glue`, or `multilabel` say.
        options: `num_process`, `process_id`, `experiment_id` and the like, of `evaluate.Metric`.

    Raises:
        UserError: no such metric or configuration.
    """
    return metric_class(name)(config_name=config_name or "default", **options)


_SCRIPT = '''"""Lets `evaluate.load("{0}")`, called in the folder above, give the metric of transformers-mcl."""

from transformers_mcl.evaluation.modules import metric_class

Metric = metric_class("{0}")
'''


def write_modules(folder: str | Path) -> None:
    """Has `evaluate.load` find the metrics without a download, in programs that know nothing of this package: it looks
    for `glue/glue.py` and so on in the folder that a program is run in before it asks the Hub.

    Raises:
        UserError: there is a file of another content already.
    """
    scripts = {Path(folder, name, f"{name}.py"): _SCRIPT.format(name) for name in METRICS}
    for path, text in scripts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path} exists already, and is something else: choose another folder")
    for path, text in scripts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
