"""The method on tensors: the three corruptions, and sampling."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from transformers_mcl import UserError
from transformers_mcl.method import corruptions as c

PAD, CLS, SEP, MASK = 0, 1, 2, 3
FIRST = 10  # the ordinary tokens begin here
RATIOS = (0.02, 0.15, 0.25, 0.4, 0.5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nearest(tokens: int, ratio: float, least: int = 1) -> int:
    """The count that the method asks for, in exact arithmetic: halves go up."""
    return 0 if tokens < least else max(least, math.floor(Fraction(str(ratio)) * tokens + Fraction(1, 2)))


def batch(seed: int, padding: str) -> tuple[Tensor, Tensor, Tensor]:
    """Rows `[CLS] … [SEP] … [SEP]` whose ordinary tokens all differ, so that each can be followed.

    Returns ids, operable positions and attention mask, `(batch, length)`. Rows hold 0, 1, 2 and more ordinary tokens,
    without `padding` all of them as many as there is room for.
    """
    draws = generator(seed)
    longest = int(torch.randint(4, 45, (), generator=draws))
    counts = torch.randint(0, longest + 1, (6,), generator=draws).tolist()
    counts = [longest] * 4 if padding == "none" else [0, 1, 2, longest, *counts]
    ids = torch.full((len(counts), longest + 3), PAD)
    for row, count in zip(ids, counts, strict=True):
        tokens = (FIRST + torch.randperm(longest, generator=draws)[:count]).tolist()
        middle = int(torch.randint(0, count + 1, (), generator=draws))
        content = torch.tensor([CLS, *tokens[:middle], SEP, *tokens[middle:], SEP])
        row[len(row) - len(content) if padding == "left" else 0 :][: len(content)] = content
    return ids, ids >= FIRST, (ids != PAD).long()


BATCHES = [
    pytest.param(seed, padding, id=f"{padding}-{seed}") for seed in range(6) for padding in ("none", "left", "right")
]


def used(result: c.Corruption, row: int) -> list[int]:
    return result.positions[row][result.valid[row]].tolist()


# --- the paper's example, `a b c d e f g` ---------------------------------------------------------------------------
A, B, C, D, E, F, G = range(FIRST, FIRST + 7)
EXAMPLE = torch.tensor([[CLS, A, B, C, D, E, F, G, SEP, PAD]])


def outcomes(course: str) -> Counter[tuple[int, ...]]:
    """What becomes of the example, 30,000 times."""
    ids = EXAMPLE.expand(30_000, -1)
    if course == "rtd":
        result = c.mask_tokens(ids, ids >= FIRST, 0.3, MASK, generator=generator())
    elif course == "std":
        result = c.swap_tokens(ids, ids >= FIRST, 0.4, generator=generator())
    else:
        attention_mask = (ids != PAD).long()
        result = c.insert_masks(ids, ids >= FIRST, 0.3, MASK, attention_mask=attention_mask, generator=generator())
    return Counter(map(tuple, result.input_ids.tolist()))


def expected_outcomes(course: str) -> set[tuple[int, ...]]:
    """All that the method allows: 2 of 7 masked, 3 of 7 in one of the two cycles of three, 2 of 8 gaps."""
    found, tokens = set(), [A, B, C, D, E, F, G]
    if course == "rtd":
        for chosen in itertools.combinations(range(7), 2):
            found.add((CLS, *(MASK if i in chosen else t for i, t in enumerate(tokens)), SEP, PAD))
    elif course == "std":
        for i, j, k in itertools.combinations(range(7), 3):
            for moved in ({i: tokens[j], j: tokens[k], k: tokens[i]}, {i: tokens[k], k: tokens[j], j: tokens[i]}):
                found.add((CLS, *(moved.get(at, t) for at, t in enumerate(tokens)), SEP, PAD))
    else:
        for low, high in itertools.combinations(range(8), 2):
            # The new length has room for 0.3 of all ten places.
            found.add((CLS, *tokens[:low], MASK, *tokens[low:high], MASK, *tokens[high:], SEP, PAD, PAD))
    return found


@pytest.mark.parametrize(
    ("course", "of_the_paper"),
    [
        ("rtd", (CLS, A, B, MASK, D, MASK, F, G, SEP, PAD)),
        ("std", (CLS, A, F, C, B, E, D, G, SEP, PAD)),
        ("itd", (CLS, A, B, C, MASK, D, MASK, E, F, G, SEP, PAD, PAD)),
    ],
)
def test_example_of_the_paper_is_one_of_all_equally_likely_outcomes(
    course: str, of_the_paper: tuple[int, ...]
) -> None:
    counts, allowed = outcomes(course), expected_outcomes(course)
    assert set(counts) == allowed
    assert of_the_paper in allowed
    mean = 30_000 / len(allowed)
    chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
    freedom = len(allowed) - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


# --- what holds for every batch -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("seed", "padding"), BATCHES)
def test_masking(seed: int, padding: str) -> None:
    ids, operable, _ = batch(seed, padding)
    for ratio in RATIOS:
        result = c.mask_tokens(ids, operable, ratio, MASK, generator=generator(seed))
        assert result.positions.shape == (len(ids), nearest(ids.shape[1], ratio))
        for row, tokens in enumerate(ids):
            chosen = used(result, row)
            assert len(set(chosen)) == len(chosen) == nearest(int(operable[row].sum()), ratio)
            assert operable[row][chosen].all()
            expected = tokens.clone()
            expected[chosen] = MASK
            assert result.input_ids[row].equal(expected)
            assert result.labels[row][result.valid[row]].equal(tokens[chosen])
        assert (result.labels[~result.valid] == -100).all()


@pytest.mark.parametrize(("seed", "padding"), BATCHES)
def test_swapping(seed: int, padding: str) -> None:
    ids, operable, _ = batch(seed, padding)
    for ratio in RATIOS:
        result = c.swap_tokens(ids, operable, ratio, generator=generator(seed))
        assert result.positions.shape == (len(ids), nearest(ids.shape[1], ratio, 2))
        for row, tokens in enumerate(ids):
            chosen = used(result, row)
            assert len(set(chosen)) == len(chosen) == nearest(int(operable[row].sum()), ratio, 2)
            assert operable[row][chosen].all()
            others = torch.ones_like(tokens, dtype=torch.bool)
            others[chosen] = False
            assert result.input_ids[row][others].equal(tokens[others])
            assert result.labels[row][result.valid[row]].equal(tokens[chosen])
            # Following each place to where its token came from leads through all chosen places and back.
            source = {at: tokens.tolist().index(result.input_ids[row][at]) for at in chosen}
            visited, at = [], chosen[0] if chosen else None
            while at is not None and at not in visited:
                visited.append(at)
                at = source[at]
            assert sorted(visited) == sorted(chosen)
            assert not chosen or at == chosen[0]
        assert (result.labels[~result.valid] == -100).all()


def assert_inserted(result: c.Corruption, ids: Tensor, ratio: float, limit: int | None) -> None:
    """`result` is `ids` with slots inserted as the method says, in rows of at most `limit` tokens."""
    slots = nearest(ids.shape[1], ratio)
    new_length = min(ids.shape[1] + slots, limit or 10**9)
    assert result.input_ids.shape == (len(ids), new_length)
    assert result.positions.shape == result.valid.shape == result.labels.shape == (len(ids), slots)
    assert (result.labels == -100).all()
    present = torch.ones_like(result.input_ids) if result.attention_mask is None else result.attention_mask
    assert present.shape == (len(ids), new_length)
    for row, tokens in enumerate(ids.tolist()):
        content = [token for token in tokens if token != PAD]
        ordinary = [token for token in content if token >= FIRST]
        count = nearest(len(ordinary), ratio)
        chosen = used(result, row)
        assert len(set(chosen)) == len(chosen) == count
        found = result.input_ids[row].tolist()
        assert all(found[at] == MASK for at in chosen)
        assert found.count(MASK) == count
        # The tokens keep their order; as many of the last ordinary ones as do not fit are gone, and nothing else.
        too_many = max(0, len(content) + count - new_length)
        dropped = ordinary[len(ordinary) - too_many :]
        assert [t for t in found if t not in (MASK, PAD)] == [t for t in content if t not in dropped]
        # The mask covers exactly what is not padding; slots lie between tokens, no two in the same gap.
        assert present[row].tolist() == [int(t != PAD) for t in found]
        framed = [t for t in found if t != PAD]
        assert framed[0] == CLS
        assert framed[-1] == SEP
        assert (MASK, MASK) not in itertools.pairwise(framed)


@pytest.mark.parametrize(("seed", "padding"), BATCHES)
def test_insertion(seed: int, padding: str) -> None:
    ids, operable, attention_mask = batch(seed, padding)
    for ratio in RATIOS:
        result = c.insert_masks(ids, operable, ratio, MASK, attention_mask=attention_mask, generator=generator(seed))
        assert_inserted(result, ids, ratio, None)


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("spare", [0, 1, 3])
def test_insertion_drops_the_tail_at_the_longest_length(spare: int, padding: str) -> None:
    for seed in range(6):
        ids, operable, attention_mask = batch(seed, padding)
        limit = ids.shape[1] + spare
        for ratio in RATIOS[:-1]:
            result = c.insert_masks(
                ids,
                operable,
                ratio,
                MASK,
                max_length=limit,
                attention_mask=attention_mask if padding != "none" else None,
                generator=generator(seed),
            )
            assert_inserted(result, ids, ratio, limit)


def test_insertion_refuses_a_ratio_that_a_full_row_has_no_gaps_for() -> None:
    ids, operable, _ = batch(0, "none")
    with pytest.raises(UserError, match=r"insert_ratio=0\.51"):
        c.insert_masks(ids, operable, 0.51, MASK)


@pytest.mark.parametrize("ratio", [0.4, 0.5])
def test_insertion_at_high_ratios_stays_between_the_first_and_the_final_token(ratio: float) -> None:
    for count in range(1, 12):
        ids = torch.tensor([[CLS, *range(FIRST, FIRST + count), SEP]]).expand(20, -1)
        for spare in (0, 1):
            limit = ids.shape[1] + spare
            result = c.insert_masks(ids, ids >= FIRST, ratio, MASK, max_length=limit, generator=generator())
            for found in result.input_ids.tolist():
                framed = [t for t in found if t != PAD]
                kept = [t for t in framed if t >= FIRST]
                assert (framed[0], framed[-1]) == (CLS, SEP)
                assert kept == list(range(FIRST, FIRST + len(kept)))


def test_insertion_needs_no_attention_mask_where_every_row_is_full() -> None:
    ids, operable, _ = batch(0, "none")
    full = c.insert_masks(ids, operable, 0.15, MASK, max_length=ids.shape[1], generator=generator())
    assert full.attention_mask is None
    assert (full.input_ids != PAD).all()
    # One more place than there are tokens to fill it: some rows may have padding.
    longer = c.insert_masks(ids, operable & (ids > FIRST + 5), 0.15, MASK, generator=generator())
    assert longer.attention_mask is not None
    assert longer.attention_mask.equal((longer.input_ids != PAD).long())


def test_padding_is_filled_with_the_given_token() -> None:
    ids = torch.tensor([[CLS, A, B, C, D, E, SEP, 9], [CLS, A, SEP, 9, 9, 9, 9, 9]])
    result = c.insert_masks(
        ids, ids >= FIRST, 0.4, MASK, attention_mask=(ids != 9).long(), pad_token_id=9, generator=generator()
    )
    assert result.input_ids.shape == (2, 11)
    assert result.input_ids[0, 9:].tolist() == [9, 9]
    assert result.input_ids[1, 4:].tolist() == [9] * 7


@pytest.mark.parametrize("course", ["rtd", "std", "itd"])
def test_same_generator_same_draws_and_none_from_the_global_state(course: str) -> None:
    ids, operable, attention_mask = batch(3, "right")

    def corrupt(seed: int) -> Tensor:
        if course == "rtd":
            return c.mask_tokens(ids, operable, 0.4, MASK, generator=generator(seed)).input_ids
        if course == "std":
            return c.swap_tokens(ids, operable, 0.4, generator=generator(seed)).input_ids
        return c.insert_masks(
            ids, operable, 0.4, MASK, attention_mask=attention_mask, generator=generator(seed)
        ).input_ids

    clean, state = ids.clone(), torch.get_rng_state()
    assert corrupt(7).equal(corrupt(7))
    assert not corrupt(7).equal(corrupt(8))
    assert torch.get_rng_state().equal(state)
    assert ids.equal(clean)


def test_counts_are_nearest_integers_for_numbers_and_tensors_alike() -> None:
    tokens = torch.arange(700)
    for ratio in (0.001, 0.05, 0.1, 0.15, 0.3, 1 / 3, 0.35, 0.5, 0.57, 0.58, 0.85, 0.999):
        for least in (1, 2):
            exact = [nearest(n, round(ratio, 6), least) for n in range(700)]
            counts = c.operated_count(tokens, ratio, least)
            assert isinstance(counts, Tensor)
            assert counts.tolist() == exact
            assert [c.operated_count(n, ratio, least) for n in range(700)] == exact


def test_substitute_writes_used_slots_only() -> None:
    ids = torch.tensor([[10, 11, 12, 13], [20, 21, 22, 23]])
    positions = torch.tensor([[3, 0, 1], [2, 2, 2]])
    valid = torch.tensor([[True, True, False], [True, False, False]])
    result = c.substitute(ids, positions, torch.tensor([[90, 91, 92], [93, 94, 95]]), valid)
    assert result.tolist() == [[91, 11, 12, 90], [20, 21, 93, 23]]
    assert ids.tolist() == [[10, 11, 12, 13], [20, 21, 22, 23]]


# --- sampling -------------------------------------------------------------------------------------------------------
def test_samples_follow_the_softmax_of_their_own_position() -> None:
    draws = 100_000
    logits = torch.randn(2, 6, generator=generator()) * 2
    samples = c.sample_tokens(logits.expand(draws, 2, 6), generator())
    assert samples.shape == (draws, 2)
    for position, probabilities in enumerate(logits.double().softmax(-1)):
        frequencies = samples[:, position].bincount(minlength=6) / draws
        errors = (probabilities * (1 - probabilities) / draws).sqrt()
        assert ((frequencies - probabilities).abs() < 4 * errors).all()


@pytest.mark.parametrize("forbidden", [[0], [5], [0, 1, 4, 5], [0, 1, 2, 3, 4]])
def test_impossible_tokens_are_never_sampled(forbidden: list[int]) -> None:
    logits = torch.zeros(6)
    logits[forbidden] = -math.inf
    samples = c.sample_tokens(logits.expand(50_000, 6), generator())
    assert set(samples.tolist()) == set(range(6)) - set(forbidden)


@pytest.mark.parametrize(("draw", "sampled"), [(0.0, 1), (1 - 2**-24, 4)])
def test_the_ends_of_the_interval_are_sampled_like_the_rest(
    draw: float, sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least and the greatest number that can be drawn: one in 16 million, which a long run meets every minute."""
    logits = torch.tensor([-math.inf, 0.3, 0.0, -0.2, 0.1, -math.inf])
    monkeypatch.setattr(torch, "rand", lambda size, **_: torch.full(size, draw))
    assert c.sample_tokens(logits.expand(2, 3, 6)).tolist() == [[sampled] * 3] * 2


def test_sampling_is_done_in_float32_without_gradient() -> None:
    logits = torch.randn(64, 5000, generator=generator()).bfloat16().requires_grad_()
    samples = c.sample_tokens(logits, generator(1))
    assert samples.equal(c.sample_tokens(logits.float(), generator(1)))
    # In bfloat16 a sum of 5,000 small probabilities stands still long before the end of the vocabulary.
    assert (samples > 4000).any()
    assert not samples.requires_grad


def test_sampling_draws_from_the_given_generator_alone() -> None:
    logits, state = torch.randn(100, 50, generator=generator()), torch.get_rng_state()
    assert c.sample_tokens(logits, generator(1)).equal(c.sample_tokens(logits, generator(1)))
    assert not c.sample_tokens(logits, generator(1)).equal(c.sample_tokens(logits, generator(2)))
    assert torch.get_rng_state().equal(state)


def test_sampling_from_logits_that_are_not_numbers_gives_tokens() -> None:
    tokens = c.sample_tokens(torch.full((2, 3, 7), torch.nan))
    assert tokens.shape == (2, 3)
    assert ((tokens >= 0) & (tokens < 7)).all()


# --- whole words ----------------------------------------------------------------------------------------------------
def words_of(operable: Tensor, share_of_starts: float, seed: int) -> Tensor:
    """The place where each token's word begins; special tokens and padding are words of their own."""
    place = torch.arange(operable.shape[1])
    starts = torch.rand(operable.shape, generator=generator(seed)) < share_of_starts
    return torch.where(starts | ~operable, place, 0).cummax(1).values


@pytest.mark.parametrize("course", ["rtd", "std"])
@pytest.mark.parametrize(("seed", "padding"), BATCHES)
def test_whole_words(seed: int, padding: str, course: str) -> None:
    """As many tokens as of single ones, in whole words but for one where no words of one token are left."""
    ids, operable, _ = batch(seed, padding)
    uncut = 0
    for ratio, share_of_starts in itertools.product(RATIOS, (0.0, 0.3, 0.7, 1.0)):
        words = words_of(operable, share_of_starts, seed)

        def corrupt(draws: torch.Generator, words: Tensor | None = words, ratio: float = ratio) -> c.Corruption:
            if course == "rtd":
                return c.mask_tokens(ids, operable, ratio, MASK, words=words, generator=draws)
            return c.swap_tokens(ids, operable, ratio, words=words, generator=draws)

        result, single = corrupt(generator(seed)), corrupt(generator(seed), None)
        assert result.valid.equal(single.valid) and result.positions.shape == single.positions.shape
        assert corrupt(generator(seed)).input_ids.equal(result.input_ids)
        for row, tokens in enumerate(ids):
            chosen = set(used(result, row))
            assert len(chosen) == result.valid[row].sum() and operable[row][list(chosen)].all()
            assert result.labels[row][result.valid[row]].equal(tokens[used(result, row)])
            every: dict[int, set[int]] = {}
            for at in operable[row].nonzero().flatten().tolist():
                every.setdefault(int(words[row, at]), set()).add(at)
            cut = [word for word in every.values() if word & chosen and not word <= chosen]
            assert len(cut) <= 1
            assert not cut or all(word <= chosen for word in every.values() if len(word) == 1)
            uncut += not cut
    assert uncut > len(ids) * len(RATIOS)


def test_whole_words_are_equally_likely_and_their_tokens_swap_in_any_cycle() -> None:
    """Two of three words of two tokens: which, and in which of the six cycles of four their tokens change places."""
    tokens = [A, B, C, D, E, F]
    ids = torch.tensor([[CLS, *tokens, SEP]]).expand(30_000, -1)
    words = torch.tensor([[0, 1, 1, 3, 3, 5, 5, 7]]).expand(30_000, -1)
    result = c.swap_tokens(ids, ids >= FIRST, 0.6, words=words, generator=generator())
    counts = Counter(map(tuple, result.input_ids.tolist()))
    moved = Counter(
        tuple(n for n in range(3) if row[1 + 2 * n : 3 + 2 * n] != tuple(tokens[2 * n : 2 * n + 2])) for row in counts
    )
    assert moved == {(0, 1): 6, (0, 2): 6, (1, 2): 6}
    mean = 30_000 / 18
    chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
    assert abs(chi_square - 17) < 4 * math.sqrt(2 * 17)
    masked = c.mask_tokens(ids, ids >= FIRST, 0.6, MASK, words=words, generator=generator())
    chosen = Counter(map(tuple, masked.input_ids.tolist()))
    assert len(chosen) == 3 and max(abs(count - 10_000) for count in chosen.values()) < 500
