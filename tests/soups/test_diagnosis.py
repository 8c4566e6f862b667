from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytest import approx
from transformers import BertTokenizer

from transformers_mcl import MclForPreTraining
from transformers_mcl.cli.main import main
from transformers_mcl.errors import UserError
from transformers_mcl.soups.conflicts import Conflicts
from transformers_mcl.soups.diagnosis import _short_names, diagnose, save_conflicts, save_diagnosis

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
    score: Any = Loss(folders, height=0.03)
    found = diagnose(folders, score=score, points=1)
    assert len(found.warnings) == 1 and "between 'a' and 'b' the loss rises by 0.03" in found.warnings[0]
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
    assert _short_names(["x/a", "x/b"]) == ["a", "b"]
    assert _short_names(["one/last", "two/last/"]) == ["one/last", "two/last"]
    assert _short_names(["x/a", "x/a"]) == ["a", "a"]


def test_the_tug_of_war_as_a_table_and_a_picture(tmp_path: Path) -> None:
    cosines = np.array([[1, -0.25], [-0.25, 1]])
    shared = np.array([[1, np.nan], [np.nan, 1]])
    found = Conflicts(["mlm", "rtd"], cosines, shared, cosines * 0, np.array([1.0, 2.5]), 3)
    text = save_conflicts(found, tmp_path / "out", "a pair")
    assert "| rtd | 2.5 | -0.250 | +1.000 |" in text and "3 batches" in text
    assert json.loads((tmp_path / "out" / "gradients.json").read_text())["shared_cosines"] == [[1, None], [None, 1]]
    assert Image.open(tmp_path / "out" / "gradients.png").size[0] > 600


def test_the_page_and_the_command(
    make_ingredient: MakeIngredient,
    tokenizer: BertTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "three", "start"):
        tokenizer.save_pretrained(make_ingredient(name))
    (tmp_path / "held_out.txt").write_text(text.read_text(encoding="utf-8"))
    page = (Path(__file__).parents[2] / "docs" / "soup_diagnosis.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/soup_diagnosis.md", "exec"), {})
    (command,) = re.findall(r"```bash\ntransformers-mcl (.*?)```", page, re.DOTALL)
    words = [word.replace("look", "another") for word in command.split()]
    assert main([*words, "--use_cpu", "--diagnose_points", "1"]) == 0
    said = capsys.readouterr().out
    assert "| one | two |" in said and "cosines of the losses' gradients" in said
    for folder in ("look-again", "another"):
        made = {path.name for path in (tmp_path / folder).iterdir()}
        assert made == {f"{one}.{kind}" for one in ("diagnosis", "gradients") for kind in ("json", "md", "png")}
    assert len(json.loads((tmp_path / "look-again" / "diagnosis.json").read_text())["lines"][0]["losses"]) == 5
    assert json.loads((tmp_path / "another" / "diagnosis.json").read_text())["start"] == "start"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output_dir", "a"], "output_dir 'a' is the ingredient 'a'"),
        (["--diagnose_points", "0"], "diagnose_points=0 must be at least 1"),
        (["--score", "blimp", "--validation_file", "pairs.csv"], "score='blimp' has no loss"),
    ],
)
def test_what_cannot_be_diagnosed(
    words: list[str],
    said: str,
    make_ingredient: MakeIngredient,
    tokenizer: BertTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer.save_pretrained(make_ingredient("a"))
    (tmp_path / "pairs.csv").write_text("sentence_good,sentence_bad\nw2 w3,w3 w2\n")
    assert main(["soup", "a", "--diagnose", "--output_dir", "out", "--use_cpu", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
