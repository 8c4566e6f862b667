"""A pair that is trained on whole words: when it reads where they begin, and what depends on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from tests.training.splits import RowDraws
from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.method import corruptions
from transformers_mcl.method.courses import CourseRecord

from .pairs import gradients, seeded, undecided

Configs = Callable[..., MclConfig]
Batches = Callable[[str], dict[str, Any]]


def starts_of(ids: Tensor) -> Tensor:
    return ids % 3 > 0


def chosen(record: CourseRecord) -> set[tuple[int, int]]:
    places, valid = record.corruption.positions, record.corruption.valid
    return {(row, int(at)) for row in range(len(places)) for at in places[row][valid[row]]}


def cut_words(ids: Tensor, places: set[tuple[int, int]]) -> int:
    """How many words are operated on in part."""
    every: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for row, tokens in enumerate(ids.tolist()):
        begin = 0
        for at, token in enumerate(tokens):
            begin = at if token % 3 > 0 or token <= 3 or tokens[at - 1] <= 3 else begin
            if token > 3:
                every.setdefault((row, begin), set()).add((row, at))
    return sum(bool(word & places) and not word <= places for word in every.values())


@pytest.mark.parametrize("schedule", ["all", "sampled", "joint"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_training_takes_whole_words(schedule: str, padding: str, config: Configs, batch: Batches) -> None:
    weights = dict.fromkeys(("mlm", "slm", "rtd", "std"), 1.0)
    fields = {"course_schedule": schedule, "loss_weights": weights, "mask_ratio": 0.2, "swap_ratio": 0.3}
    ids = batch(padding)["input_ids"]
    cut: dict[bool, int] = {}
    for words in (False, True):
        model = MclForPreTraining(config(**fields, whole_word_mask=words)).train()
        output = model(**batch(padding), word_starts=starts_of(ids), generator=seeded(), output_records=True)
        records = [output.records[course] for course in ("rtd", "std")]
        if schedule == "sampled":  # two courses in turn
            cut[words] = sum(cut_words(ids[turn::2], chosen(record)) for turn, record in enumerate(records))
        else:
            cut[words] = sum(cut_words(ids, chosen(record)) for record in records)
    assert cut[True] < cut[False] / 4


def test_without_the_flag_and_in_an_evaluation_words_change_nothing(config: Configs, batch: Batches) -> None:
    inputs = batch("right")
    starts = starts_of(inputs["input_ids"])
    plain = MclForPreTraining(config())
    words = MclForPreTraining(config(whole_word_mask=True))
    words.load_state_dict(plain.state_dict())
    for model, training in ((plain, True), (plain, False), (words, False)):
        expected = plain.train(training)(**inputs, generator=seeded())
        found = model.train(training)(**inputs, word_starts=starts, generator=seeded())
        assert {name: loss.item() for name, loss in found.losses.items()} == {
            name: loss.item() for name, loss in expected.losses.items()
        }
    words.eval()(**inputs)
    trained = words.train()(**inputs, word_starts=starts, generator=seeded())
    assert trained.losses["mlm"] != plain.train()(**inputs, generator=seeded()).losses["mlm"]


def test_a_step_has_one_gradient_however_it_is_split(
    config: Configs, batch: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of parts that are padded less than the whole, with draws that follow each row."""
    draws = RowDraws()
    monkeypatch.setattr(corruptions, "_uniform", draws)
    model = undecided(MclForPreTraining(config(whole_word_mask=True)), batch("right"))
    model.register_forward_pre_hook(draws.start, with_kwargs=True)
    whole = {**batch("right"), "word_starts": starts_of(batch("right")["input_ids"])}
    by_length = whole["attention_mask"].sum(1).argsort()
    parts = []
    for rows in by_length.split(3):
        longest = int(whole["attention_mask"][rows].sum(1).max())
        parts.append({name: value[rows, :longest] for name, value in whole.items()})
    assert len({part["input_ids"].shape for part in parts}) == 3
    counts = [model.count_items(part["input_ids"], part["attention_mask"]) for part in parts]
    items = {name: torch.stack([count[name] for count in counts]).sum() for name in counts[0]}
    found = []
    for split in ([whole], parts):
        model.zero_grad()
        for part in split:
            model.train()(**part, num_items_in_batch=items).loss.backward()
        found.append(gradients(model))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_training_on_rows_without_words_is_refused(config: Configs, batch: Batches) -> None:
    model = MclForPreTraining(config(whole_word_mask=True)).train()
    with pytest.raises(UserError, match=r"whole_word_mask: these rows do not say where words begin \(word_starts\)"):
        model(**batch("none"))


def test_a_plain_trainer_hands_the_words_on(config: Configs, batch: Batches, tmp_path: Path) -> None:
    ids = batch("none")["input_ids"]
    rows = [{"input_ids": row, "word_starts": starts_of(row)} for row in ids.tolist() for row in [torch.tensor(row)]]
    model, seen = MclForPreTraining(config(whole_word_mask=True)), []
    model.register_forward_pre_hook(lambda _, __, given: seen.append(given["word_starts"]), with_kwargs=True)
    args = TrainingArguments(str(tmp_path), max_steps=2, use_cpu=True, report_to=[], disable_tqdm=True)
    Trainer(model, args, train_dataset=rows).train()
    assert len(seen) == 2 and all(starts.dtype == torch.bool and starts.shape == (8, 30) for starts in seen)


def test_what_is_saved_says_so(config: Configs, tmp_path: Path) -> None:
    MclForPreTraining(config(whole_word_mask=True)).save_pretrained(tmp_path)
    assert MclForPreTraining.from_pretrained(tmp_path).config.whole_word_mask
    assert not config().whole_word_mask
