from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertTokenizer

from tests.training.conftest import VOCABULARY
from transformers_mcl import MclTrainer
from transformers_mcl.inspection import read_frames
from transformers_mcl.training import samples
from transformers_mcl.training.samples import PAGE, SamplesCallback, known_texts

TEXTS = ["w5 w6 w7 w8 w9 w10", "w20 w21 w22", "w30 w31 w32 w33"]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK]".split() + [f"w{n}" for n in range(5, VOCABULARY)]
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)})


@pytest.fixture
def train(make_trainer: Callable[..., MclTrainer], tokenizer: BertTokenizer, tmp_path: Path) -> Callable[..., Any]:
    """Trains with the page, into a folder; the trainer."""

    def run(folder: str = "run", looked: bool = True, resume: str | None = None, **arguments: Any) -> MclTrainer:
        given = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 2, **arguments}
        # With dropout, and courses in turn: all that the page must not move on.
        config = {"hidden_dropout_prob": 0.1, "course_schedule": "sampled"}
        trainer = make_trainer(config=config, output_dir=str(tmp_path / folder), **given)
        if looked:
            trainer.add_callback(SamplesCallback(TEXTS, tokenizer))
        trainer.train(resume and str(tmp_path / folder / resume))
        return trainer

    return run


def steps(folder: Path) -> list[int]:
    return [frame["step"] for frame in read_frames(folder / PAGE, 10**9)]


def test_the_page_grows_and_the_weights_are_those_of_a_run_without(train: Callable[..., Any], tmp_path: Path) -> None:
    whole, other = train(), train("other", looked=False)
    assert steps(tmp_path / "run") == [0, 1, 2, 3, 4]
    frames = read_frames(tmp_path / "run" / PAGE, 10**9)
    assert [shown["text"] for shown in frames[0]["panels"][0]["inspections"]] == TEXTS
    first, last = (frame["panels"][0]["inspections"][0]["courses"]["rtd"] for frame in (frames[0], frames[-1]))
    assert first["operated"] == last["operated"] and first["logits"] != last["logits"]
    assert not (tmp_path / "other" / PAGE).exists()
    weights = other.model.state_dict()
    assert [name for name, value in whole.model.state_dict().items() if not torch.equal(value, weights[name])] == []
    assert (whole.model.turn, whole.model.training) == (other.model.turn, other.model.training)


def test_a_resumed_run_keeps_the_steps_up_to_its_checkpoint(train: Callable[..., Any], tmp_path: Path) -> None:
    train()
    before = read_frames(tmp_path / "run" / PAGE, 2)
    train(resume="checkpoint-2", eval_steps=2)
    after = read_frames(tmp_path / "run" / PAGE, 10**9)
    assert [frame["step"] for frame in after] == [0, 1, 2, 4]
    assert after[:3] == before
    for damaged in ("<!DOCTYPE html>", '<script type="application/json" id="data">{"frames": [1]}</script>'):
        (tmp_path / "run" / PAGE).write_text(damaged)
        train(resume="checkpoint-2", eval_steps=2)
        assert steps(tmp_path / "run") == [4]
    train(eval_steps=2)
    assert steps(tmp_path / "run") == [0, 2, 4], "a new run begins a new page"


def test_a_long_run_has_few_steps(train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_MOST", 4)
    train(max_steps=6)
    assert steps(tmp_path / "run") == [0, 4, 6]
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == []


def test_a_page_that_cannot_be_written_ends_no_run(
    train: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run" / PAGE).mkdir(parents=True)
    assert train().state.global_step == 4
    assert "samples.html: " in caplog.text


def test_texts_are_the_first_known_tokens_of_rows(tokenizer: BertTokenizer) -> None:
    rows = [{"input_ids": [2, 1, 1, 3]}, {"input_ids": [2, *range(10, 40), 3]}]
    assert list(known_texts(rows, tokenizer)) == [" ".join(f"w{n}" for n in range(10, 30))]
