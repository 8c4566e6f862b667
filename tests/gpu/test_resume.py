"""A run resumed on the device is the run, bit by bit, with dropout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from transformers_mcl import MclTrainer

DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


@pytest.mark.parametrize("objective", ["electra", "mcl"])
def test_a_resumed_run_is_the_run(
    objective: str, device: str, trainer: Callable[..., MclTrainer], repeatable: None, tmp_path: Path
) -> None:
    def run(resume: str | None = None, **arguments: object) -> dict[str, torch.Tensor]:
        made = trainer({"objective": objective, **DROPOUT}, max_steps=4, save_steps=2, **arguments)
        made.train(resume_from_checkpoint=resume)
        return {name: value.cpu() for name, value in made.model.state_dict().items()}

    whole = run()
    halfway = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    resumed = run(str(tmp_path / "checkpoint-2"))
    assert [name for name, value in whole.items() if not value.equal(resumed[name])] == []
    assert not any(value.equal(whole[name]) for name, value in halfway.items() if name.endswith("weight"))
    # Otherwise the above would say nothing of what is drawn.
    other = run(seed=7)
    assert any(not value.equal(other[name]) for name, value in whole.items())
