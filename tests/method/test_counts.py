"""Every number of places that `method/counts.py` gives, held against what the forward really used."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.other_courses import MaskedSpan, ReversedSpan, registered
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.method.counts import slot_counts
from transformers_mcl.method.courses import COURSES, Course, CourseRecord, all_losses
from transformers_mcl.method.schedules import SCHEDULES

CLS, SEP, PAD, LENGTH = 1, 2, 0, 22
THREE = ("mlm", "slm", "rtd", "std", "itd")
WEIGHTS: dict[str, tuple[str, ...]] = {
    "mcl": (*THREE, "re_mlm", "re_rtd", "re_slm", "re_std"),
    "three courses": THREE,
    "electra": ("mlm", "rtd"),
    "insertion": ("itd",),
    "corrections alone": ("re_slm", "re_rtd"),
    "generator alone": ("mlm", "slm"),
    "others": ("itd", "rlm", "rsd", "again_rlm", "again_rsd", "span_lm", "msd"),
    "others without corrections": ("mlm", "rtd", "itd", "rlm", "rsd", "span_lm", "msd"),
}


def batch(padding: str, rows: int) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(rows)
    ids = torch.randint(4, 40, (rows, LENGTH), generator=draws)
    ids[:, 0], ids[:, -1], ids[::2, 9], ids[::2, 10] = CLS, SEP, SEP, CLS
    if padding == "none":
        return {"input_ids": ids}
    mask = torch.ones_like(ids)
    for row, length in zip(range(rows), itertools.cycle((2, 22, 5, 12, 3)), strict=False):
        ids[row, length - 1], ids[row, length:], mask[row, length:] = SEP, PAD, 0
    if padding == "left":
        ids, mask = ids.flip(1), mask.flip(1)
    return {"input_ids": ids, "attention_mask": mask}


def make_model() -> MclForPreTraining:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 8, "embedding_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    sizes |= {"num_hidden_layers": 1, "generator_hidden_size": 8, "generator_num_attention_heads": 2}
    return MclForPreTraining(
        MclConfig(
            vocab_size=40,
            pad_token_id=PAD,
            cls_token_id=CLS,
            sep_token_id=SEP,
            mask_token_id=3,
            max_position_embeddings=64,
            loss_weights=dict.fromkeys(all_losses(), 1.0),
            mask_ratio=0.2,
            swap_ratio=0.3,
            insert_ratio=0.25,
            **sizes,
        )
    )


def used(records: dict[str, CourseRecord], name: str, course: str) -> int:
    """The places of a loss, counted in what the course did: all of its rows, or those that it corrected."""
    record, loss = records[course], all_losses()[name]
    operated = torch.zeros_like(record.corruption.input_ids)
    # Courses that took the same rows together left the same input.
    together = [r for r in records.values() if r.corruption.input_ids is record.corruption.input_ids]
    for other in together:
        for row, (places, valid) in enumerate(zip(other.corruption.positions, other.corruption.valid, strict=True)):
            operated[row, places[valid]] = 1 if other is record else 2
    mask = record.corruption.attention_mask
    present = torch.ones_like(operated) if mask is None else mask
    places = (operated != 2) & present.bool() if loss.detects else operated == 1
    again = record.regeneration_input if record.regeneration_input is not None else record.rediscrimination_input
    return int(places[: len(again) if loss.corrects and again is not None else None].sum())


TRAINING = list(itertools.product(SCHEDULES, (True,), (False, True)))


@pytest.mark.parametrize(("schedule", "training", "words"), [*TRAINING, ("sampled", False, False)], ids=str)
def test_counts_are_those_of_the_forward(schedule: str, training: bool, words: bool) -> None:
    """Of whole words as of tokens, since their number is the same; so fewer of their combinations are tried."""
    shares, combinations = ((1.0, 0.5, 0.25) if training else (0.5,)), 0
    limits, sizes, shares = ((25,), (7,), shares[:1]) if words else ((LENGTH, 25, 40), (1, 7), shares)
    with registered(ReversedSpan(), MaskedSpan()):
        model = make_model().train(training)
        config: Any = model.config
        config.course_schedule, config.whole_word_mask = schedule, words
        for names, padding, apart, limit, share, rows in itertools.product(
            WEIGHTS.values(), ("none", "right", "left"), (False, True), limits, shares, sizes
        ):
            corrects = any(all_losses()[name].corrects for name in names)
            if (corrects and schedule == "joint") or (not corrects and share != shares[0]):
                continue
            model.loss_weights, model.turn = dict.fromkeys(names, 1.0), combinations
            config.document_attention, config.max_position_embeddings, config.correction_rows = apart, limit, share
            inputs = batch(padding, rows)
            counts = model.count_items(inputs["input_ids"], inputs.get("attention_mask"), training=training)
            curriculum = config.curriculum(model.loss_weights, training)
            groups = curriculum.groups(model.turn)
            starts = {"word_starts": inputs["input_ids"] % 3 > 0} if words else {}
            output = model(**inputs, **starts, output_records=True)
            assert set(counts) == set(names)
            for name, count in counts.items():
                course = next(c.name for c in COURSES.values() if name in [loss.name for loss in c.losses])
                if course not in output.records:  # not this batch's turn
                    assert count == 0 and schedule == "sampled" and rows < len(groups)
                    continue
                where = (names, padding, apart, limit, share, rows, name)
                assert count == used(output.records, name, course), where
                assert output.metrics[name][1] == count, where
                mean = output.metrics[name][0] / count.clamp(min=1)
                torch.testing.assert_close(output.losses[name], mean, msg=str(where))
            for courses, _ in groups:
                slots, longer = slot_counts(curriculum, courses, LENGTH)
                for done in (output.records[c.name].corruption for c in courses if c.name in output.records):
                    assert done.input_ids.shape[1] == longer and done.positions.shape[1] in slots.values()
            combinations += 1
    assert combinations >= (18 if words else 150)


@pytest.mark.parametrize("base", [type(course) for course in COURSES.values()])
def test_a_course_that_counts_otherwise_operates_on_what_it_counts(base: type[Course]) -> None:
    class Four(base):  # type: ignore[misc, valid-type]
        least = 4
        also_called = frozenset[str]()

    model, inputs = make_model(), batch("right", 7)
    others = dict(COURSES)
    try:
        COURSES[base.name] = Four()
        counts = model.count_items(inputs["input_ids"], inputs["attention_mask"])
        output = model.train()(**inputs, output_records=True)
        operated = output.records[base.name].corruption.valid.sum(1)
        assert 4 in operated and not {1, 2, 3} & set(operated.tolist())
        assert {name: output.metrics[name][1] for name in output.losses} == counts
    finally:
        COURSES.update(others)


def test_a_correction_over_its_own_cells_counts_once_a_batch() -> None:
    model = make_model()
    model.config.correction_average = "own"
    inputs = batch("right", 7)
    counts, output = model.count_items(inputs["input_ids"], inputs["attention_mask"]), model(**inputs)
    assert {name for name, count in counts.items() if count == 1} == {"re_mlm", "re_rtd", "re_slm", "re_std"}
    for name in ("re_rtd", "re_std"):
        total, cells = output.metrics[name]
        torch.testing.assert_close(output.losses[name], total / cells.clamp(min=1))
