from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.testing_utils import CaptureLogger
from transformers.utils.logging import get_logger

from transformers_mcl import MclForPreTraining, MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.method.courses import COURSES, all_losses
from transformers_mcl.models.flops import step_flops

Make = Callable[..., MclTrainer]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    assert isinstance(trainer.model, MclForPreTraining)
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def trained(make_trainer: Make, **arguments: Any) -> MclTrainer:
    """Trained at once, since making a trainer seeds the draws of its training."""
    trainer = make_trainer(**arguments)
    trainer.train()
    return trainer


@pytest.mark.parametrize("objective", ["mcl", "electra"])
@pytest.mark.parametrize("detection_heads", ["per_course", "shared"])
def test_every_parameter_changes(make_trainer: Make, objective: str, detection_heads: str) -> None:
    trainer = make_trainer({"objective": objective, "detection_heads": detection_heads}, max_steps=2, weight_decay=0.0)
    before = weights(trainer)
    trainer.train()
    assert [name for name, value in weights(trainer).items() if torch.equal(value, before[name])] == []


def test_logs_every_loss_and_the_metrics_of_every_course(make_trainer: Make) -> None:
    trainer = make_trainer()
    trainer.train()
    log = trainer.state.log_history[0]
    assert {f"{name}_loss" for name in all_losses()} <= set(log)
    expected = ("disc_auc", "disc_accuracy", "disc_recall", "disc_loss")
    assert {f"{course}_{figure}" for course in ("rtd", "std", "itd") for figure in expected} <= set(log)
    assert {f"{course}_masked_lm_accuracy" for course in ("rtd", "std")} <= set(log)
    weighted = sum(trainer.model.config.weights[name] * log[f"{name}_loss"] for name in all_losses())
    # Two steps of equal counts: the logged total is the weighted sum of the logged losses.
    assert log["loss"] == pytest.approx(weighted, rel=1e-4)


def test_logged_losses_are_means_over_the_steps_since_the_last_log(make_trainer: Make) -> None:
    one, both = (trained(make_trainer, logging_steps=steps, max_steps=2) for steps in (1, 2))
    first, second = one.state.log_history[0]["mlm_loss"], one.state.log_history[1]["mlm_loss"]
    assert first != second
    assert both.state.log_history[0]["mlm_loss"] == pytest.approx((first + second) / 2, rel=1e-6)


def test_a_backward_per_pass_gives_the_same_weights_as_one_for_all(make_trainer: Make) -> None:
    # Plain descent: Adam would blow up the rounding of gradients that are zero, such as those of the keys' bias.
    plain = {"optim": "sgd", "learning_rate": 1e-3}
    apart, together = (trained(make_trainer, backward_per_pass=apart, **plain) for apart in (True, False))
    for (name, left), right in zip(weights(apart).items(), weights(together).values(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(("apart", "backwards"), [(True, 9), (False, 1)])
def test_number_of_backwards(make_trainer: Make, monkeypatch: pytest.MonkeyPatch, apart: bool, backwards: int) -> None:
    trainer, calls = make_trainer(max_steps=1, backward_per_pass=apart), []
    backward = trainer.accelerator.backward

    def counted(loss: torch.Tensor, **kwargs: Any) -> None:
        calls.append(loss)
        backward(loss, **kwargs)

    monkeypatch.setattr(trainer.accelerator, "backward", counted)
    trainer.train()
    assert len(calls) == backwards


def test_gradient_accumulation_divides_by_its_steps(make_trainer: Make) -> None:
    trainer = make_trainer(max_steps=1, gradient_accumulation_steps=4, logging_steps=1)
    trainer.train()
    log = trainer.state.log_history[0]
    weighted = sum(trainer.model.config.weights[name] * log[f"{name}_loss"] for name in all_losses())
    assert log["loss"] == pytest.approx(weighted, rel=1e-4)  # not four times as much


@pytest.mark.parametrize("warmup", [2, 0.5])
def test_course_warmup_trains_replaced_token_detection_alone(make_trainer: Make, warmup: float) -> None:
    trainer = make_trainer(course_warmup_steps=warmup)
    trainer.train()
    before, after = trainer.state.log_history[:2]
    assert {name for name in all_losses() if f"{name}_loss" in before} == {"mlm", "rtd"}
    assert {name for name in all_losses() if f"{name}_loss" in after} == set(all_losses())


def test_the_generator_may_learn_alone_at_first(make_trainer: Make) -> None:
    """Then replaced token detection, then all; the discriminator does no pass and does not change before."""
    trainer = make_trainer(
        generator_warmup_steps=2, course_warmup_steps=0.67, max_steps=6, eval_strategy="steps", eval_steps=2
    )
    before, between = weights(trainer), dict[str, torch.Tensor]()

    class Look(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2 and not between:
                between.update(weights(trainer))

    trainer.add_callback(Look)
    trainer.train()
    history = trainer.state.log_history
    first, then, last = ({n for n in all_losses() if f"{n}_loss" in log} for log in history if "loss" in log)
    assert (first, then, last) == ({"mlm"}, {"mlm", "rtd"}, set(all_losses()))
    assert "rtd_disc_auc" not in history[0] and "rtd_sampled_masked_lm_accuracy" in history[0]
    held_out = next(log for log in history if "eval_loss" in log)
    assert {n for n in all_losses() if f"eval_{n}_loss" in held_out} == set(all_losses())
    changed = {n for n, value in between.items() if not torch.equal(value, before[n])}
    assert changed == {n for n in before if n.startswith("generator.") or "word_embeddings" in n}


def test_corrections_may_begin_later(make_trainer: Make) -> None:
    trainer = make_trainer(correction_warmup_steps=2)
    trainer.train()
    before, after = ({name for name in all_losses() if f"{name}_loss" in log} for log in trainer.state.log_history[:2])
    assert before == {name for name in all_losses() if not name.startswith("re_")} and after == set(all_losses())


def test_the_temperature_falls_with_the_steps_and_is_the_last_in_every_evaluation(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"generator_temperature": 3.0, "generator_temperature_decay": 0.5}
    trainer, used = make_trainer(config, eval_strategy="steps", eval_steps=2), []
    forward = MclForPreTraining.forward

    @wraps(forward)
    def noted(self: MclForPreTraining, *args: Any, **kwargs: Any) -> Any:
        used.append((self.training, self.temperature))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(MclForPreTraining, "forward", noted)
    trainer.train()
    assert [t for training, t in used if training] == pytest.approx([1 + 2 * math.exp(-i / 4 / 0.5) for i in range(4)])
    (last,) = {t for training, t in used if not training}
    assert last == pytest.approx(1 + 2 * math.exp(-2))
    used.clear()
    constant = make_trainer({"generator_temperature": 3.0}, max_steps=2)
    constant.train()
    constant.evaluate()
    assert {t for _, t in used} == {3.0}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("generator_warmup_steps", {"rtd": 50.0}),
        ("course_warmup_steps", {"slm": 1.0, "std": 50.0}),
        ("correction_warmup_steps", {"re_mlm": 1.0}),
    ],
)
def test_a_warmup_that_leaves_nothing_to_train_is_refused(
    make_trainer: Make, name: str, weights: dict[str, float]
) -> None:
    with pytest.raises(UserError, match=rf"{name}=2: .*{next(iter(weights))}"):
        make_trainer({"loss_weights": weights}, **{name: 2})
    make_trainer({"loss_weights": weights})


def test_a_generator_that_is_not_trained_does_not_begin_alone(make_trainer: Make) -> None:
    with pytest.raises(UserError, match=r"generator_warmup_steps=0\.5: .* train mlm, and .* are rtd, "):
        make_trainer({"generator_trainable": False}, generator_warmup_steps=0.5)


def test_processes_that_wait_for_every_parameter_do_not_sample_courses(make_trainer: Make) -> None:
    with pytest.raises(UserError, match="ddp_find_unused_parameters=False .*'sampled'"):
        make_trainer({"course_schedule": "sampled"}, ddp_find_unused_parameters=False)
    make_trainer(ddp_find_unused_parameters=False)


@pytest.mark.parametrize("warmup", [0, 3])
def test_sampled_courses_share_any_number_of_rows(
    make_trainer: Make, warmup: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs of seven rows in batches of three, the last of one; and a batch that grows from one row on."""
    trainer = make_trainer(
        {"course_schedule": "sampled"},
        max_steps=-1,
        num_train_epochs=3,
        per_device_train_batch_size=3,
        batch_size_warmup_steps=warmup,
    )
    assert isinstance(trainer.train_dataset, Dataset)
    trainer.train_dataset = trainer.train_dataset.select(range(7))
    rows = dict.fromkeys(COURSES, 0)
    corrupt = {name: type(course).corrupt for name, course in COURSES.items()}
    for name, course in COURSES.items():

        def counting(self: Any, given: Any, *args: Any, name: str = name) -> Any:
            rows[name] += len(given)
            return corrupt[name](self, given, *args)

        monkeypatch.setattr(type(course), "corrupt", counting)
    trainer.train()
    assert trainer.state.global_step == 9
    assert sum(rows.values()) == 21 - 3 * bool(warmup)
    assert max(rows.values()) - min(rows.values()) <= 1


def test_a_steps_places_are_those_of_all_its_micro_batches(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of several lengths, of which each micro-batch gives other ones to a course."""
    trainer = make_trainer(
        {"course_schedule": "sampled"}, per_device_train_batch_size=1, gradient_accumulation_steps=4
    )
    ids = [[2, *[5] * length, 3, *[0] * (14 - length)] for length in range(2, 14)]
    trainer.train_dataset = Dataset.from_dict(
        {"input_ids": ids, "attention_mask": [[int(token > 0) for token in row] for row in ids]}
    )
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = []
    forward = MclForPreTraining.forward

    @wraps(forward)
    def noted(self: MclForPreTraining, *args: Any, **kwargs: Any) -> Any:
        output: Any = forward(self, *args, **kwargs)
        steps.append((kwargs["num_items_in_batch"], {name: output.metrics[name][1].item() for name in output.losses}))
        return output

    monkeypatch.setattr(MclForPreTraining, "forward", noted)
    trainer.train()
    assert len(steps) == 16
    for i in range(0, 16, 4):
        used: dict[str, float] = {}
        for _, counts in steps[i : i + 4]:
            used = {name: used.get(name, 0) + counts.get(name, 0) for name in {**used, **counts}}
        assert {name: count.item() for name, count in steps[i][0].items()} == {n: max(c, 1) for n, c in used.items()}


def test_sampled_courses_go_on_where_a_checkpoint_left_them(make_trainer: Make, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 2}
    whole = make_trainer({"course_schedule": "sampled"}, **settings)
    whole.train()
    resumed = make_trainer({"course_schedule": "sampled"}, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert all(value.equal(weights(resumed)[name]) for name, value in weights(whole).items())


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_the_area_of_an_evaluation_is_of_all_its_tokens(
    make_trainer: Make, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    trainer = make_trainer(per_device_eval_batch_size=batch_size)
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    forward = MclForPreTraining.forward

    @wraps(forward)
    def noted(self: MclForPreTraining, *args: Any, **kwargs: Any) -> Any:
        output: Any = forward(self, *args, **kwargs)
        for name, record in output.records.items():
            found.setdefault(name, []).append((record.logits.flatten(), record.labels.flatten()))
        return output

    monkeypatch.setattr(MclForPreTraining, "forward", noted)
    figures = trainer.evaluate()
    for name, batches in found.items():
        logits, labels = (torch.cat(values) for values in zip(*batches, strict=True))
        assert len(batches) == -(-16 // batch_size)
        expected = sklearn.roc_auc_score(labels.long(), logits)
        assert figures[f"eval_{name}_disc_auc"] == pytest.approx(expected, abs=1e-6)


def test_two_evaluations_of_one_model_are_identical(make_trainer: Make) -> None:
    trainer = make_trainer()
    figures = [trainer.evaluate() for _ in range(2)]
    for one in figures:
        for name in [name for name in one if name.endswith(("_runtime", "_second", "preparation_time"))]:
            one.pop(name)
    assert figures[0] == figures[1]
    assert figures[0]["eval_rtd_disc_auc"] > 0
    trainer.args.eval_seed = 1
    assert trainer.evaluate()["eval_mlm_loss"] != figures[0]["eval_mlm_loss"]


def test_evaluation_draws_the_same_masks_for_electra_and_mcl(make_trainer: Make) -> None:
    mcl, electra = make_trainer(), make_trainer({"objective": "electra"})
    electra.model.load_state_dict(mcl.model.state_dict(), strict=False)
    both = [trainer.evaluate() for trainer in (mcl, electra)]
    shared = [name for name in both[1] if name.startswith(("eval_rtd_", "eval_mlm_"))]
    assert len(shared) >= 9
    assert {name: both[0][name] for name in shared} == {name: both[1][name] for name in shared}


def test_evaluating_does_not_change_the_training_after_it(make_trainer: Make) -> None:
    without = trained(make_trainer)
    with_evaluation = trained(make_trainer, eval_strategy="steps", eval_steps=1)
    assert all(torch.equal(v, weights(with_evaluation)[name]) for name, v in weights(without).items())


@pytest.mark.parametrize("bf16", [False, True])
def test_resuming_goes_on_exactly_and_says_nothing_of_tied_weights(
    make_trainer: Make, tmp_path: Path, bf16: bool
) -> None:
    config = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    whole = trained(make_trainer, config=config, save_steps=2, bf16=bf16)
    resumed = make_trainer(config=config, bf16=bf16)
    with CaptureLogger(get_logger("transformers.trainer")) as said:
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert "missing keys" not in said.out
    assert resumed.state.global_step == 4
    assert all(torch.equal(v, weights(resumed)[name]) for name, v in weights(whole).items())


def test_floating_point_operations_are_those_of_the_courses(make_trainer: Make) -> None:
    trainer = make_trainer(max_steps=3, include_num_input_tokens_seen="no")
    trainer.train()
    assert trainer.state.total_flos == pytest.approx(3 * step_flops(trainer.model.config, 4, 16), rel=1e-6)


def test_utilisation_is_the_share_of_what_the_device_can_do(make_trainer: Make) -> None:
    trainer = trained(make_trainer, peak_flops=1e12)
    log = trainer.state.log_history[1]
    assert log["mfu"] == log["flops_per_second"] / 1e12
    # Operations of a step by its tokens: the count of both networks, and not of what a log happens to span.
    a_token = step_flops(trainer.model.config, 4, 16) / (4 * 16)
    assert log["flops_per_second"] == pytest.approx(a_token * log["tokens_per_second"], rel=1e-6)
    assert "mfu" not in trained(make_trainer).state.log_history[1]


def test_a_plain_trainer_trains_and_evaluates_the_pair(make_trainer: Make, rows: Dataset, tmp_path: Path) -> None:
    model: MclForPreTraining = make_trainer().model
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, use_cpu=True, prediction_loss_only=True, disable_tqdm=True
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    before = weights(trainer)
    trainer.train()
    assert any(not torch.equal(value, before[name]) for name, value in weights(trainer).items())
    assert trainer.evaluate()["eval_loss"] > 0


class Break(TrainerCallback):
    """Makes what STD's detection head says NaN, from the third step on."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 2:
            with torch.no_grad():
                model.course_predictions["std"].dense_prediction.bias.fill_(torch.nan)


@pytest.mark.parametrize(
    "arguments",
    [
        {"save_steps": 2, "logging_steps": 500},
        {"save_steps": 2, "save_strategy": "no", "logging_steps": 1},
        {"save_strategy": "no", "logging_steps": 500},
        {"save_steps": 2, "logging_steps": 500, "gradient_accumulation_steps": 2, "backward_per_pass": False},
    ],
    ids=["when saving", "when logging", "at the end", "in one backward"],
)
def test_a_loss_that_is_not_finite_ends_the_run(make_trainer: Make, tmp_path: Path, arguments: dict[str, Any]) -> None:
    trainer = make_trainer(learning_rate=0.02, lr_scheduler_type="linear", **arguments)
    trainer.add_callback(Break())
    with pytest.raises(UserError) as error:
        trainer.train()
    said = str(error.value)
    assert said.startswith(
        "the loss std, re_std (course std) became NaN or infinite at step 3, at a learning rate of "
    )
    assert "learning rate of 0.01;" in said  # of four steps down from 0.02, the third
    good = tmp_path / "checkpoint-2"
    if arguments.get("save_strategy") == "no":
        assert "is none, since none was saved" in said
        assert not list(tmp_path.glob("checkpoint-*"))
    else:
        assert f"the last good checkpoint is {good}:" in said
        assert list(tmp_path.glob("checkpoint-*")) == [good]
        assert all(value.isfinite().all() for value in load_file(good / "model.safetensors").values())


def test_tokens_are_counted_over_a_resumed_run(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2, max_steps=2).train()
    trainer = make_trainer()
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["train_tokens_seen"] for entry in logs] == [2 * 4 * 16, 4 * 4 * 16]
    # Only what was done since: the operations of earlier steps count for no speed.
    a_token = step_flops(trainer.model.config, 4, 16) / (4 * 16)
    assert logs[-1]["flops_per_second"] == pytest.approx(logs[-1]["tokens_per_second"] * a_token, rel=1e-6)


def test_evaluation_is_a_mean_over_places_and_not_over_batches(make_trainer: Make) -> None:
    trainer = make_trainer(per_device_eval_batch_size=12)  # sixteen rows: twelve, then four
    figures = trainer.evaluate()
    weighted = sum(weight * figures[f"eval_{name}_loss"] for name, weight in trainer.model.config.weights.items())
    assert figures["eval_loss"] == pytest.approx(weighted, rel=1e-6)


def test_two_gpus_without_a_launcher_are_one_and_said(make_trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MclTrainingArguments, "n_gpu", property(lambda self: getattr(self, "_n_gpu", 2) or 2))
    with CaptureLogger(get_logger("transformers_mcl.training.trainer")) as said:
        make_trainer()
    assert "2 GPUs are here and this process uses one" in said.out


@pytest.mark.parametrize(
    ("average", "accumulation", "warned"), [("own", 2, True), ("own", 1, False), ("all", 2, False)]
)
def test_what_cannot_be_exact_is_said(make_trainer: Make, average: str, accumulation: int, warned: bool) -> None:
    with CaptureLogger(get_logger("transformers_mcl.training.trainer")) as said:
        make_trainer({"correction_average": average}, gradient_accumulation_steps=accumulation)
    assert ("a mean of the means" in said.out.replace("\n", " ")) == warned


def test_bfloat16_trains(make_trainer: Make) -> None:
    trainer = make_trainer(bf16=True)
    before = weights(trainer)
    trainer.train()
    assert [name for name, value in weights(trainer).items() if torch.equal(value, before[name])] == []
    whole = trained(make_trainer, bf16=False)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(whole.state.log_history[0]["loss"], rel=0.02)


class BreakGradients(TrainerCallback):
    """Makes the gradient infinite, and no loss, at the fourth step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 3:
            model.electra.encoder.layer[0].output.dense.bias.register_hook(lambda gradient: gradient * torch.inf)


@pytest.mark.parametrize("saves", [{"save_steps": 2}, {"save_strategy": "no"}], ids=["when saving", "at the end"])
def test_a_gradient_that_is_not_finite_ends_the_run_before_it_is_saved(
    make_trainer: Make, tmp_path: Path, saves: dict[str, Any]
) -> None:
    trainer = make_trainer(logging_steps=500, **saves)
    trainer.add_callback(BreakGradients())
    with pytest.raises(UserError, match="the gradient of all losses became NaN or infinite at step 4"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == (["checkpoint-2"] if "save_steps" in saves else [])


def test_training_goes_on_after_a_run_that_broke(make_trainer: Make) -> None:
    trainer = make_trainer(logging_steps=500)
    trainer.add_callback(breaking := BreakGradients())
    with pytest.raises(UserError):
        trainer.train()
    trainer.remove_callback(breaking)
    pair: Any = trainer.model
    pair.electra.encoder.layer[0].output.dense.bias._backward_hooks = None
    trainer.model.load_state_dict(make_trainer().model.state_dict())
    trainer.optimizer = None  # transformers would keep it, with its broken moments
    trainer.train()


def test_a_resumed_run_has_the_settings_it_is_given(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2, lr_scheduler_type="linear").train()
    given = {"learning_rate": 1e-3, "weight_decay": 0.5, "adam_beta2": 0.9, "logging_steps": 1, "save_steps": 500}
    trainer = make_trainer(lr_scheduler_type="linear", **given)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "loss" in entry and entry["step"] > 2]
    assert rates == pytest.approx([1e-3 * 2 / 4, 1e-3 * 1 / 4])
    assert trainer.optimizer is not None
    assert {group["betas"] for group in trainer.optimizer.param_groups} == {(0.9, 0.9)}
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.5, 0.0}


def test_the_time_of_training_is_that_of_all_its_parts(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2).train()
    path = tmp_path / "checkpoint-2" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 1000.0}))
    trainer = make_trainer()
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert 1000 < trainer.training_seconds < 1000 + time.perf_counter() - began


def test_resuming_from_true_passes_over_what_was_half_written(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2).train()
    (tmp_path / "checkpoint-9").mkdir()
    trainer = make_trainer(max_steps=6)
    trainer.train(True)
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [2, 4, 6]
    assert trainer.training_seconds > json.loads((tmp_path / "checkpoint-4" / "run.json").read_text())["seconds"]


def test_a_checkpoint_says_what_was_asked_for_again(make_trainer: Make) -> None:
    trainer = make_trainer(save_steps=2, save_total_limit=1, dataloader_drop_last=True)
    trainer.train()
    trainer.evaluate()
    assert (trainer.args.save_total_limit, trainer.args.dataloader_drop_last) == (1, True)
