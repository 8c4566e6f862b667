"""Scores of pairs on disk, paradigm by paradigm, so that a killed run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from ...errors import UserError
from ...io import write_text
from ..digest import model_digest
from .data import Pair
from .scoring import PairScorer, PairScores

__all__ = ["KeptScores", "Paradigm", "paradigms_of"]


@dataclass
class Paradigm:
    """The pairs of a paradigm for one scorer, their numbers among all pairs, and what their scores depend on."""

    name: str
    numbers: list[int]
    encoded: Sequence[tuple[Any, Any]]
    key: str


def paradigms_of(pairs: Sequence[Pair], scorer: PairScorer) -> list[Paradigm]:
    """The pairs, encoded for a scorer, by paradigm."""
    encoded = scorer.encode(pairs)
    numbers: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        numbers.setdefault(pair.paradigm, []).append(number)
    fields = {"kind": type(scorer.model).__name__, **scorer.model.config.to_dict(), "_name_or_path": ""}
    model = model_digest(scorer.model, json.dumps(fields, default=str))
    paradigms = []
    for paradigm, members in numbers.items():
        of = [encoded[number] for number in members]
        key = hashlib.sha256(repr((model, scorer.masks, scorer.by_word, of)).encode()).hexdigest()
        paradigms.append(Paradigm(paradigm, members, of, key))
    return paradigms


class KeptScores:
    """`scores.jsonl`: a line for each scorer and paradigm, as soon as it is done. Lines of other keys are dropped.

    The first process reads and writes it; all of them know what it holds.
    """

    def __init__(self, output_dir: str, keys: set[str]) -> None:
        self.path = Path(output_dir, "scores.jsonl")
        kept: list[str | OSError] = [""]
        if PartialState().is_main_process:
            try:
                kept = [self._start(keys)]
            except OSError as error:
                kept = [error]
        if isinstance((found := broadcast_object_list(kept)[0]), OSError):  # of which all processes end alike
            raise UserError(f"output_dir: {output_dir!r} cannot be written to: {found.strerror}") from found
        lines = map(json.loads, found.splitlines())
        self.found = {line["key"]: PairScores(np.array(line["good"]), np.array(line["bad"])) for line in lines}

    def _start(self, keys: set[str]) -> str:
        """What stands there and is of use, which alone is left."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = {key: line for line in lines if (key := _key(line)) in keys}
        kept = "".join(f"{line}\n" for line in found.values())
        write_text(self.path, kept)
        return kept

    def add(self, scorer: str, paradigm: Paradigm, scores: PairScores) -> None:
        self.found[paradigm.key] = scores
        if PartialState().is_main_process:
            rest = {"good": scores.good.tolist(), "bad": scores.bad.tolist()}
            line = {"key": paradigm.key, "scorer": scorer, "paradigm": paradigm.name, **rest}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _key(line: str) -> str | None:
    try:
        return json.loads(line)["key"]
    except (json.JSONDecodeError, TypeError, KeyError):  # the last line of a run that was killed, or no line of ours
        return None
