"""What courses are told of the words of a row, alone and together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tests.other_courses import ReversedSpan
from transformers_mcl.method.corruptions import Corruption, insert_masks
from transformers_mcl.method.courses import COURSES, Course, Rows, SpecialTokens, corrupt_rows

PAD, CLS, SEP, MASK = 0, 1, 2, 3
SPECIAL = SpecialTokens(PAD, CLS, SEP, MASK)


def rows(ids: list[list[int]], starts: Sequence[Sequence[int]], max_length: int = 64) -> Rows:
    tokens = torch.tensor(ids)
    return Rows.of(tokens, (tokens != PAD).long(), SPECIAL, max_length, torch.tensor(starts))


def test_a_word_ends_at_the_next_and_at_a_special_token() -> None:
    ids = [[CLS, 10, 11, 12, SEP, 13, 14, SEP, PAD, PAD], [PAD, CLS, 10, 11, 12, 13, SEP, CLS, 14, SEP]]
    starts = [[0, 1, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]]
    found = rows(ids, starts)
    assert found.words is not None
    named = torch.where(found.operable, found.words, -1).tolist()
    # Without a beginning, as where a row cuts a word or a document: what is left of it is one.
    assert named == [[-1, 1, 1, 3, -1, 4, 4, -1, -1, -1], [-1, -1, 1, 1, 4, 4, -1, -1, 8, -1]]
    assert found[1:].words.equal(found.words[1:])  # type: ignore[union-attr]
    assert Rows.of(torch.tensor(ids), None, SPECIAL, 64).words is None


@pytest.mark.parametrize("max_length", [64, 26, 24])
def test_words_move_with_their_tokens_where_slots_are_inserted(max_length: int) -> None:
    """Also where the row's last tokens are dropped. Tokens all differ, so that each can be followed."""
    draws = torch.Generator().manual_seed(0)
    ids = [
        [CLS, *range(10 + 30 * row, 20 + 30 * row), SEP, *range(20 + 30 * row, 31 + 30 * row), SEP] for row in range(8)
    ]
    clean = rows(ids, (torch.rand(8, 24, generator=draws) < 0.5).tolist(), max_length)
    done = insert_masks(
        clean.input_ids,
        clean.operable,
        0.4,
        MASK,
        max_length=max_length,
        attention_mask=clean.attention_mask,
        generator=draws,
    )
    after = clean.after_insertion(done.input_ids, done.attention_mask)
    assert clean.words is not None and after.words is not None
    dropped = int(clean.operable.sum() - after.operable.sum())
    assert (dropped > 0) == (max_length < 64)
    for row in range(8):
        was = dict(zip(clean.input_ids[row].tolist(), clean.words[row].tolist(), strict=True))
        for token, word, free in zip(after.input_ids[row], after.words[row], after.operable[row], strict=True):
            assert not free or was[int(token)] == word


class Told(ReversedSpan):
    """Remembers whether it was told of words."""

    seen: list[Tensor | None]

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        self.seen = [rows.words]
        return super().corrupt(rows, ratio, generator)


def test_courses_together_take_whole_words_each_and_one_that_takes_none_is_not_told() -> None:
    """After insertion; single words are enough, so that none has to be cut."""
    told, draws = Told(), torch.Generator().manual_seed(1)
    ids = torch.arange(10, 10 + 16 * 38).view(16, 38)
    ids = torch.nn.functional.pad(torch.nn.functional.pad(ids, (1, 0), value=CLS), (0, 1), value=SEP)
    starts = torch.ones_like(ids)
    starts[:, 2:20:2] = 0  # nine words of two, then twenty of one
    clean = Rows.of(ids, None, SPECIAL, 64, starts)
    assert clean.words is not None
    courses: list[Course] = [*COURSES.values()]
    ratios = {"rtd": 0.2, "std": 0.2, "itd": 0.2, "rsd": 0.1}
    corrupted = corrupt_rows(courses, clean, ratios, draws)
    word_of = dict(
        zip(ids.flatten().tolist(), (clean.words + 100 * torch.arange(16)[:, None]).flatten().tolist(), strict=True)
    )
    sizes: dict[int, int] = {}
    for token, word in word_of.items():
        sizes[word] = sizes.get(word, 0) + (token >= 10)
    for name in ("rtd", "std"):
        taken: dict[int, int] = {}
        for token in corrupted.original[corrupted.operated(name)].tolist():
            taken[word_of[token]] = taken.get(word_of[token], 0) + 1
        assert taken and all(sizes[word] == count for word, count in taken.items()), name
        assert 2 in taken.values()
    corrupt_rows([told], clean, ratios, draws)
    assert told.seen == [None]
