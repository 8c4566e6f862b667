"""Which parameter has which optimizer, rate and decay; Muon's steps, schedules, and what cannot be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoModelForMaskedLM,
    ElectraConfig,
    ElectraForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from tests import families
from tests.families import FAMILIES, LAYERS, each
from tests.launching import torchrun
from transformers_mcl import MclForSequenceClassification, MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.training.optimizers import MuonWithAdamW, layerwise_parameter_groups, optimizer_and_groups

from .conftest import tiny_config

Make = Callable[..., MclTrainer]
BOTH = {"optim": "muon", "generator_learning_rate": 2e-3, "muon_learning_rate": 5e-2, "weight_decay": 0.1}
ALL = {
    **BOTH,
    "lr_scheduler_type": "warmup_stable_decay",
    "lr_scheduler_kwargs": {"num_decay_steps": 0.5},
    "batch_size_warmup_steps": 3,
    "length_warmup_steps": 3,
    "length_warmup_lengths": [8],
}


def groups(trainer: MclTrainer) -> dict[str, dict[str, Any]]:
    """The optimizer's group of every parameter; each has one."""
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    pairs = [(names[id(p)], group) for group in trainer.create_optimizer().param_groups for p in group["params"]]
    assert sorted(name for name, _ in pairs) == sorted(names.values())
    return dict(pairs)


@pytest.mark.parametrize("arguments", [{"weight_decay": 0.1}, BOTH, {**BOTH, "optim": "adamw_torch"}])
def test_no_decay_of_biases_and_norms(make_trainer: Make, arguments: dict[str, Any]) -> None:
    arguments = {**arguments, "muon_learning_rate": None} if arguments.get("optim") != "muon" else arguments
    decays = {name: group["weight_decay"] for name, group in groups(make_trainer(**arguments)).items()}
    without = {name for name in decays if "bias" in name or "LayerNorm" in name}
    assert {"electra.relative_attention_bias.weight", "generator.generator_lm_head.bias"} <= without
    assert {name for name, decay in decays.items() if not decay} == without
    assert decays["electra.embeddings.word_embeddings.weight"] == 0.1


@pytest.mark.parametrize("optim", ["adamw_torch", "adafactor"])
def test_the_generator_has_a_rate_of_its_own_and_shares_the_discriminators_embeddings(
    make_trainer: Make, optim: str
) -> None:
    trainer = make_trainer(generator_learning_rate=2e-3, optim=optim)
    rates = {name: group["lr"] for name, group in groups(trainer).items()}
    assert rates == {name: 2e-3 if name.startswith("generator.") else 1e-2 for name in rates}
    assert rates["electra.embeddings.word_embeddings.weight"] == 1e-2
    pair = trainer.model
    assert pair.generator.get_input_embeddings().weight is pair.electra.get_input_embeddings().weight


def test_muon_has_the_matrices_of_the_layers(make_trainer: Make) -> None:
    found = groups(make_trainer({"embedding_size": 8}, **BOTH))
    matrices = {name for name, group in found.items() if group["use_muon"]}
    linear = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
    assert len(matrices) == 2 * len(linear)
    assert all(".encoder.layer.0." in name and name.endswith(".weight") and "Norm" not in name for name in matrices)
    assert {"electra.embeddings_project.weight", "discriminator_predictions.dense.weight"} <= found.keys() - matrices
    # The generator's keeps the proportion of its learning rate: a fifth.
    rates = {(name in matrices, name.startswith("generator.")): group["lr"] for name, group in found.items()}
    expected = {(False, False): 1e-2, (False, True): 2e-3, (True, False): 5e-2, (True, True): 1e-2}
    assert rates == pytest.approx(expected)
    assert {group["adjust_lr_fn"] for name, group in found.items() if name in matrices} == {"match_rms_adamw"}
    assert {group["momentum"] for name, group in found.items() if name in matrices} == {0.95}


@each(FAMILIES)
def test_muon_has_the_matrices_of_the_layers_of_any_family(family: str, tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_config(families.tiny_config(family))
    args = MclTrainingArguments(output_dir=str(tmp_path), optim="muon", use_cpu=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    _, given = optimizer_and_groups(args, model)
    found = {names[id(p)] for group in given["params"] if group["use_muon"] for p in group["params"]}
    layer = f"{model.base_model_prefix}.{LAYERS[family]}."
    assert found == {name for name, p in model.named_parameters() if p.ndim == 2 and name.startswith(layer)} != set()


def test_optim_args_reach_muon(make_trainer: Make) -> None:
    given = "momentum=0.9, nesterov=false, ns_steps=3, adjust_lr_fn=original"
    group = groups(make_trainer(optim="muon", optim_args=given))["electra.encoder.layer.0.output.dense.weight"]
    expected = {"momentum": 0.9, "nesterov": False, "ns_steps": 3, "adjust_lr_fn": "original"}
    assert {name: group[name] for name in expected} == expected
    assert group["lr"] == 1e-2  # learning_rate, where Muon has none of its own


def test_one_optimizer_steps_as_the_two_it_is_made_of_under_a_schedule_and_from_a_checkpoint() -> None:
    def pair() -> tuple[nn.Parameter, nn.Parameter]:
        torch.manual_seed(0)
        return nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6))

    def half(step: int) -> float:
        return 0.5**step

    apart, together = pair(), pair()
    settings: dict[str, Any] = {"betas": (0.9, 0.98), "eps": 1e-6, "fused": True}
    muon = Muon([{"params": [apart[0]], "lr": 0.1, "weight_decay": 0.2}], adjust_lr_fn="match_rms_adamw")
    adamw = AdamW([{"params": [apart[1]], "lr": 0.01, "weight_decay": 0.0}], **settings)

    def joint() -> MuonWithAdamW:
        first = {"params": [together[1]], "lr": 0.01}
        second = {"params": [together[0]], "lr": 0.1, "weight_decay": 0.2, "use_muon": True}
        return MuonWithAdamW([first, second], adjust_lr_fn="match_rms_adamw", **settings)

    both = joint()
    schedules = [LambdaLR(optimizer, half) for optimizer in (muon, adamw, both)]
    for step in range(4):
        for left, right in zip(apart, together, strict=True):
            left.grad = torch.randn(left.shape, generator=torch.Generator().manual_seed(step))
            right.grad = left.grad.clone()
        if step == 2:
            state = (both.state_dict(), schedules[2].state_dict())
            both = joint()
            schedules[2] = LambdaLR(both, half)
            both.load_state_dict(state[0])
            schedules[2].load_state_dict(state[1])
        for optimizer in (muon, adamw, both):
            optimizer.step()
        for schedule in schedules:
            schedule.step()
        assert all(torch.equal(left, right) for left, right in zip(apart, together, strict=True)), step


def test_a_muon_run_with_every_schedule_resumes_exactly(make_trainer: Make, tmp_path: Path) -> None:
    whole = make_trainer(save_steps=2, **ALL)
    whole.train()
    resumed = make_trainer(save_steps=2, **ALL)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    weights = dict(resumed.model.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in whole.model.named_parameters())
    assert resumed.state.num_input_tokens_seen == whole.state.num_input_tokens_seen


RANKS = """
import os, sys
import torch
from torch.nn.parallel import DistributedDataParallel
sys.path.insert(0, sys.argv[2])
from tests.training.conftest import make_trainer, rows
from tests.training.test_optimizers import ALL
make = make_trainer.__wrapped__(rows.__wrapped__(), sys.argv[1])
trainer = make(save_steps=2, **ALL)
trainer.train()
flat = lambda trainer: torch.cat([p.detach().flatten() for p in trainer._pair.parameters()])
assert trainer.args.world_size == 2 and isinstance(trainer.model_wrapped, DistributedDataParallel)
first, second = trainer.accelerator.gather(flat(trainer)[None])
assert torch.equal(first, second) and first.isfinite().all()
resumed = make(save_steps=2, **ALL)
resumed.train(resume_from_checkpoint=sys.argv[1] + "/checkpoint-2")
assert torch.equal(flat(resumed), first)
# A micro-batch of 1, 2 and 3 rows, each in two parts of 8 tokens, then one of 4 rows of 16, on each process.
assert trainer.state.num_input_tokens_seen == 2 * (16 * (1 + 2 + 3) + 64), trainer.state.num_input_tokens_seen
torch.distributed.destroy_process_group()
os._exit(0)  # as the command does (`cli.main.entry`)
"""


@pytest.mark.slow
def test_two_processes_have_the_same_weights_and_resume_exactly(tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    arguments = [str(tmp_path / "ranks.py"), str(tmp_path), str(Path(__file__).parents[2])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun(), *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_warm_up_stable_decay_in_shares_of_the_steps(make_trainer: Make) -> None:
    kind = {"lr_scheduler_type": "warmup_stable_decay", "warmup_steps": 0.2}
    kind["lr_scheduler_kwargs"] = {"num_decay_steps": 0.5, "decay_type": "linear"}
    trainer = make_trainer({"objective": "electra"}, max_steps=10, logging_steps=1, **kind)
    trainer.train()
    rates = [log["learning_rate"] for log in trainer.state.log_history if "learning_rate" in log]
    factors = [0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]
    assert rates == pytest.approx([1e-2 * factor for factor in factors])
    assert trainer.args.lr_scheduler_kwargs == kind["lr_scheduler_kwargs"]


@pytest.mark.parametrize("kind", ["mcl", "electra"])
def test_layerwise_decay_has_the_factors_of_electra(kind: str) -> None:
    shape: dict[str, Any] = {"num_hidden_layers": 3, "embedding_size": 8}
    if kind == "mcl":
        model: Any = MclForSequenceClassification(tiny_config(**shape))
    else:
        small: dict[str, Any] = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_attention_heads": 2,
            "vocab_size": 60,
        }
        model = ElectraForSequenceClassification(ElectraConfig(**shape, **small))
    found = layerwise_parameter_groups(model, learning_rate=1.0, decay=0.5, weight_decay=0.01)
    assert found[0]["lr"] == 1.0  # what a trainer logs
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in found for p in group["params"]}
    assert rates.keys() == set(names.values())
    for name, rate in rates.items():
        depth = {"0": 1, "1": 2, "2": 3}.get(name.split("layer.")[1][0] if "layer." in name else "")
        depth = depth or (0 if "embeddings" in name or "relative" in name else 5)
        assert rate == 0.5 ** (5 - depth), name
    decayed = {names[id(p)] for group in found if group["weight_decay"] for p in group["params"]}
    assert decayed == {name for name in rates if "bias" not in name and "LayerNorm" not in name}


def test_a_plain_trainer_fine_tunes_with_layerwise_decay(tmp_path: Path) -> None:
    model = MclForSequenceClassification(tiny_config())
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    rows = Dataset.from_dict({"input_ids": [[2, 7, 8, 3]] * 4, "labels": [0, 1, 0, 1]})
    args = TrainingArguments(str(tmp_path), use_cpu=True, max_steps=1, report_to="none", disable_tqdm=True)
    found = layerwise_parameter_groups(model, learning_rate=1e-3, decay=0.1)
    Trainer(model, args, train_dataset=rows, optimizers=(AdamW(found, eps=1e-12), None)).train()
    moved = {name: (value - before[name]).abs().max().item() for name, value in model.named_parameters()}
    # Adam's first step is the rate, one layer: three steps from the head to the embeddings.
    assert moved["classifier.out_proj.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["electra.encoder.layer.0.output.dense.weight"] == pytest.approx(1e-5, rel=1e-2)
    assert moved["electra.embeddings.word_embeddings.weight"] == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize("decay", [0, 1.1, -0.5])
def test_layerwise_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match=f"decay={decay}"):
        layerwise_parameter_groups(MclForSequenceClassification(tiny_config()), 1e-4, decay)


def test_layerwise_decay_of_other_layers_is_refused() -> None:
    model = MclForSequenceClassification(tiny_config(num_hidden_layers=2))
    model.config.num_hidden_layers = 3
    with pytest.raises(UserError, match="its layers cannot be told: 3 in its config, 2 numbered"):
        layerwise_parameter_groups(model, 1e-4, 0.8)


WSD = {"lr_scheduler_type": "warmup_stable_decay"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optim": "moun"}, "optim=moun must be one of .*, muon"),
        ({"generator_learning_rate": 0}, "generator_learning_rate=0 .*above 0"),
        ({"optim": "muon", "muon_learning_rate": -1}, "muon_learning_rate=-1 .*above 0"),
        ({"muon_learning_rate": 1e-3}, "muon_learning_rate=0.001 needs --optim muon, not adamw_torch_fused"),
        ({"optim": "muon", "optim_args": "momentun=0.9"}, "optim_args: 'momentun=0.9' is not an argument of Muon"),
        ({"optim": "muon", "optim_args": "adjust_lr_fn=none"}, "optim_args: 'adjust_lr_fn=none'"),
        ({"optim": "muon", "optim_args": "momentum=1.5"}, "momentum must be in"),
        (WSD, "needs lr_scheduler_kwargs with num_decay_steps"),
        ({**WSD, "lr_scheduler_kwargs": {"num_decay_step": 5}}, "'num_decay_step' is no argument of warmup"),
        ({**WSD, "lr_scheduler_kwargs": {"num_decay_steps": 5}, "max_steps": 8, "warmup_steps": 4}, "max_steps=8"),
        ({"lr_scheduler_kwargs": {"min_lr": 1e-6}}, "'min_lr' is no argument of linear; it has none"),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        MclTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **arguments)
    assert "\n" not in str(error.value)


def test_optim_args_of_another_package_are_its_own(tmp_path: Path) -> None:
    """GaLore's optimizers cannot even be made without the model."""
    given: dict[str, Any] = {"optim": "galore_adamw", "optim_args": "rank=64, scale=0.1"}
    args = MclTrainingArguments(output_dir=str(tmp_path), use_cpu=True, optim_target_modules=["attention"], **given)
    assert args.optim_args == given["optim_args"]


def test_an_optimizer_with_groups_of_its_own_takes_no_generator_rate(make_trainer: Make) -> None:
    trainer = make_trainer(generator_learning_rate=1e-3)
    trainer.args.optim = "lomo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "get_optimizer_cls_and_kwargs", staticmethod(lambda *_: (AdamW, {"model": None})))
        with pytest.raises(UserError, match="generator_learning_rate=0.001: optim=lomo"):
            trainer.create_optimizer()
