"""When a run pushes its checkpoints, and that nothing of it stops the run; what arrives is seen in `tests/hub`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.training import revisions
from transformers_mcl.training.measure import rehearsal
from transformers_mcl.training.revisions import RevisionsCallback

Make = Callable[..., MclTrainer]


class Run:
    """A run that pushes its checkpoints to a Hub, which fails while it is `down`; what was pushed, and tried in vain,
    in this order, and what was warned of."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pushed: list[str] = []
        self.tried: list[str] = []
        self.warned: list[str] = []
        self.down: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.callback = RevisionsCallback("ada/run", "hf_secret")

    def push(self, checkpoint: Path, name: str, *, token: str | None) -> None:
        assert (name, token) == ("ada/run", "hf_secret")
        self.answers.wait()
        if self.down is not None:
            self.tried.append(checkpoint.name)
            raise self.down
        self.pushed.append(checkpoint.name)

    def call(self, event: str, step: int) -> None:
        args = TrainingArguments(str(self.folder), use_cpu=True)
        getattr(self.callback, event)(args, TrainerState(global_step=step), TrainerControl())
        if self.answers.is_set():
            self.end()

    def end(self) -> None:
        """Waits for all that is pushed."""
        self.answers.set()
        for thread in threading.enumerate():
            if thread.name == "push_revisions":
                thread.join()

    def checkpoint(self, step: int) -> Path:
        (path := self.folder / f"checkpoint-{step}").mkdir()
        return path

    def save(self, step: int) -> Path:
        path = self.checkpoint(step)
        self.call("on_save", step)
        return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    monkeypatch.setattr(revisions, "push_revision", run.push)
    monkeypatch.setattr(revisions.logger, "warning", run.warned.append)
    run.call("on_train_begin", 0)
    yield run
    run.end()


def test_each_checkpoint_is_pushed_once(run: Run) -> None:
    for step in (2, 4):
        run.save(step)
    run.call("on_train_end", 4)
    assert run.pushed == ["checkpoint-2", "checkpoint-4"] and run.warned == []


def test_what_fails_is_tried_again(run: Run) -> None:
    run.down = OSError("no route to host\nat all")
    for step in (2, 4):
        run.save(step)
    assert run.tried == ["checkpoint-2", "checkpoint-4"], "of several, the newest alone"
    assert len(run.warned) == 2
    said = "push_revisions: checkpoint-2 is not pushed, and tried again later: "
    assert run.warned[0].startswith(said) and "\n" not in run.warned[0]
    run.down = None
    run.save(6)
    run.call("on_train_end", 6)
    assert run.pushed == ["checkpoint-6", "checkpoint-4", "checkpoint-2"] and len(run.warned) == 2


def test_what_never_arrived_is_said(run: Run) -> None:
    run.down = RuntimeError("whatever a client raises")
    run.save(2).rmdir()  # as `save_total_limit` does
    run.save(4)
    run.call("on_train_end", 4)
    assert run.tried == ["checkpoint-2", "checkpoint-4", "checkpoint-4"], "and at the end"
    assert run.warned[-1].startswith("push_revisions: not on ada/run: checkpoint-2 (removed), checkpoint-4; ")
    failed = "push_revisions: checkpoint-4 is not pushed, and tried again later: whatever a client raises"
    assert run.warned[1:3] == [failed] * 2 and len(run.warned) == 4


def test_a_hub_that_never_answers_holds_nothing_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "_PATIENCE", 0.01)
    waited: list[float | None] = []

    class Waiting(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waited.append(timeout)
            super().join(timeout)

    clock = iter((0.0, 0.004))
    monkeypatch.setattr(revisions, "Thread", Waiting)
    monkeypatch.setattr(revisions, "monotonic", lambda: next(clock))
    run.answers.clear()
    for step in (2, 4):
        run.save(step)
    run.call("on_train_end", 4)
    assert waited == [0.01, 0.006], "once, however many are left"
    assert run.pushed == [] and run.warned[-1].startswith(
        "push_revisions: not on ada/run: checkpoint-2, checkpoint-4;"
    )
    run.end()
    assert sorted(run.pushed) == ["checkpoint-2", "checkpoint-4"] and len(run.warned) == 1


def test_another_run_begins_while_one_is_still_pushed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(revisions, "_PATIENCE", 0.01)
    monkeypatch.setattr(threading, "excepthook", raised.append)
    run.answers.clear()
    run.save(2)
    run.call("on_train_end", 2)
    run.call("on_train_begin", 0)
    run.end()
    assert (run.pushed, raised) == (["checkpoint-2"], [])


def test_at_sigterm_nothing_waits(run: Run) -> None:
    run.callback = RevisionsCallback("ada/run", "hf_secret", in_a_hurry=lambda: True)
    run.answers.clear()
    run.save(2)
    run.call("on_train_end", 2)
    assert run.warned[-1].startswith("push_revisions: not on ada/run: checkpoint-2;")


def test_a_resumed_run_pushes_what_it_goes_on_from(run: Run) -> None:
    for step in (2, 4):
        run.checkpoint(step)
    run.call("on_train_begin", 4)
    assert run.pushed == ["checkpoint-4"], "its push may have been cut short; checkpoint-2 may be another run's"
    run.call("on_train_begin", 6)  # from another folder
    run.call("on_train_end", 6)
    assert run.pushed == ["checkpoint-4"] and run.warned == []


@pytest.fixture
def pushing(monkeypatch: pytest.MonkeyPatch, make_trainer: Make) -> Make:
    """A trainer with a repository, which is not made."""
    monkeypatch.setattr(MclTrainer, "init_hf_repo", lambda self: setattr(self, "hub_model_id", "ada/run"))
    return lambda **more: make_trainer(push_revisions=True, hub_model_id="run", **more)


def callbacks(trainer: MclTrainer) -> list[Any]:
    return [one for one in trainer.callback_handler.callbacks if isinstance(one, RevisionsCallback)]


def test_a_rehearsal_pushes_nothing(pushing: Make) -> None:
    with rehearsal(trainer := pushing(), {"max_steps": 1}) as own:
        assert ([one.name for one in callbacks(trainer)], callbacks(own)) == (["ada/run"], [])


def test_only_the_first_process_pushes(pushing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MclTrainer, "is_world_process_zero", lambda _: False)
    assert callbacks(pushing()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "push_revisions=True has no repository: give --hub_model_id NAME, or --push_to_hub true"),
        ({"hub_model_id": "a b"}, "hub_model_id='a b' is no name of a repository"),
    ],
)
def test_no_repository(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        MclTrainingArguments(str(tmp_path), push_revisions=True, **given)


def sharding(kind: str) -> Any:
    """As much of a trainer as is looked at."""
    weights = "FULL_STATE_DICT" if "whole" in kind else "SHARDED_STATE_DICT"
    config = SimpleNamespace(is_zero3=lambda: "zero3" in kind, get_value=lambda name, default: "whole" in kind)
    state = SimpleNamespace(
        fsdp_plugin=SimpleNamespace(state_dict_type=f"StateDictType.{weights}"),
        deepspeed_plugin=SimpleNamespace(hf_ds_config=config),
    )
    return SimpleNamespace(
        is_fsdp_enabled="fsdp" in kind,
        is_deepspeed_enabled="zero" in kind,
        accelerator=SimpleNamespace(state=state),
        is_world_process_zero=lambda: False,
    )


def test_shards_are_refused() -> None:
    for kind in ("fsdp", "zero3"):
        with pytest.raises(UserError, match="push_revisions=True: .* are in shards"):
            revisions.push_checkpoints(sharding(kind))
    for kind in ("one process", "fsdp whole", "zero2", "zero3 whole"):
        revisions.push_checkpoints(sharding(kind))
