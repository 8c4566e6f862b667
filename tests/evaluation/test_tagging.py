"""Spans by CoNLL's rules."""

from __future__ import annotations

import pytest

from transformers_mcl.evaluation.tagging import find_spans, mark_spans, tagging_metrics


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-PER I-PER O", {("PER", 1, 3)}),
        ("B-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("I-LOC I-LOC", {("LOC", 0, 2)}),
        ("B-PER I-LOC", {("PER", 0, 1), ("LOC", 1, 2)}),
        ("O O", set()),
        ("S-PER S-PER E-PER", {("PER", 0, 1), ("PER", 1, 2), ("PER", 2, 3)}),
        ("B-PER I-PER E-PER E-PER", {("PER", 0, 3), ("PER", 3, 4)}),
        ("B-PER L-PER I-PER U-LOC", {("PER", 0, 2), ("PER", 2, 3), ("LOC", 3, 4)}),
        ("B-PER I-PER", {("PER", 0, 2)}),
    ],
)
def test_spans(tags: str, spans: set[tuple[str, int, int]]) -> None:
    assert find_spans(tags.split()) == spans


def test_f1_of_spans_by_hand() -> None:
    given = ["B-PER I-PER O B-LOC".split(), "B-LOC O".split()]
    true = ["B-PER O O B-LOC".split(), "B-LOC O".split()]
    # 3 given, 3 true, 2 the same; 5 of 6 tags.
    expected = {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "accuracy": 5 / 6}
    assert tagging_metrics(given, true) == pytest.approx(expected)


def test_tags_that_are_no_spans_are_averaged() -> None:
    found = tagging_metrics([["NOUN", "VERB", "VERB"]], [["NOUN", "NOUN", "VERB"]])
    assert found == pytest.approx({"accuracy": 2 / 3, "precision": 0.75, "recall": 0.75, "f1": 2 / 3})


def test_a_stray_tag_does_not_change_what_f1_means() -> None:
    true = [["B-X", "I-X", "O"]]
    assert tagging_metrics([["B-X", "I-X", "MISC"]], true)["precision"] == 0.5  # of whole spans
    assert tagging_metrics(true, true, spans=False)["f1"] == 1
    assert mark_spans(["O", "B-X", "S-Y"]) and not mark_spans(["O", "B-X", "MISC"])
