from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytest import approx

from transformers_mcl import MclForPreTraining
from transformers_mcl.errors import UserError
from transformers_mcl.soups.conflicts import Conflicts
from transformers_mcl.soups.diagnosis import diagnose, save_conflicts, save_diagnosis, short_names

from .conftest import MakeIngredient


class Loss:
    """How far one weight lies from those of the ingredients, and `height` more between them."""

    def __init__(self, at: list[Path], height: float) -> None:
        self.ends = [_weight(self.load(folder)) for folder in at]
        self.height = height

    def load(self, folder: Any) -> Any:
        return MclForPreTraining.from_pretrained(folder)

    def losses(self, model: Any) -> Any:
        off = min(abs(_weight(model) - end) for end in self.ends) > 1e-6
        yield torch.tensor(1.0)
        yield torch.tensor(self.height * off)


def _weight(model: Any) -> float:
    return float(model.electra.encoder.layer[0].output.dense.weight[0, 0].detach())


def test_a_diagnosis_as_a_table_numbers_and_a_picture(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "abc"]
    score: Any = Loss(folders, height=0.01)
    found = diagnose(folders, initial_model=make_ingredient("start"), score=score, points=1)
    text = save_diagnosis(found, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert said["ingredients"] == ["a", "b", "c"] and said["losses"] == [1, 1, 1]
    assert said["lines"][0] == {"ingredients": ["a", "b"], "losses": [1, approx(1.01), 1], "barrier": approx(0.01)}
    assert said["distances"] == found.geometry.distances.tolist() and found.warnings == []
    assert f"| a | b | {found.geometry.distances[0, 1]:.4g} | {found.geometry.angles[0, 1]:.1f} | 0.01 |" in text
    assert Image.open(tmp_path / "out" / "diagnosis.png").size[0] > 600
    assert np.isnan(np.diagonal(found.barriers)).all() and found.barriers[2, 0] == approx(0.01)


def test_a_huge_barrier_is_warned_of(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient("a"), make_ingredient("b")]
    score: Any = Loss(folders, height=0.5)
    found = diagnose(folders, score=score, points=1)
    assert len(found.warnings) == 1 and "between 'a' and 'b' the loss rises by 0.5" in found.warnings[0]
    assert "**Warning:**" in save_diagnosis(found, tmp_path / "out")


def test_without_a_loss_and_of_one_alone(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folder = make_ingredient("a")
    found = diagnose([folder])
    assert found.lines is None and found.losses == []
    assert "barrier" not in save_diagnosis(found, tmp_path / "out")
    score: Any = Loss([folder], height=1.0)
    assert diagnose([folder], score=score).losses == [1.0]


def test_another_models_start_is_refused(make_ingredient: MakeIngredient) -> None:
    with pytest.raises(UserError, match="num_hidden_layers"):
        diagnose([make_ingredient("a")], initial_model=make_ingredient("b", num_hidden_layers=1))


def test_names_are_as_short_as_tells_them_apart() -> None:
    assert short_names(["x/a", "x/b"]) == ["a", "b"]
    assert short_names(["one/last", "two/last/"]) == ["one/last", "two/last"]
    assert short_names(["x/a", "x/a"]) == ["a", "a"]


def test_the_tug_of_war_as_a_table_and_a_picture(tmp_path: Path) -> None:
    cosines = np.array([[1, -0.25], [-0.25, 1]])
    shared = np.array([[1, np.nan], [np.nan, 1]])
    found = Conflicts(["mlm", "rtd"], cosines, shared, cosines * 0, np.array([1.0, 2.5]), 3)
    text = save_conflicts(found, tmp_path / "out", "a pair")
    assert "| rtd | 2.5 | -0.250 | +1.000 |" in text and "3 batches" in text
    assert json.loads((tmp_path / "out" / "gradients.json").read_text())["shared_cosines"] == [[1, None], [None, 1]]
    assert Image.open(tmp_path / "out" / "gradients.png").size[0] > 600
