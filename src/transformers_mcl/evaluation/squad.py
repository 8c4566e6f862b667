"""Extractive question answering: the measure of SQuAD 1.1 and 2.0, and answers from the logits of starts and ends.

Written from the definition of the official evaluation of SQuAD 2.0 (Rajpurkar et al. 2018): its figures are the same.
`evaluate`'s `squad_v2` is that script, but it comes from the Hub; and transformers 5 has no pipeline that picks spans.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Answer", "exact_match", "extract_answer", "normalize_answer", "squad_metrics", "token_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(reference: str, prediction: str) -> int:
    """1 where both are the same once normalised."""
    return int(normalize_answer(reference) == normalize_answer(prediction))


def token_f1(reference: str, prediction: str) -> float:
    """F1 of the words that both have; where one has none, 1 if neither has."""
    wanted, given = normalize_answer(reference).split(), normalize_answer(prediction).split()
    if not wanted or not given:
        return float(wanted == given)
    same = (Counter(wanted) & Counter(given)).total()
    if same == 0:
        return 0.0
    precision, recall = same / len(given), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def squad_metrics(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    no_answer_scores: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """The figures of the official script, in percent, by its names.

    Args:
        predictions: an answer for each question's id, the empty string for none.
        references: the true answers for each id, an empty list where there is none.
        no_answer_scores: how sure the model is, by id, that there is no answer; the greater the surer. With them come
            `best_exact` and `best_f1`, those of the best threshold, and the thresholds.
        threshold: the score above which an answer counts as none (`--na-prob-thresh`).

    Returns:
        `exact`, `f1`, `total`; the same with `HasAns_` and `NoAns_` for the questions with and without answer, if
        there are such; `best_exact`, `best_exact_thresh`, `best_f1` and `best_f1_thresh`.

    Raises:
        KeyError: a question without prediction.
    """
    answerable = {key: bool(answers) for key, answers in references.items()}
    scores = {}
    for key, answers in references.items():
        wanted = [answer for answer in answers if normalize_answer(answer)] or [""]
        given = predictions[key]
        scores[key] = (max(exact_match(a, given) for a in wanted), max(token_f1(a, given) for a in wanted))
    none = no_answer_scores or {}
    counted = {
        key: score if none.get(key, 0.0) <= threshold else (float(not answerable[key]),) * 2
        for key, score in scores.items()
    }
    figures = _means(list(counted.values()), "")
    for prefix, wanted_kind in (("HasAns_", True), ("NoAns_", False)):
        if kind := [score for key, score in counted.items() if answerable[key] == wanted_kind]:
            figures |= _means(kind, prefix)
    if no_answer_scores is not None:
        for i, name in enumerate(("exact", "f1")):
            raw = {key: score[i] for key, score in scores.items()}
            best, at = _best_threshold(predictions, raw, no_answer_scores, answerable)
            figures |= {f"best_{name}": best, f"best_{name}_thresh": at}
    return figures


def _means(scores: Sequence[tuple[float, float]], prefix: str) -> dict[str, float]:
    total = len(scores)
    exact, f1 = (100.0 * sum(score[i] for score in scores) / total for i in (0, 1))
    return {f"{prefix}exact": exact, f"{prefix}f1": f1, f"{prefix}total": total}


def _best_threshold(
    predictions: Mapping[str, str],
    scores: Mapping[str, float],
    none: Mapping[str, float],
    answerable: Mapping[str, bool],
) -> tuple[float, float]:
    """The greatest mean score over all thresholds, in percent, and the lowest of the thresholds that give it."""
    current = best = float(sum(not has for has in answerable.values()))  # every question has no answer
    at = 0.0
    for key in sorted(none, key=lambda key: none[key]):
        if key not in scores:
            continue
        current += scores[key] if answerable[key] else -float(bool(predictions[key]))
        if current > best:
            best, at = current, none[key]
    return 100.0 * best / len(scores), at


@dataclass(frozen=True)
class Answer:
    """A span of the context, and the sum of its two logits."""

    text: str
    score: float
    start: int  # of its first character in the context
    end: int  # after its last


def extract_answer(
    context: str,
    pieces: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    n_best_size: int = 20,
    max_answer_length: int = 30,
) -> tuple[list[Answer], float]:
    """The best spans of a context, whose tokens may come in several overlapping pieces.

    Args:
        context: the text.
        pieces: for each, the logits of a start and of an end, `(tokens,)`, and the characters of the context that each
            token covers, `(tokens, 2)`: -1 where it is of the question or special. The first token says "no answer".
        n_best_size: how many starts, ends, and spans to look at.
        max_answer_length: tokens that a span may have.

    Returns:
        The spans, best first (none if no span is possible), and the lowest score of "no answer" among the pieces.
    """
    found: dict[tuple[int, int], float] = {}
    null = float("inf")
    for starts, ends, offsets in pieces:
        starts, ends = starts[: len(offsets)].astype(float), ends[: len(offsets)].astype(float)
        null = min(null, float(starts[0] + ends[0]))
        first, last = (np.argsort(-logits, kind="stable")[:n_best_size] for logits in (starts, ends))
        length = last[None, :] - first[:, None] + 1
        possible = (length >= 1) & (length <= max_answer_length)
        possible &= (offsets[first, 0] >= 0)[:, None] & (offsets[last, 0] >= 0)[None, :]
        for i, j in np.argwhere(possible):
            span = (int(offsets[first[i], 0]), int(offsets[last[j], 1]))
            score = float(starts[first[i]] + ends[last[j]])
            found[span] = max(score, found.get(span, score))
    spans = sorted(found.items(), key=lambda item: -item[1])[:n_best_size]
    return [Answer(context[start:end], score, start, end) for (start, end), score in spans], null
