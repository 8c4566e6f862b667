from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from transformers_mcl.plots import COLOURS, label_ends, picture, spread_apart


def test_a_picture_is_written_at_the_end_and_changes_nothing_global(tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 17}):
        with picture(tmp_path / "one.png", 3, 2, "runs/$x_{ and $y") as figure:
            figure.add_subplot().plot([1, 2])
            assert not (tmp_path / "one.png").exists()
        assert matplotlib.rcParams["font.size"] == 17
    assert Image.open(tmp_path / "one.png").size == (480, 320)
    assert figure.get_suptitle() == "runs/$x_{ and $y"  # no formula
    with pytest.raises(ValueError, match="drawing"), picture(tmp_path / "two.png", 3, 2):
        raise ValueError("drawing")
    assert not (tmp_path / "two.png").exists()


def test_every_colour_is_there_once() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == 8


def test_ends_are_named_where_they_are_if_there_is_room(tmp_path: Path) -> None:
    with picture(tmp_path / "one.png", 3, 2) as figure:
        axes = figure.add_subplot()
        axes.set_ylim(0, 10)
        label_ends(axes, [(5.0, "b", None), (5.0, "a", "#000000"), (9.0, "c", None)])
    at = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert at == pytest.approx({"a": 0.46, "b": 0.54, "c": 0.9})


def test_spread_keeps_order_and_distance_and_moves_the_least() -> None:
    heights = [0.0, 0.1, 0.12, 0.14, 0.5, 0.95, 0.95]
    spread = spread_apart(heights, gap=0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(spread))
    assert spread[4] == 0.5
    assert spread[5:] == pytest.approx([0.9, 1.0])
    assert np.mean(spread[:4]) == pytest.approx(np.mean(heights[:4]))
