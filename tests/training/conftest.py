"""A pair and rows so small that a run of them takes a second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from transformers_mcl import MclConfig, MclForPreTraining, MclTrainer, MclTrainingArguments

LENGTH, VOCABULARY = 16, 60


def tiny_config(**overrides: Any) -> MclConfig:
    """A configuration of one layer each."""
    shape = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "embedding_size": 16}
    shape |= {"generator_hidden_size": 16, "generator_num_hidden_layers": 1, "generator_intermediate_size": 16}
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4, "vocab_size": VOCABULARY}
    return MclConfig.tiny(**{**shape, **ids, "max_position_embeddings": 32, **overrides})


@pytest.fixture(scope="session")
def rows() -> Dataset:
    """48 packed rows."""
    ids = np.random.default_rng(0).integers(5, VOCABULARY, (48, LENGTH))
    ids[:, 0], ids[:, -1] = 2, 3
    return Dataset.from_dict({"input_ids": ids.tolist()})


@pytest.fixture
def make_trainer(rows: Dataset, tmp_path: Path) -> Callable[..., MclTrainer]:
    """A trainer of a fresh pair, the same each time but for what is given: training arguments, or `config`."""

    def make(config: dict[str, Any] | None = None, **arguments: Any) -> MclTrainer:
        torch.manual_seed(0)
        model = MclForPreTraining(tiny_config(**(config or {})))
        given: dict[str, Any] = {
            "max_steps": 4,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "logging_steps": 2,
        }
        given |= {"output_dir": str(tmp_path), "use_cpu": True, "disable_tqdm": True, **arguments}
        return MclTrainer(
            model, MclTrainingArguments(**given), train_dataset=rows, eval_dataset=rows.select(range(16))
        )

    return make


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What is warned of as a pair begins."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("transformers_mcl.training.initialization")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)
