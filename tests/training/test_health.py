"""Each condition is warned of in a real run that was made to fail so, and a healthy run stays silent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import TrainerControl, TrainerState, TrainingArguments

from transformers_mcl import MclTrainer
from transformers_mcl.training.health import HealthCallback, HealthThresholds

Make = Callable[..., MclTrainer]

UNTRAINED: dict[str, Any] = {"lr_scheduler_type": "constant", "learning_rate": 1e-9}
RTD = {"mlm": 1.0, "rtd": 50.0, "re_mlm": 1.0, "re_rtd": 50.0}


def text(noise: float = 0.3, of: int = 12) -> Dataset:
    """512 rows: each token is the one before it and one more, of twelve; a share of them is any of the vocabulary."""
    draws = torch.Generator().manual_seed(0)
    ids: Tensor = (torch.randint(of, (512, 1), generator=draws) + torch.arange(16)) % of + 5
    other = torch.randint(of, ids.shape, generator=draws) + 5
    ids = torch.where(torch.rand(ids.shape, generator=draws) < noise, other, ids)
    ids[:, 0], ids[:, -1] = 2, 3
    return Dataset.from_dict({"input_ids": ids.tolist()})


def run(
    make_trainer: Make,
    config: dict[str, Any] | None = None,
    rows: Dataset | None = None,
    change: Callable[[MclTrainer], Any] = lambda trainer: None,
    **arguments: Any,
) -> MclTrainer:
    given: dict[str, Any] = {"max_steps": 24, "logging_steps": 1, "per_device_train_batch_size": 32, **arguments}
    trainer = make_trainer(config, **given)
    trainer.train_dataset = rows or text()
    change(trainer)
    trainer.train()
    return trainer


def warned(trainer: MclTrainer, condition: str) -> list[dict[str, Any]]:
    return [warning for warning in trainer.health_warnings if warning["condition"] == condition]


def test_a_healthy_run_is_silent(make_trainer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    wider = {"hidden_size": 32, "intermediate_size": 64, "embedding_size": 32, "generator_hidden_size": 32}
    trainer = run(make_trainer, {**wider, "loss_weights": RTD}, text(noise=0.1), max_steps=100, logging_steps=4)
    last = trainer.state.log_history[-2]
    assert last["rtd_disc_auc"] > 0.6 and last["mlm_loss"] < 2  # it has learnt something
    assert trainer.health_warnings == []
    assert "What to do" not in capsys.readouterr().err


def test_a_discriminator_that_calls_everything_original(
    make_trainer: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate far too high: it says the same of every token."""
    trainer = run(make_trainer, {"objective": "electra"}, learning_rate=0.5)
    (warning,) = warned(trainer, "discriminator_says_original")
    assert warning["course"] == "rtd"
    assert 8 < warning["step"] < 24
    seen = trainer.state.log_history[warning["step"] - 1]
    assert f"rtd_disc_recall is {seen['rtd_disc_recall']:.3f}" in warning["message"]
    assert f"rtd_disc_auc {seen['rtd_disc_auc']:.3f}" in warning["message"]
    assert "What to do: lower --learning_rate" in warning["message"]
    assert capsys.readouterr().err.count(warning["message"]) == 1


def freeze_generator(trainer: MclTrainer) -> None:
    trainer.model.generator.requires_grad_(False)


def test_a_generator_that_is_too_weak(make_trainer: Make) -> None:
    trainer = run(
        make_trainer, {"vocab_size": 900, "objective": "electra"}, change=freeze_generator, backward_per_pass=False
    )
    (warning,) = warned(trainer, "generator_too_weak")
    assert "rtd_sampled_masked_lm_accuracy is 0.0" in warning["message"]
    assert {w["message"].split("_loss")[0][-3:] for w in warned(trainer, "loss_is_flat")} == {"mlm"}


def test_a_generator_that_is_too_good_leaves_the_notebook_empty(make_trainer: Make) -> None:
    """Text of one token: whatever is masked is known, so that no token is replaced."""
    trainer = run(make_trainer, rows=text(of=1), max_steps=40, learning_rate=2e-2)
    assert {warning["course"] for warning in warned(trainer, "generator_too_good")} == {"rtd", "std"}
    empty = [warning["message"] for warning in warned(trainer, "notebook_empty")]
    assert any("and re_mlm learns nothing" in message for message in empty)
    assert any("and re_slm learns nothing" in message for message in empty)


def call_everything_replaced(trainer: MclTrainer) -> None:
    head: Any = trainer.model.discriminator_predictions
    torch.nn.init.constant_(head.dense_prediction.bias, 20.0)


def test_a_notebook_that_swallows_everything(make_trainer: Make) -> None:
    trainer = run(make_trainer, {"loss_weights": RTD}, change=call_everything_replaced, **UNTRAINED)
    (warning,) = warned(trainer, "notebook_full")
    assert "pos3 holds 0.8" in warning["message"]
    assert not warned(trainer, "notebook_empty")  # it has pos3, and pos4


def test_losses_that_no_longer_move(make_trainer: Make) -> None:
    trainer = run(make_trainer, **UNTRAINED)
    messages = [warning["message"] for warning in warned(trainer, "loss_is_flat")]
    assert any("mlm_loss no longer moves" in m and "at a learning rate of 1e-09" in m for m in messages)
    assert {warning["course"] for warning in warned(trainer, "loss_is_flat")} == {"rtd", "std", "itd"}


def test_what_is_known_survives_a_resume(make_trainer: Make, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"save_steps": 17, **UNTRAINED}
    whole = run(make_trainer, **arguments)
    assert whole.health_warnings[0]["step"] < 17 < whole.state.global_step
    state = tmp_path / "checkpoint-17" / "trainer_state.json"
    for restored_by_transformers in (False, True):
        resumed = make_trainer(
            max_steps=24,
            logging_steps=1,
            per_device_train_batch_size=32,
            restore_callback_states_from_checkpoint=restored_by_transformers,
            **arguments,
        )
        resumed.train_dataset = text()
        resumed.train(resume_from_checkpoint=str(state.parent))
        assert resumed.health_warnings == whole.health_warnings
    resumed.save_state()
    saved = json.loads((tmp_path / "trainer_state.json").read_text())["stateful_callbacks"]["HealthCallback"]
    assert saved["attributes"]["warnings"] == whole.health_warnings


def test_a_checkpoint_that_knows_nothing_of_it_is_gone_on_from(make_trainer: Make, tmp_path: Path) -> None:
    run(make_trainer, max_steps=2, save_steps=1)
    path = tmp_path / "checkpoint-1" / "trainer_state.json"
    state = json.loads(path.read_text())
    del state["stateful_callbacks"]["HealthCallback"]
    path.write_text(json.dumps(state))
    resumed = make_trainer(max_steps=2, save_steps=1)
    resumed.train(resume_from_checkpoint=str(path.parent))
    assert resumed.health_warnings == []


def followed(callback: HealthCallback, logs: list[dict[str, float]], max_steps: int | None = None) -> list[int]:
    """Steps of the warnings of a run with these logs, one a step."""
    state, arguments = TrainerState(max_steps=max_steps or len(logs)), TrainingArguments("unused")
    callback.on_train_begin(arguments, state, TrainerControl())
    for state.global_step, log in enumerate(logs, start=1):
        callback.on_log(arguments, state, TrainerControl(), {"loss": 1.0, "learning_rate": 1.0, **log})
    return [warning["step"] for warning in callback.warnings]


def test_warns_again_only_after_it_was_gone() -> None:
    good, bad = [{"rtd_sampled_masked_lm_accuracy": accuracy} for accuracy in (0.3, 0.01)]
    for logs, steps in (
        (10 * [bad], [5]),
        (30 * [bad], [5]),
        (10 * [bad] + 2 * [good] + 10 * [bad], [5]),
        (10 * [bad] + 20 * [good] + 10 * [bad], [5, 35]),
        (3 * ([good] + 4 * [bad]), []),
    ):
        assert followed(HealthCallback(grace_steps=0), logs) == steps
    assert followed(HealthCallback(grace_steps=0, window=2), 10 * [bad]) == [2]


def test_a_figure_has_a_time_of_grace_from_its_first_log_on() -> None:
    bad = {"std_sampled_masked_lm_accuracy": 0.0}
    assert followed(HealthCallback(), 42 * [bad]) == [19]  # a third of the run, and five looks
    assert followed(HealthCallback(), 20 * [{}] + 22 * [bad]) == [39]
    assert followed(HealthCallback(grace_steps=3), 42 * [bad]) == [8]


def test_a_look_is_a_mean_over_a_hundredth_of_the_run() -> None:
    logs = [{"rtd_sampled_masked_lm_accuracy": accuracy} for accuracy in (0.0, 0.03)] * 200
    assert followed(HealthCallback(grace_steps=0), logs) == [5 * 4]
    assert followed(HealthCallback(grace_steps=0, look_steps=3), logs, max_steps=10**6) == []


def flat(*, rate: float = 1.0, slope: float = 0.0, noise: float = 0.01) -> list[int]:
    logs = [{"mlm_loss": 2 + slope * i + noise * (-1) ** i, "learning_rate": 1 if i < 5 else rate} for i in range(40)]
    return followed(HealthCallback(grace_ratio=0.25), logs)


def test_a_slow_but_sure_way_down_is_no_failure() -> None:
    assert flat() == [20]
    assert flat(noise=0) == [20]
    assert flat(rate=0.2) == [20]
    assert flat(rate=0.05) == []  # at the end of a schedule nothing moves
    assert flat(slope=-1e-4, noise=1e-4) == []
    assert flat(slope=-1e-4, noise=0.01) == [20]
    assert flat(noise=0.1) == []  # nobody can tell
    assert flat(slope=-0.1, noise=0.1) == []


def test_thresholds_are_the_users(make_trainer: Make) -> None:
    trainer = make_trainer(max_steps=1)
    own = HealthCallback(window=3)
    again = MclTrainer(trainer.model, trainer.args, train_dataset=trainer.train_dataset, callbacks=[own])
    found = [c for c in again.callback_handler.callbacks if isinstance(c, HealthCallback)]
    assert found == [own]
    assert own.thresholds == HealthThresholds(window=3)
    with pytest.raises(TypeError, match="windows"):
        HealthCallback(windows=3)


def told(token_entropy: float | None = None, steps: int = 100, **curves: Any) -> list[Any]:
    """Condition and step of the warnings of a run with these figures, by the share of it that is done."""
    health = HealthCallback(token_entropy=token_entropy, plateau_steps=20)
    followed(health, [{name: curve(i / steps) for name, curve in curves.items()} for i in range(1, steps + 1)])
    return [(warning["condition"], warning["step"]) for warning in health.warnings]


def test_a_generator_that_does_not_leave_the_unigram_plateau() -> None:
    plateau: dict[str, Any] = {"mlm_loss": lambda done: 6.95 - 0.2 * done}
    assert told(7.0, 400, **plateau) == [("generator_on_plateau", 60)]  # after a tenth of the run, and five looks
    assert told(7.0, 100, **plateau) == [("generator_on_plateau", 25)]  # not before step 20
    assert told(None, **plateau) == told(7.5, **plateau) == []
    assert told(7.0, mlm_loss=lambda done: 7.0 - 4 * done) == []


def test_a_warning_of_the_plateau_says_at_which_rate(make_trainer: Make) -> None:
    trainer = make_trainer({"objective": "electra"}, max_steps=6, logging_steps=1, **UNTRAINED)
    early = HealthCallback(plateau_steps=1)
    again = MclTrainer(trainer.model, trainer.args, train_dataset=text(noise=1), callbacks=[early])
    again.train()
    (warning,) = warned(again, "generator_on_plateau")
    assert early.token_entropy == pytest.approx(math.log(12), abs=0.01)
    assert "how frequent each token is makes 2.48" in warning["message"]
    assert "at a learning rate of 1e-09. What to do: end the run" in warning["message"]


def test_text_that_is_tokenized_as_it_is_read_has_no_entropy_yet(make_trainer: Make) -> None:
    trainer = make_trainer(max_steps=1, eval_strategy="no", remove_unused_columns=False)
    rows = text(noise=1)
    numbers = Dataset.from_dict({"row": list(range(len(rows)))})
    lazy = numbers.with_transform(lambda batch: {"input_ids": [rows[i]["input_ids"] for i in batch["row"]]})
    again = MclTrainer(trainer.model, trainer.args, train_dataset=lazy, data_collator=trainer.data_collator)
    again.train()
    assert again.token_entropy is None and again.state.global_step == 1


SILENT: dict[str, Any] = {"rtd_disc_recall": lambda done: 0.0}


def test_an_auc_that_falls_while_the_generator_becomes_plausible_is_no_failure() -> None:
    def falls(done: float) -> float:
        return max(0.67 - 0.4 * done, 0.48 + 0.1 * done)

    assert min(falls(i / 100) for i in range(100)) < 0.525
    assert told(rtd_disc_auc=falls, mlm_loss=lambda done: 7 - 3 * done, **SILENT) == []
    blind = told(rtd_disc_auc=lambda done: 0.55, mlm_loss=lambda done: 5.0, **SILENT)
    assert ("discriminator_says_original", 39) in blind


def test_a_collapse_is_said_early() -> None:
    learning: dict[str, Any] = {"mlm_loss": lambda done: 7 - 3 * done, **SILENT}
    assert told(rtd_disc_auc=lambda done: 0.5, **learning) == [("discriminator_collapsed", 15)]
    later = told(rtd_disc_auc=lambda done: 0.56 if done < 0.3 else 0.5, **learning)
    assert later == [("discriminator_collapsed", 34)]
    assert told(rtd_disc_auc=lambda done: 0.53, **learning) == []
