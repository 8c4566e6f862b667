"""Named entities and the like: spans that tags B-X, I-X and O mark, and their F1.

`seqeval` does the same for `evaluate`'s script of this name; it is no dependency, and the script comes from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sklearn.metrics import accuracy_score, precision_recall_fscore_support

__all__ = ["find_spans", "mark_spans", "tagging_metrics"]

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
    found = [(find_spans(p), find_spans(r)) for p, r in zip(predictions, references, strict=True)]
    same = sum(len(p & r) for p, r in found)
    precision, recall = (same / max(sum(len(pair[i]) for pair in found), 1) for i in (0, 1))
    f1 = 2 * precision * recall / (precision + recall) if same else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "accuracy": accuracy}
