"""Named entities and the like: spans that tags B-X, I-X and O mark, and their F1.

`seqeval` does the same for `evaluate`'s script of this name; it is no dependency, and the script comes from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sklearn.metrics import accuracy_score, precision_recall_fscore_support

__all__ = ["find_spans", "mark_spans", "span_figures", "tagging_metrics"]

_MARKS = {f"{letter}-" for letter in "BIELSU"}


def find_spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first word and the word after the last of every span, by the rules of CoNLL's evaluation: a span begins at
    `B-X`, and at an `I-X` that follows another kind or none. Where marked, `E-X` or `L-X` is its last word, `S-X` or
    `U-X` its only one."""
    spans, start = set(), 0
    for i, tag in enumerate([*tags, "O"]):
        before = tags[i - 1] if i else "O"
        goes_on = tag[:2] in ("I-", "E-", "L-") and before[:2] in ("B-", "I-") and before[2:] == tag[2:]
        if before != "O" and not goes_on:
            spans.add((before[2:], start, i))
        if not goes_on:
            start = i
    return spans


def mark_spans(classes: Iterable[str]) -> bool:
    """Whether tags of these names mark spans: each is `O` or begins with `B-`, `I-` and so on."""
    return all(tag == "O" or tag[:2] in _MARKS for tag in classes)


def tagging_metrics(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], spans: bool | None = None
) -> dict[str, float]:
    """Accuracy by word, and precision, recall and F1: of whole spans, counted over all rows, or their means over the
    tags that the references have.

    Args:
        predictions: the tags of every word of every row.
        references: the true ones.
        spans: whether they mark spans; by default as `mark_spans` says of the references.
    """
    given, wanted = ([tag for row in rows for tag in row] for rows in (predictions, references))
    accuracy = float(accuracy_score(wanted, given)) if wanted else 0.0
    if spans is None:
        spans = mark_spans(wanted)
    if not spans:
        tags: Any = {"labels": sorted(set(wanted)), "average": "macro", "zero_division": 0}
        precision, recall, f1, _ = precision_recall_fscore_support(wanted, given, **tags) if wanted else (0.0,) * 4
        return {"f1": float(f1), "precision": float(precision), "recall": float(recall), "accuracy": accuracy}
    whole, _ = span_figures(predictions, references)
    return {**{name: whole[name] for name in ("f1", "precision", "recall")}, "accuracy": accuracy}


def span_figures(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Precision, recall and F1 of spans over all rows, and how many there are in truth (`support`): of all kinds
    together, and of each.

    Args:
        predictions: the tags of every word of every row.
        references: the true ones.
    """
    given, wanted = (
        {(row, *span) for row, tags in enumerate(rows) for span in find_spans(tags)}
        for rows in (predictions, references)
    )
    by_kind = {}
    for kind in sorted({span[1] for span in given | wanted}):
        by_kind[kind] = _figures(*({span for span in spans if span[1] == kind} for spans in (given, wanted)))
    return _figures(given, wanted), by_kind


def _figures(given: set[Any], wanted: set[Any]) -> dict[str, float]:
    same = len(given & wanted)
    precision, recall = same / max(len(given), 1), same / max(len(wanted), 1)
    f1 = 2 * precision * recall / (precision + recall) if same else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": len(wanted)}
