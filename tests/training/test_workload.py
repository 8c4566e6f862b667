"""What the plan says a run will read is what the trainer counts, and so does the card."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from transformers_mcl import MclTrainingArguments
from transformers_mcl.data import DataArguments
from transformers_mcl.training.run import DEMO_FOLDER, ModelArguments, PretrainingRun, prepare
from transformers_mcl.training.workload import Workload

from .conftest import tiny_config

SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16"
)
LENGTH = 32


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of 1 to 60 words, some longer than a row."""
    draws, words = random.Random(0), "the of and to a in that is was he for it with as his on be at by I".split()
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(" ".join(draws.choices(words, k=1 + n % 60)) for n in range(200)), encoding="utf-8")
    return path


def run_of(text: Path, folder: Path, data: dict[str, Any], training: dict[str, Any]) -> PretrainingRun:
    training = {"per_device_train_batch_size": 8, "max_steps": 4, "save_strategy": "no", **training}
    return prepare(
        ModelArguments(preset="tiny", config_overrides=SMALL, tokenizer_name=str(DEMO_FOLDER / "tokenizer")),
        DataArguments(train_file=[str(text)], validation_file=[str(text)], max_seq_length=LENGTH, **data),
        MclTrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, **training),
    )


LINES = {"line_by_line": True, "max_train_samples": 32}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lines": (LINES, {}),
    "lines, of which the last batch is smaller": (LINES | {"max_train_samples": 27}, {}),
    "packed": ({}, {}),
    "packed, limited, of which the last batch is smaller": (
        {"max_train_samples": 11, "max_eval_samples": 3},
        {"gradient_accumulation_steps": 2, "max_steps": 5},
    ),
    "epochs": ({"max_train_samples": 11}, {"max_steps": -1, "num_train_epochs": 2.5}),
    "whole batches alone": ({"max_train_samples": 11}, {"dataloader_drop_last": True}),
    "streamed": ({"streaming": True}, {}),
    "warm-ups": (
        {"max_train_samples": 11},
        {
            "batch_size_warmup_steps": 3,
            "length_warmup_steps": 2,
            "length_warmup_lengths": [10, 16],
            "gradient_accumulation_steps": 2,
        },
    ),
    "counted by transformers as well": (LINES, {"include_num_input_tokens_seen": "all"}),
}


@pytest.mark.parametrize(("data", "training"), CASES.values(), ids=CASES)
def test_the_plan_is_what_the_trainer_counts(
    text: Path, tmp_path: Path, data: dict[str, Any], training: dict[str, Any]
) -> None:
    run = run_of(text, tmp_path, data, training)
    planned, seen = run.workload.tokens, 0

    def count(_: Any, __: Any, given: dict[str, Any]) -> None:
        nonlocal seen
        if run.model.training:
            seen += int(given["attention_mask"].sum()) if "attention_mask" in given else given["input_ids"].numel()

    run.model.register_forward_pre_hook(count, with_kwargs=True)
    assert f"{planned:,} in all" in run.plan()
    run.train()
    assert run.trainer.state.num_input_tokens_seen == run.summary().tokens == seen
    assert planned == seen


def test_the_plan_says_what_is_learnt_alone_at_first(text: Path, tmp_path: Path) -> None:
    warmups = {"generator_warmup_steps": 2, "course_warmup_steps": 0.75}
    run = run_of(text, tmp_path, LINES, {**warmups, "max_steps": 8})
    assert "(mlm alone until step 2, then mlm and rtd alone until step 6)" in run.plan()
    run.trainer.args.generator_warmup_steps = 0
    assert "(mlm and rtd alone until step 6)" in run.plan()
    weights = {name: weight if name in ("mlm", "rtd") else 0.0 for name, weight in run.model.config.weights.items()}
    run.model.config.loss_weights = weights  # which begin with nothing less
    assert "alone" not in run.plan()
    run.trainer.args.course_warmup_steps = 0
    assert "alone" not in run.plan()


def test_the_tokens_of_limited_lines_are_those_of_these_lines(text: Path, tmp_path: Path) -> None:
    run = run_of(text, tmp_path, LINES, {})
    rows = run.rows["train"]["input_ids"]
    statistics: Any = run.statistics["train"]
    assert (statistics.documents, statistics.rows) == (32, 32)
    cut = statistics.tokens - statistics.dropped_tokens
    assert cut == sum(len(row) - 2 for row in rows)
    assert run.workload.tokens == sum(len(row) for row in rows)  # four steps of eight: an epoch


def test_the_card_of_a_resumed_run_counts_all_its_tokens(text: Path, tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    run_of(text, tmp_path, LINES, saving).train()
    at_two = json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())["num_input_tokens_seen"]
    shutil.rmtree(tmp_path / "checkpoint-4")
    resumed = run_of(text, tmp_path, LINES, {**saving, "resume_from_checkpoint": str(tmp_path / "checkpoint-2")})
    resumed.train()
    resumed.finish()
    assert 0 < at_two < resumed.workload.tokens
    assert f"{resumed.workload.tokens:,}" in ModelCard.load(tmp_path / "README.md").text


@pytest.mark.parametrize(("rows", "drop", "tokens"), [(9, False, 6 * 16), (9, True, 4 * 16), (8, False, 4 * 16)])
def test_several_processes_repeat_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, drop: bool, tokens: int
) -> None:
    """Two processes, two rows each in a round: of nine rows three rounds or two."""
    monkeypatch.setattr(MclTrainingArguments, "world_size", 2)
    steps = tokens // 16 // 2
    args = MclTrainingArguments(
        str(tmp_path), use_cpu=True, per_device_train_batch_size=2, dataloader_drop_last=drop, max_steps=steps
    )
    work = Workload(args, tiny_config(), steps, rows, 16)
    assert work.tokens == 2 * tokens and work.epochs == f"{2 * tokens / 16 / rows:.2f} epochs"


def test_batches_that_are_never_whole_are_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dataloader_drop_last leaves nothing to train on: the text has 5 rows"):
        run_of(text, tmp_path, {"max_train_samples": 5}, {"dataloader_drop_last": True})
