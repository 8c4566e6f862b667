"""Measuring says what a run costs, and leaves no trace in it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.launching import torchrun
from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.method.courses import OBJECTIVES
from transformers_mcl.training import measure as module
from transformers_mcl.training.callbacks import CourseLinesCallback
from transformers_mcl.training.measure import Speed, measure, rehearsal
from transformers_mcl.training.workload import Workload

from .conftest import tiny_config

Make = Callable[..., MclTrainer]
ALL, ELECTRA = frozenset(OBJECTIVES["mcl"]), frozenset(OBJECTIVES["electra"])


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BLOCK_SECONDS", 0.0)


def test_a_rehearsal_says_nothing(make_trainer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """Or there is an estimate of a run that never ends, in log files above all."""
    trainer = make_trainer()
    with rehearsal(trainer, {"max_steps": 14}) as own:
        own.train()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("bf16", "product"), [(True, 1.0), (False, 5.0)])
def test_a_rough_estimate_is_of_what_the_training_multiplies_in(
    bf16: bool, product: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {torch.bfloat16: 1.0, torch.float32: 5.0}
    monkeypatch.setattr(module, "_product", lambda device, dtype: (100, seconds[dtype]))
    args = MclTrainingArguments(output_dir=str(tmp_path), bf16=bf16, use_cpu=True)
    assert module.rough_seconds(3 * 2e6, args) == pytest.approx(3 * product / module._OF_A_PRODUCT)


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        ({"hidden_dropout_prob": 0.1}, {}),
        ({"course_schedule": "sampled"}, {"course_warmup_steps": 2, "gradient_accumulation_steps": 2}),
        ({"generator_temperature": 2.0}, {"generator_warmup_steps": 0.5, "generator_learning_rate": 1e-3}),
        pytest.param({}, {"bf16_full_eval": True, "auto_find_batch_size": True}, marks=pytest.mark.slow),
        pytest.param(
            {},
            {"bf16": True, "optim": "muon", "per_device_train_batch_size": 32, "batch_size_warmup_steps": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_follows_is_what_would_have_been(make_trainer: Make, config: Any, arguments: Any) -> None:
    def trained(measured: bool) -> tuple[dict[str, torch.Tensor], Any]:
        trainer = make_trainer(config, **arguments)
        drawn, numpys = random.getstate(), str(np.random.get_state())
        kept = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        mode, drawn_by_torch = trainer.model.training, torch.get_rng_state()
        if measured:
            measure(trainer)
            assert all(torch.equal(value, kept[name]) for name, value in trainer.model.state_dict().items())
            assert random.getstate() == drawn and str(np.random.get_state()) == numpys
            assert torch.equal(torch.get_rng_state(), drawn_by_torch)
            assert trainer.model.training == mode and trainer.model.turn == 0
            assert "forward" not in vars(trainer.model)
            assert trainer.state.global_step == 0 and trainer.args.max_steps == 4
            assert list(Path(str(trainer.args.output_dir)).iterdir()) == []
        trainer.train()
        return trainer.model.state_dict(), trainer.evaluate()["eval_loss"]

    (ours, loss), (plain, other) = trained(True), trained(False)
    assert all(torch.equal(value, ours[name]) for name, value in plain.items())
    assert loss == other


def test_every_part_of_a_run_has_its_time(make_trainer: Make) -> None:
    trainer = make_trainer(generator_warmup_steps=0.25, course_warmup_steps=0.5, correction_warmup_steps=3)
    seen: list[tuple[frozenset[str], int]] = []

    def see(model: Any, _: Any, given: dict[str, Any]) -> None:
        seen.append(
            (frozenset(name for name, weight in model.loss_weights.items() if weight), len(given["input_ids"]))
        )

    handle = trainer.model.register_forward_pre_hook(see, with_kwargs=True)
    found = measure(trainer)
    handle.remove()
    assert {frozenset({"mlm"}), ELECTRA, ALL} <= set(found.seconds) <= {losses for losses, _ in seen}
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.by == "whole batches" and not found.estimated
    assert found.memory > 2**20 and found.evaluation > 0


def test_memory_is_seen_to_grow_by_parts_of_a_batch(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    peaks = iter([100.0, 100.0, 140.0])
    trainer = make_trainer(per_device_train_batch_size=32, gradient_accumulation_steps=2)
    trainer.model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(module, "peak_memory", lambda _: next(peaks))
    monkeypatch.setattr(module, "memory_limit", lambda _: 500.0)
    said = "per_device_train_batch_size=32 does not fit in the memory of cpu: it needs about .* the largest that does "
    with pytest.raises(UserError, match=said + "is about 22; give --per_device_train_batch_size 16 .*steps 4$"):
        measure(trainer)
    assert rows == [2, 2, 4]  # and never all of them


@pytest.mark.slow
def test_what_is_compiled_is_tried_with_whole_batches_alone(make_trainer: Make) -> None:
    rows: list[int] = []
    trainer = make_trainer(per_device_train_batch_size=32)
    trainer.args.torch_compile, trainer.args.torch_compile_backend = True, "eager"
    trainer.model.register_forward_pre_hook(
        lambda model, _, given: rows.append(len(given["input_ids"]) if model.training else 32), with_kwargs=True
    )
    measure(trainer)
    assert set(rows) == {32}


@pytest.mark.parametrize(("largest", "said"), [(0, "and so does no row"), (None, "size 16 --gradient_acc.*_steps 2$")])
def test_what_is_said_of_a_batch_that_does_not_fit(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch, largest: int | None, said: str
) -> None:
    trainer = make_trainer(per_device_train_batch_size=32)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    if largest is None:
        monkeypatch.setattr(MclTrainer, "training_step", full)
    else:
        monkeypatch.setattr(module, "memory_limit", lambda _: 1.0)
    with pytest.raises(UserError, match=said):
        measure(trainer, patience=120 if largest is None else 1e-9)


def test_what_would_take_long_is_not_tried(make_trainer: Make) -> None:
    trainer = make_trainer(per_device_train_batch_size=32, course_warmup_steps=2)
    parts = measure(trainer, patience=1e-6, flops_per_second=1e30)
    assert parts.by == "parts of a batch" and parts.estimated
    rows: list[int] = []
    trainer.model.register_forward_pre_hook(lambda *_: rows.append(1))
    operations = measure(trainer, patience=1e-6, flops_per_second=1e6)
    assert operations.by == "operations" and rows == []
    flops = module._flops(trainer, 32, trainer.model.config.weights)
    assert operations.seconds[ALL] == pytest.approx(flops / 1e6)
    for found in (parts, operations):
        assert found.seconds[ELECTRA] / found.seconds[ALL] == pytest.approx(
            module._flops(trainer, 1, dict.fromkeys(ELECTRA, 1.0)) / module._flops(trainer, 1, dict.fromkeys(ALL, 1.0))
        )


def test_a_rehearsal_says_nothing_of_its_endless_run(make_trainer: Make) -> None:
    with rehearsal(make_trainer(), {"max_steps": 10**7}) as own:
        assert not [one for one in own.callback_handler.callbacks if isinstance(one, CourseLinesCallback)]


def work(steps: int, rows: int | None = 1000, **arguments: Any) -> Workload:
    args = MclTrainingArguments("unused", use_cpu=True, per_device_train_batch_size=4, **arguments)
    return Workload(args, tiny_config(), steps, rows, 16.0)


def test_a_run_takes_the_time_of_its_parts_and_its_evaluations() -> None:
    speed = Speed({ELECTRA: 1.0, ALL: 10.0}, 100.0, 0.0)
    assert speed.of_run(work(100)) == 100 * 10 + 100
    assert speed.of_run(work(100, course_warmup_steps=0.25)) == 25 * 1 + 75 * 10 + 100
    assert speed.of_run(work(100, course_warmup_steps=500)) == 100 * 1 + 100
    assert speed.of_run(work(100, eval_strategy="steps", eval_steps=0.25)) == 100 * 10 + 5 * 100
    assert speed.of_run(work(100, eval_strategy="steps", eval_steps=40)) == 100 * 10 + 3 * 100
    assert speed.of_run(work(500, eval_strategy="epoch")) == 500 * 10 + 3 * 100
    half = work(100, batch_size_warmup_steps=100, batch_size_warmup_start=2)  # 2, 3, 4 rows in turn
    assert speed.of_run(half) == pytest.approx(100 * 10 * half.tokens / (100 * 64) + 100) and half.tokens < 4900
    assert speed.tokens_per_second(work(100)) == 6.4
    assert speed.of_run(work(0x10, rows=None)) == 16 * 10 + 100
    assert replace(speed, by="operations").estimated


@pytest.mark.slow
def test_two_processes_agree_and_train_as_if_nothing_was_measured(tmp_path: Path) -> None:
    words = [*torchrun(), "-m", "tests.training.measured", str(tmp_path)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (same, steps), other = ((tmp_path / f"{rank}.txt").read_text().split() for rank in (0, 1))
    assert same == "True" and int(steps) > 1 and other == [same, steps]
