"""Pairs of other families train as the default does: one gradient however a step is split, and exact resuming."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.families import each
from tests.launching import torchrun
from tests.models.pairs import KINDS, make_pair
from tests.once import Once
from transformers_mcl import MclTrainer, MclTrainingArguments

from .family_splits import SPLITS, collate, rows

ROOT, SCRIPT = Path(__file__).parents[2], "tests.training.family_splits"
PAIRS = [("mcl", "token"), ("bert", "gdes"), ("modernbert", "token")]
DONE = [(*pair, split) for split in SPLITS for pair in PAIRS]


@pytest.fixture(scope="module")
def runs(once: Once) -> Path:
    """Every pair in every split; a folder of what they left."""
    return once("family_splits", train)


def train(folder: Path) -> None:
    for processes, names in ((1, list(SPLITS)[:3]), (2, list(SPLITS)[3:])):
        todo = [one for one in DONE if one[2] in names]
        launcher = torchrun(processes) if processes > 1 else [sys.executable]
        command = [*launcher, "-m", SCRIPT, str(folder), json.dumps(todo)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(("kind", "shares", "split"), [one for one in DONE if one[2] not in ("untouched", "whole")])
def test_a_step_has_the_same_gradient(runs: Path, kind: str, shares: str, split: str) -> None:
    before, whole, after = (
        load_file(runs / kind / shares / name / "model.safetensors") for name in ("untouched", "whole", split)
    )
    assert after.keys() == whole.keys() == before.keys()
    for name, value in before.items():
        expected, found = value - whole[name], value - after[name]
        largest = expected.abs().max().item()
        assert (largest > 0) != ("pooler" in name), name
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * max(largest, 1e-2), msg=name)


@pytest.mark.parametrize(("kind", "shares", "split"), DONE)
def test_the_runs_had_the_processes_they_were_to_have(runs: Path, kind: str, shares: str, split: str) -> None:
    notes = [json.loads(path.read_text()) for path in (runs / kind / shares / split).glob("notes-*.json")]
    wrapper = {"two processes": "DistributedDataParallel", "fsdp": "FSDPMclForPreTraining"}
    count = 2 if split in wrapper else 1
    assert [(one["processes"], one["wrapper"]) for one in notes] == [
        (count, wrapper.get(split, "MclForPreTraining"))
    ] * count


@pytest.mark.parametrize("shares", ["token", "gdes"])
@each(KINDS, "kind")
def test_a_run_resumed_from_a_checkpoint_is_the_run(kind: str, shares: str, tmp_path: Path) -> None:
    """Bit by bit, with dropout; the difference under gdes as well."""

    def run(resume: str | None = None) -> dict[str, torch.Tensor]:
        dropout = {"hidden_dropout_prob": 0.1, "attention_dropout": 0.1, "dropout": 0.1, "mlp_dropout": 0.1}
        own = {"hidden_dropout_prob": 0.1} if kind == "mcl" else {}
        pair = make_pair(kind, dropout, generator_shares=shares, **own)
        if resume is not None:
            torch.nn.utils.vector_to_parameters(torch.zeros(10**6), pair.parameters())  # it begins from the checkpoint
        arguments = MclTrainingArguments(
            output_dir=str(tmp_path),
            max_steps=2,
            save_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-2,
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = MclTrainer(pair, arguments, train_dataset=rows(), data_collator=collate)
        trainer.train(resume_from_checkpoint=resume)
        state: dict[str, torch.Tensor] = pair.state_dict()
        return state

    whole, halfway = run(), load_file(tmp_path / "checkpoint-1" / "model.safetensors")
    resumed = run(str(tmp_path / "checkpoint-1"))
    assert [name for name, value in whole.items() if not value.equal(resumed[name])] == []
    moved = {name for name in halfway.keys() & whole.keys() if not halfway[name].equal(whole[name])}
    assert moved >= {
        name for name, _ in make_pair(kind, generator_shares=shares).named_parameters() if "pooler" not in name
    }
