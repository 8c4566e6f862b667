from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from tqdm.auto import tqdm

from transformers_mcl import MclTrainer, UserError
from transformers_mcl.training.callbacks import CourseProgressCallback, bars_closed, format_seconds, summary_line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (45, "45 s"), (60, "1 min"), (200, "3 min 20 s"), (18_720, "5 h 12 min"), (184_000, "2 d 3 h")],
)
def test_durations_are_said_as_a_person_would(seconds: float, said: str) -> None:
    assert format_seconds(seconds) == said


def test_summary_line_of_logs_and_evaluations() -> None:
    assert summary_line({"loss": 61.234, "rtd_disc_auc": 0.5, "learning_rate": 1e-3}) == "loss 61.23  auc rtd 0.500"
    assert summary_line({"eval_loss": 2.0, "eval_mlm_loss": 1.0}) == "held out: loss 2.00  mlm 1.000"
    assert summary_line({"train_runtime": 3.0}) == ""


def test_says_how_long_it_will_take_once_steps_were_measured(
    make_trainer: Callable[..., MclTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(max_steps=14, disable_tqdm=False, logging_steps=7).train()
    out = capsys.readouterr().out
    assert out.count("s a step: about") == 1
    assert "step       7  loss" in out


def test_the_bar_shows_tokens_per_second(
    make_trainer: Callable[..., MclTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(max_steps=4, disable_tqdm=False)
    trainer.train()
    first = trainer.state.log_history[0]
    speed = first["tokens_per_second"]
    assert first["train_tokens_seen"] == 2 * 4 * 16
    assert f"{speed:,.0f} tokens/s" in capsys.readouterr().err


def test_an_error_gets_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    bar = CourseProgressCallback()
    bar.training_bar = tqdm(total=3)
    with pytest.raises(UserError), bars_closed([bar]):
        raise UserError("bad")
    sys.stderr.write("error\n")
    assert capsys.readouterr().err.endswith("it/s]\nerror\n")
