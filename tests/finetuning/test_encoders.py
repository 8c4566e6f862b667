"""What an encoder is opened as, and which tokenizers fit it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel, BertTokenizer

from transformers_mcl.cli.main import main
from transformers_mcl.models.loading import open_model

from .conftest import make_reviews

Command = Callable[..., list[str]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_trained_in_float32(
    dtype: torch.dtype, command: Command, bert: str, tokenizer: BertTokenizer, write: Any, tmp_path: Path
) -> None:
    """At a rate whose steps are below bfloat16's, all weights move, and none overflows."""
    half: Any = BertModel.from_pretrained(bert, dtype=dtype)
    half.save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    rows = write("train.jsonl", make_reviews(16, 0))
    words = command("--train_file", rows, "--model_name_or_path", str(tmp_path / "half"), "--learning_rate", "1e-5")
    assert main([*words, "--max_steps", "1", "--warmup_steps", "0", "--bf16", "false"]) == 0
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"
    name = "encoder.layer.0.output.dense.weight"
    moved = (weights[f"bert.{name}"] - half.state_dict()[name].float()).abs()
    assert (moved > 0).float().mean() > 0.9 and moved.max() < 1e-4


def test_every_model_is_opened_in_float32_unless_asked_otherwise(bert: str, tmp_path: Path) -> None:
    BertModel.from_pretrained(bert, dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert open_model(BertModel, tmp_path, "here").model.dtype == torch.float32
    assert open_model(BertModel, tmp_path, "here", dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_a_tokenizer_with_more_tokens_than_the_model(
    command: Command, tokenizer: BertTokenizer, glue_folder: str, refused: Any, tmp_path: Path
) -> None:
    larger = BertTokenizer(vocab={**tokenizer.get_vocab(), "more": len(tokenizer)}, model_max_length=64)
    larger.save_pretrained(tmp_path / "larger")
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--tokenizer_name", str(tmp_path / "larger"))
    line = refused(words)
    assert f"has ids up to {len(tokenizer)}, and the model {len(tokenizer)} embeddings" in line
    assert not (tmp_path / "out").exists()
