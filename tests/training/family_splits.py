"""Run by `test_family_splits.py`, alone or under torchrun: one step of plain descent of a pair of each family.

Takes a folder and the splits to make, `[["bert", "token", "whole"], …]`, as its arguments; each leaves the pair after
its step in a folder of its own. Draws follow rows, as in `splits.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from tests.models.conftest import CLS, MASK, SEP, VOCABULARY
from tests.models.pairs import make_pair
from tests.training.splits import follow_rows, shard_on_cpu, take_notes
from transformers_mcl import MclTrainer, MclTrainingArguments

ROWS, LENGTH = 8, 24
# Micro-batch on each process, accumulation.
SPLITS = {"untouched": (8, 1), "whole": (8, 1), "accumulated": (2, 4), "two processes": (2, 2), "fsdp": (4, 1)}


def rows() -> Dataset:
    """Of 4 to 24 tokens: micro-batches differ in every count."""
    draws, found = torch.Generator().manual_seed(0), []
    for number in range(ROWS):
        row = torch.randint(MASK + 1, VOCABULARY, (4 + number * (LENGTH - 4) // (ROWS - 1),), generator=draws)
        row[0], row[-1] = CLS, SEP
        found.append(row.tolist())
    return Dataset.from_dict({"input_ids": found})


def collate(features: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    ids = torch.zeros(len(features), LENGTH, dtype=torch.long)
    for row, feature in zip(ids, features, strict=True):
        row[: len(feature["input_ids"])] = torch.tensor(feature["input_ids"])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def train(folder: Path, kind: str, shares: str, split: str) -> None:
    batch, accumulation = SPLITS[split]
    sharded: dict[str, Any] = {"fsdp": True, "fsdp_config": {"version": 2}} if split == "fsdp" else {}
    arguments = MclTrainingArguments(
        output_dir=str(folder / kind / shares / split),
        max_steps=1,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        optim="sgd",
        learning_rate=0 if split == "untouched" else 1,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        use_cpu=True,
        disable_tqdm=True,
        **sharded,
    )
    pair = make_pair(kind, generator_shares=shares)
    trainer = MclTrainer(pair, arguments, train_dataset=rows(), data_collator=collate)
    trainer.train()
    if split == "fsdp":  # as `pretrain` does at the end
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model()


if __name__ == "__main__":
    take_notes()
    shard_on_cpu()
    follow_rows()
    for kind, shares, split in json.loads(sys.argv[2]):
        train(Path(sys.argv[1]), kind, shares, split)
