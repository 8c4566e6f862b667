from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from transformers_mcl.evaluation.minimal_pairs import Pair, PairScores
from transformers_mcl.evaluation.minimal_pairs.accuracies import plot_accuracies, summarize, to_markdown

SCORES = PairScores(np.array([2.0] * 8 + [1.0, 0.0]), np.array([1.0] * 10))
PAIRS = [Pair("", "", f"p{i % 2}", "f|g", "t" if i < 5 else None) for i in range(10)]


def test_every_grouping_counts_and_ties_are_wrong() -> None:
    summary = summarize(PAIRS, SCORES)
    assert list(summary) == ["all", "field", "linguistics_term", "paradigm"]
    everything = summary["all"]["all"]
    assert (everything["pairs"], everything["correct"], everything["ties"], everything["accuracy"]) == (10, 8, 1, 0.8)
    assert everything["accuracy_with_ties"] == 0.9
    assert everything["interval"] == pytest.approx([0.4901625, 0.9433178], abs=1e-5)  # Wilson's of 8 in 10, 95 %
    assert summary["field"] == {"f|g": everything}
    assert summary["linguistics_term"]["t"]["pairs"] == 5
    assert [summary["paradigm"][name]["accuracy"] for name in ("p0", "p1")] == [0.8, 0.8]
    assert [summary["paradigm"][name]["ties"] for name in ("p0", "p1")] == [1, 0]


def test_intervals_end_at_0_and_1() -> None:
    ones, zeros = np.ones(4), np.zeros(4)
    pairs = PAIRS[:4]
    assert summarize(pairs, PairScores(ones, zeros))["all"]["all"]["interval"][1] == pytest.approx(1)
    assert summarize(pairs, PairScores(zeros, ones))["all"]["all"]["interval"][0] == pytest.approx(0)


def test_tables() -> None:
    plain = [Pair("", "", f"p{i % 2}") for i in range(10)]
    one = to_markdown({"generator": summarize(plain, SCORES)}).split("\n\n")
    assert len(one) == 2
    assert one[0].splitlines()[2] == "| all | 10 | 0.800 | 0.490 to 0.943 | 1 | 0.900 |"
    two = to_markdown({name: summarize(PAIRS, SCORES) for name in ("generator", "discriminator")}).split("\n\n")
    assert [table.splitlines()[0].split(" | ")[0] for table in two[1:]] == [
        "| field",
        "| linguistics term",
        "| paradigm",
    ]
    assert two[1].splitlines()[2].startswith("| f&#124;g | 10 | 0.800")
    for table in two:
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("pairs", [PAIRS, [Pair("", "")] * 10, [Pair("", "", "$x_1$")] * 10])
def test_pictures(pairs: list[Pair], tmp_path: Path) -> None:
    plot_accuracies({"discriminator": summarize(pairs, SCORES)}, tmp_path / "one.png", "$a_b$")
    plot_accuracies({n: summarize(pairs, SCORES) for n in ("generator", "discriminator")}, tmp_path / "two.png")
    one, two = (matplotlib.image.imread(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.shape == two.shape
    assert (two != one).any()
