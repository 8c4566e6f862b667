"""An encoder and tasks so small that fine-tuning takes a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from transformers_mcl.cli.main import main

WORDS = "good bad fine film plot the a was who wrote in rome paris anna bob lives".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SHAPE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SHAPE |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    pieces = [*SPECIAL, *WORDS, *".,0123456789?", *(f"##{i}" for i in range(10))]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=64)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: BertTokenizer) -> str:
    """A folder with a tiny BERT of random weights."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes rows as JSON lines; the path."""

    def write_rows(name: str, rows: list[dict[str, Any]]) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write_rows


def make_reviews(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences whose class one word gives away."""
    draw = random.Random(seed)
    labels = [i % 2 for i in range(count)]
    sentences = [[draw.choice(["film", "plot"]), "was", ["bad", "good"][label]] for label in labels]
    return [{"sentence": " ".join(words), "label": label} for words, label in zip(sentences, labels, strict=True)]


@pytest.fixture
def glue_folder(write: Callable[..., str], tmp_path: Path) -> str:
    """A folder with a folder for each of three tasks."""
    for task in ("sst2", "cola"):
        write(f"glue/{task}/train.jsonl", make_reviews(48, 0))
        write(f"glue/{task}/validation.jsonl", make_reviews(16, 1))
    pairs = [
        {"premise": r["sentence"], "hypothesis": "fine", "label": i % 3} for i, r in enumerate(make_reviews(12, 2))
    ]
    for split in ("train", "validation_matched", "validation_mismatched"):
        write(f"glue/mnli/{split}.jsonl", pairs)
    return str(tmp_path / "glue")


@pytest.fixture
def command(bert: str, tmp_path: Path) -> Callable[..., list[str]]:
    """A command that fine-tunes the tiny BERT; a later argument wins over an earlier one."""

    def words(*more: str) -> list[str]:
        fixed = ["--model_name_or_path", bert, "--output_dir", str(tmp_path / "out"), "--use_cpu", "true"]
        fixed += ["--disable_tqdm", "true", "--max_seq_length", "16", "--per_device_train_batch_size", "8"]
        return ["finetune", *fixed, "--num_train_epochs", "1", "--eval_strategy", "no", *more]

    return words


@pytest.fixture
def reviews() -> Callable[[int, int], list[dict[str, Any]]]:
    """Sentences whose class one word gives away: of a number and a seed."""
    return make_reviews


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Runs a command that must fail as a user's mistake does; its one line."""

    def run(words: list[str]) -> str:
        capsys.readouterr()
        assert main(words) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        return line

    return run
