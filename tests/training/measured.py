"""Started as two processes: a run that was measured before, and one that was not."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from datasets import Dataset

from tests.training.conftest import LENGTH, tiny_config
from transformers_mcl import MclForPreTraining, MclTrainer, MclTrainingArguments
from transformers_mcl.training import measure as module
from transformers_mcl.training.lengths import steps_in
from transformers_mcl.training.workload import Workload

ROWS = Dataset.from_dict({"input_ids": [[2, *range(5 + n, 3 + n + LENGTH), 3] for n in range(24)]})


def trained(folder: str, measured: bool) -> tuple[dict[str, torch.Tensor], int]:
    """The weights of a run, and the steps of an hour."""
    torch.manual_seed(0)
    args = MclTrainingArguments(
        folder,
        use_cpu=True,
        disable_tqdm=True,
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        course_warmup_steps=1,
    )
    model, steps = MclForPreTraining(tiny_config()), 0
    trainer = MclTrainer(model, args, train_dataset=ROWS, eval_dataset=ROWS)
    if measured:
        speed = module.measure(trainer)
        steps = steps_in(1.0, Workload(args, model.config, 1, len(ROWS), LENGTH), speed)
    trainer.train()
    return model.state_dict(), steps


if __name__ == "__main__":
    module._SECONDS = module._BLOCK_SECONDS = 0.0
    (plain, _), (ours, steps) = (trained(sys.argv[1], measured) for measured in (False, True))
    same = all(value.equal(ours[name]) for name, value in plain.items())
    rank = torch.distributed.get_rank()
    Path(sys.argv[1], f"{rank}.txt").write_text(f"{same} {steps}", encoding="utf-8")
