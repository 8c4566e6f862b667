from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from tqdm.auto import tqdm
from transformers import TrainerControl, TrainerState, TrainingArguments

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.finetuning.arguments import FinetuningArguments
from transformers_mcl.method.courses import COURSES
from transformers_mcl.training.callbacks import (
    CourseLinesCallback,
    CourseProgressCallback,
    bars_closed,
    format_seconds,
    summary_line,
)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (45, "45 s"), (60, "1 min"), (200, "3 min 20 s"), (18_720, "5 h 12 min"), (184_000, "2 d 3 h")],
)
def test_durations_are_said_as_a_person_would(seconds: float, said: str) -> None:
    assert format_seconds(seconds) == said


def test_summary_line_of_logs_and_evaluations() -> None:
    assert summary_line({"loss": 61.234, "rtd_disc_auc": 0.5, "learning_rate": 1e-3}) == "loss 61.23  auc rtd 0.500"
    assert summary_line({"eval_loss": 2.0, "eval_mlm_loss": 1.0}) == "loss 2.00  mlm 1.000"
    assert (
        summary_line({"loss": 1.0, "std_disc_auc": 0.6, "itd_disc_auc": 0.7}) == "loss 1.00  auc std 0.600  itd 0.700"
    )
    assert summary_line({"train_runtime": 3.0}) == ""


def test_says_how_long_it_will_take_once_steps_were_measured(
    make_trainer: Callable[..., MclTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(max_steps=14, disable_tqdm=False, logging_steps=7).train()
    out = capsys.readouterr().out
    assert out.count("s a step: about") == 1
    assert "step  7/14  loss" in out


def test_the_time_is_estimated_anew_where_losses_begin(
    make_trainer: Callable[..., MclTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(max_steps=30, generator_warmup_steps=15, logging_steps=30).train()
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.endswith(" to go without evaluations and later losses")
    assert second.endswith(" to go without evaluations")


def test_a_log_file_has_one_short_line_a_log(
    make_trainer: Callable[..., MclTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    """At most 80 columns, evaluations marked, no figures but the main ones, and none of what comes after training."""
    trainer = make_trainer(max_steps=14, logging_steps=7, eval_strategy="steps", eval_steps=14)
    trainer.train()
    trainer.evaluate()
    out, err = capsys.readouterr()
    assert err == ""
    first, estimate, *others = out.splitlines()
    assert "s a step: about" in estimate
    lines = [first, *others]
    assert [line.partition("  loss ")[0] for line in lines] == ["step  7/14", "step 14/14", "eval 14/14"]
    assert all(line.count("auc rtd 0.") == 1 and len(line) <= 80 for line in lines)


def test_lines_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run of a million steps, from its first loss on."""
    state, control = TrainerState(max_steps=1_000_000, global_step=999_999), TrainerControl()
    args, lines = TrainingArguments(use_cpu=True), CourseLinesCallback()
    lines.on_train_begin(args, state, control)
    figures = {f"eval_{course}_disc_auc": 0.5 for course in COURSES} | {"eval_loss": 99.25, "eval_mlm_loss": 9.75}
    lines.on_log(args, state, control, figures)
    assert len(capsys.readouterr().out.rstrip("\n")) <= 80


@pytest.mark.parametrize(("terminal", "bar"), [(True, False), (False, True)])
def test_bars_are_for_terminals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool, bar: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert MclTrainingArguments(str(tmp_path), use_cpu=True).disable_tqdm is bar
    assert FinetuningArguments(str(tmp_path), use_cpu=True).disable_tqdm is bar
    assert not MclTrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=False).disable_tqdm


@pytest.mark.parametrize("kind", [MclTrainingArguments, FinetuningArguments])
def test_memory_is_not_pinned_where_there_is_no_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[MclTrainingArguments | FinetuningArguments]
) -> None:
    """Of which torch warns, and nobody can do a thing about it but give `--use_cpu`."""
    monkeypatch.setattr("transformers_mcl.training.precision._device_type", lambda args: "cpu")
    assert not kind(str(tmp_path)).dataloader_pin_memory
    monkeypatch.setattr("transformers_mcl.training.precision._device_type", lambda args: "mps")
    assert kind(str(tmp_path)).dataloader_pin_memory


class _Screen:
    """What IPython.display does with what a notebook is shown: the last of it is seen."""

    def __init__(self) -> None:
        self.html = ""

    def display(self, html: str, display_id: bool = False) -> _Screen:
        self.update(html)
        return self

    def update(self, html: str) -> None:
        self.html = html


def test_a_notebook_has_a_small_table(
    make_trainer: Callable[..., MclTrainer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the main figures by step, under a bar with the time left and the speed."""
    screen, display = _Screen(), ModuleType("IPython.display")
    vars(display).update(display=screen.display, HTML=str)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(sys.modules["IPython"], "display", display, raising=False)
    monkeypatch.delitem(sys.modules, "transformers.utils.notebook", raising=False)
    monkeypatch.delitem(sys.modules, "transformers_mcl.training.notebook_progress", raising=False)
    theirs = import_module("transformers.utils.notebook").NotebookProgressCallback
    for module in ("transformers.trainer", "transformers_mcl.training.trainer"):
        monkeypatch.setattr(f"{module}.DEFAULT_PROGRESS_CALLBACK", theirs)
    trainer = make_trainer(
        max_steps=4, disable_tqdm=False, eval_strategy="steps", eval_steps=2, generator_warmup_steps=4
    )
    trainer.train()
    assert re.findall("<th>(.*?)</th>", screen.html) == ["step", "loss", "mlm", "auc rtd", "std", "itd"]
    rows = [re.findall("<td>(.*?)</td>", row) for row in screen.html.split("<tr>")[1:]]
    assert [row[0] for row in rows] == ["2", "2, held out", "4", "4, held out"]
    assert all(re.fullmatch(r"\d+\.\d+", value) for row in rows[1::2] for value in row[1:])
    assert rows[2][3:] == ["", "", ""]  # the generator learns alone, and a discriminator is evaluated
    assert re.search(r"\[4/4 \d\d:\d\d, [\d,]+ tokens/s\]", screen.html)
    assert capsys.readouterr().out == ""
    trainer.evaluate()


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
