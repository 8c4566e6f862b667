"""The figures of SQuAD 2.0's script by hand, and spans from logits."""

from __future__ import annotations

import numpy as np
import pytest

from transformers_mcl.evaluation.squad import (
    exact_match,
    extract_answer,
    normalize_answer,
    squad_metrics,
    token_f1,
)


def test_normalized() -> None:
    assert normalize_answer("  The  Cat's,\n a hat! ") == "cats hat"
    assert normalize_answer("theatre an") == "theatre"
    assert normalize_answer("the-a") == "thea"  # punctuation goes first
    assert exact_match("The Normans.", "normans") == 1


def test_f1_of_words() -> None:
    assert token_f1("the cat sat", "a cat sat down") == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert token_f1("go go go", "go stop") == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert token_f1("the", "") == 1
    assert token_f1("x", "") == 0


REFERENCES = {"a": ["Rome", "in Rome"], "b": ["nine"], "c": [], "d": [], "e": ["the"]}
PREDICTIONS = {"a": "in rome", "b": "nine men", "c": "", "d": "Paris", "e": ""}


def test_figures_by_hand() -> None:
    found = squad_metrics(PREDICTIONS, REFERENCES)
    # a 1/1, b 0/(2/3), c 1/1, d 0/0; e's answer is empty once normalised: 1/1.
    assert found == pytest.approx(
        {
            "exact": 60,
            "f1": 100 * (3 + 2 / 3) / 5,
            "total": 5,
            "HasAns_exact": 100 * 2 / 3,
            "HasAns_f1": 100 * (2 + 2 / 3) / 3,
            "HasAns_total": 3,
            "NoAns_exact": 50,
            "NoAns_f1": 50,
            "NoAns_total": 2,
        }
    )


def test_the_threshold_of_no_answer() -> None:
    none = {"a": 0.1, "b": 0.9, "c": 0.35, "d": 0.5, "e": 0.3}
    found = squad_metrics(PREDICTIONS, REFERENCES, none, threshold=0.4)
    assert found["exact"] == 80  # b and d count as without answer: b is wrong either way, d becomes right
    # All without: 2. By the score: a 3, e 4, c 4 (no text, a tie: the lower counts), d 3, b 3 (exact) or 3 2/3 (F1).
    assert (found["best_exact"], found["best_exact_thresh"]) == (80, 0.3)
    assert (found["best_f1"], found["best_f1_thresh"]) == (80, 0.3)


def test_a_question_without_prediction() -> None:
    with pytest.raises(KeyError):
        squad_metrics({}, {"a": ["x"]})


CONTEXT = "one two three four"
OFFSETS = np.array([[-1, -1], [-1, -1], [0, 3], [4, 7], [8, 13], [14, 18], [-1, -1]])


def logits(**places: float) -> np.ndarray:
    row = np.zeros(len(OFFSETS))
    for place, value in places.items():
        row[int(place[1:])] = value
    return row


def test_the_best_span_of_the_context() -> None:
    # The best start is of the question, the best end lies before the start.
    piece = (logits(t1=9.0, t3=5.0, t0=1.0), logits(t2=8.0, t4=6.0, t0=2.0), OFFSETS)
    found, null = extract_answer(CONTEXT, [piece])
    assert (found[0].text, found[0].score) == ("two three", 11.0)
    assert null == 3.0
    assert all(answer.text in CONTEXT and answer.text for answer in found)
    assert [answer.score for answer in found] == sorted((answer.score for answer in found), reverse=True)


def test_answers_are_short_and_as_many_as_asked_for() -> None:
    piece = (logits(t2=5.0), logits(t5=5.0), OFFSETS)
    assert extract_answer(CONTEXT, [piece])[0][0].text == CONTEXT
    assert extract_answer(CONTEXT, [piece], max_answer_length=3)[0][0].text in (
        "one",
        "one two",
        "one two three",
        "four",
    )
    assert len(extract_answer(CONTEXT, [piece], n_best_size=2)[0]) <= 2


def test_pieces_are_weighed_against_each_other() -> None:
    other = OFFSETS.copy()
    other[2:4] = -1
    pieces = [(logits(t3=1.0, t0=5.0), logits(t3=1.0), OFFSETS), (logits(t4=3.0), logits(t4=3.0, t0=1.0), other)]
    padded = [(np.append(s, 99.0), np.append(e, 99.0), o) for s, e, o in pieces]  # padding of a batch
    found, null = extract_answer(CONTEXT, padded)
    assert (found[0].text, null) == ("three", 1.0)
