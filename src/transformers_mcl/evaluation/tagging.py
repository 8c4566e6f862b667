"""Named entities and the like: spans that tags B-X, I-X and O mark, and their F1.

`seqeval` does the same for `evaluate`'s script of this name; it is no dependency, and the script comes from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from .metrics import figures_by_class

__all__ = ["figures_by_tag", "find_spans", "mark_spans", "tagging_metrics"]

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
    return {**_span_figures(*(_spans_of(rows) for rows in (predictions, references))), "accuracy": accuracy}


def figures_by_tag(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], spans: bool
) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of the spans of each kind, or of each tag, and how many of it there are (`support`).

    Args:
        predictions, references, spans: as for `tagging_metrics`.
    """
    given, wanted = ([tag for row in rows for tag in row] for rows in (predictions, references))
    if not spans:
        tags = sorted({*given, *wanted})
        return figures_by_class([tags.index(tag) for tag in given], [tags.index(tag) for tag in wanted], tags)
    both = [_spans_of(rows) for rows in (predictions, references)]
    found = {}
    for kind in sorted({kind for found_spans in both for _, kind, *_ in found_spans}):
        these, true = ({span for span in found_spans if span[1] == kind} for found_spans in both)
        found[kind] = {**_span_figures(these, true), "support": float(len(true))}
    return found


def _spans_of(rows: Iterable[Sequence[str]]) -> set[tuple[int, str, int, int]]:
    return {(row, *span) for row, tags in enumerate(rows) for span in find_spans(tags)}


def _span_figures(given: set[Any], wanted: set[Any]) -> dict[str, float]:
    same = len(given & wanted)
    precision, recall = same / max(len(given), 1), same / max(len(wanted), 1)
    f1 = 2 * precision * recall / (precision + recall) if same else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}
