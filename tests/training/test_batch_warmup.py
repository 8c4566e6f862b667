"""Fewer and shorter rows at first: which, how many, and that the tokens add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.training.batch_warmup import BatchWarmup, split_rows
from transformers_mcl.training.workload import Workload

Make = Callable[..., MclTrainer]
BOTH: dict[str, Any] = {
    "batch_size_warmup_steps": 6,
    "batch_size_warmup_start": 2,
    "length_warmup_steps": 0.5,
    "length_warmup_lengths": [8, 10],
}


def test_rows_grow_evenly_to_the_full_number() -> None:
    warmup = BatchWarmup(start=2, full=8, steps=14)
    assert [warmup.rows(step) for step in range(16)] == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 8, 8]
    assert {BatchWarmup(start=1, full=8).rows(step) for step in range(3)} == {8}


def test_each_length_has_an_equal_part_of_the_steps() -> None:
    warmup = BatchWarmup(start=1, full=1, lengths=(64, 128, 256), length_steps=6)
    assert [warmup.length(step) for step in range(8)] == [64, 64, 128, 128, 256, 256, None, None]


@pytest.mark.parametrize("length", [8, 9, 10, 16, 20])
def test_parts_of_a_row_have_its_ends_and_its_tokens_in_order(length: int) -> None:
    rows = torch.arange(40).view(2, 20)
    parts = split_rows(rows, length, ends=True)
    count = 20 // length
    assert parts.shape == (2 * count, length)
    for row, own in zip(rows, parts.view(2, count, length), strict=True):
        assert own[:, 0].tolist() == [row[0]] * count
        assert own[:, -1].tolist() == [row[-1]] * count
        assert own[:, 1:-1].flatten().tolist() == row[1 : 1 + count * (length - 2)].tolist()


def test_what_belongs_to_a_token_goes_with_it() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]])
    assert split_rows(documents, 5, ends=False).tolist() == [[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]]


def test_fewer_rows_are_the_step_of_a_smaller_batch(make_trainer: Make) -> None:
    """The counts that losses are divided by are those of the rows trained on."""
    cut = make_trainer(max_steps=1, batch_size_warmup_steps=10, batch_size_warmup_start=2)
    cut.train()
    small = make_trainer(max_steps=1, per_device_train_batch_size=2)
    small.train()
    weights = dict(small.model.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in cut.model.named_parameters())


def test_every_token_is_counted_once(make_trainer: Make) -> None:
    trainer = make_trainer(max_steps=12, logging_steps=1, gradient_accumulation_steps=2, **BOTH)
    shapes: list[tuple[int, ...]] = []

    def note(_: Any, __: Any, given: dict[str, Any]) -> None:
        shapes.append(tuple(given["input_ids"].shape))

    trainer.model.register_forward_pre_hook(note, with_kwargs=True)
    trainer.train()
    seen = [log["train_tokens_seen"] for log in trainer.state.log_history if "train_tokens_seen" in log]
    # Rows of 16, at first two of 8 each, then one of 10; two and then more of four rows; two micro-batches a step.
    rows = [2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]
    kept = [16] * 3 + [10] * 3 + [16] * 6
    expected = [2 * r * k for r, k in zip(rows, kept, strict=True)]
    assert [b - a for a, b in zip([0, *seen], seen, strict=False)] == expected
    assert shapes[::2] == shapes[1::2]
    lengths = [8] * 3 + [10] * 3 + [16] * 6
    assert shapes[::2] == [(r * (16 // length), length) for r, length in zip(rows, lengths, strict=True)]
    assert Workload(trainer.args, trainer.model.config, 12, 48, 16).tokens == sum(expected)
    assert trainer.state.epoch == 2.0  # 48 rows, 8 a step: epochs are those of whole batches


def test_evaluation_reads_whole_rows(make_trainer: Make) -> None:
    plain, warm = make_trainer(), make_trainer(**BOTH)
    assert plain.evaluate()["eval_loss"] == warm.evaluate()["eval_loss"]


def test_rows_with_padding_are_not_cut_into_shorter_ones() -> None:
    warmup = BatchWarmup(start=1, full=1, lengths=(8,), length_steps=1)
    batch = {"input_ids": torch.ones(1, 16), "attention_mask": torch.ones(1, 16)}
    with pytest.raises(UserError, match="attention mask"):
        warmup.cut(batch, 0)
    assert warmup.cut(batch, 1)["attention_mask"].shape == (1, 16)
    with pytest.raises(UserError, match="--line_by_line"):
        warmup.check(16, packed=False)
    with pytest.raises(UserError, match="max_seq_length=8"):
        warmup.check(8, packed=True)
    warmup.check(16, packed=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size_warmup_steps": -1}, "batch_size_warmup_steps=-1"),
        ({"batch_size_warmup_start": 9}, "batch_size_warmup_start=9 .*per_device_train_batch_size=8"),
        ({"batch_size_warmup_start": 0}, "batch_size_warmup_start=0"),
        ({"length_warmup_steps": -0.1, "length_warmup_lengths": [8]}, "length_warmup_steps=-0.1"),
        ({"length_warmup_steps": 10}, "give both"),
        ({"length_warmup_lengths": [64]}, "give both"),
        ({"length_warmup_steps": 10, "length_warmup_lengths": [64, 32]}, r"length_warmup_lengths=\[64, 32\]"),
        ({"length_warmup_steps": 10, "length_warmup_lengths": [4]}, "8 or more"),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MclTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **arguments)
