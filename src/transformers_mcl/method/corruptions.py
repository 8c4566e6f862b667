"""What a course does to a batch of rows (MCL, arXiv 2305.03981), as pure functions on tensors.

Shapes: `batch` rows of `length` tokens; `slots` is the most positions that a row of `length` tokens can have operated
on at the given ratio, a number known from the shapes alone. Rows with fewer operated positions leave slots unused
(`valid` is False there), so every shape is static and nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

from ..errors import UserError

__all__ = [
    "Corruption",
    "insert_masks",
    "mask_tokens",
    "operated_count",
    "sample_tokens",
    "substitute",
    "swap_tokens",
]

MOST_INSERTED = 0.5
_PARTS = 1_000_000  # ratios are rounded to a millionth, so that counts are exact integers on every device


@dataclass
class Corruption:
    """What a course made of a batch.

    Attributes:
        input_ids (`LongTensor` of shape `(batch, new_length)`): what the generator reads.
        positions (`LongTensor` of shape `(batch, slots)`): operated positions, in `input_ids`.
        valid (`BoolTensor` of shape `(batch, slots)`): which slots are in use.
        labels (`LongTensor` of shape `(batch, slots)`): the original tokens there, -100 in unused slots and
            everywhere for insertion, which has no originals.
        attention_mask (`Tensor` of shape `(batch, new_length)` or `None`): 1 for tokens, 0 for padding; `None` if no
            row can hold padding.
        document_ids (`LongTensor` of shape `(batch, new_length)` or `None`): which document each token belongs to,
            where documents are kept apart; the same for every pass over this corruption.
    """

    input_ids: Tensor
    positions: Tensor
    valid: Tensor
    labels: Tensor
    attention_mask: Tensor | None = None
    document_ids: Tensor | None = None


@overload
def operated_count(tokens: int, ratio: float, least: int = 1) -> int: ...
@overload
def operated_count(tokens: Tensor, ratio: float, least: int = 1) -> Tensor: ...
def operated_count(tokens: int | Tensor, ratio: float, least: int = 1) -> int | Tensor:
    """`ratio` of `tokens`, to the nearest integer (halves up), but at least `least` where there are as many tokens.

    Takes and gives an `int` or an integer tensor; exact, since it is computed in integers.
    """
    count = (tokens * round(ratio * _PARTS) + _PARTS // 2) // _PARTS
    if isinstance(tokens, Tensor) and isinstance(count, Tensor):
        return torch.where(tokens < least, torch.zeros_like(count), count.clamp(min=least))
    return 0 if tokens < least else max(count, least)


Count = Callable[[Any, float], Any]  # of tokens, an int or a tensor, at a ratio


def _uniform(shape: torch.Size, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draws in [0, 1): all that is left to chance in the courses."""
    if generator is None:  # named, it would not be compiled for several shapes
        return torch.rand(shape, device=device)
    return torch.rand(shape, generator=generator, device=device)


def _choose(
    candidates: Tensor, counts: Tensor, slots: int, generator: torch.Generator | None, words: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`counts[row]` of each row's `candidates` (boolean, `(batch, length)`), uniformly and in random order.

    With `words` they are whole words, as far as their number allows (`_prefer_words`).

    Returns positions and their validity, both `(batch, slots)`. Unused slots hold other positions of the row.
    """
    keys = _uniform(candidates.shape, generator, candidates.device)
    valid = torch.arange(slots, device=candidates.device) < counts[:, None]
    if words is not None:
        keys = _prefer_words(keys, candidates, counts, slots, words)
    positions = keys.masked_fill(~candidates, -1.0).topk(slots, dim=1).indices
    if words is not None:  # the tokens of a word must not stand together
        order = _uniform(positions.shape, generator, positions.device).masked_fill(~valid, 2.0).argsort(1)
        positions = positions.gather(1, order)
    return positions, valid


def _prefer_words(draws: Tensor, candidates: Tensor, counts: Tensor, slots: int, words: Tensor) -> Tensor:
    """Keys `(batch, length)` of which the highest `counts[row]` of a row's candidates are whole words.

    Words are taken in random order. Where the last would be more than `counts`, words of one token are taken in its
    place; where there are too few of these, it is cut: the only word of the row that is.

    Args:
        draws (`Tensor` of shape `(batch, length)`): uniform in [0, 1).
        words: as in [`mask_tokens`].
    """
    keys = draws.gather(1, words).masked_fill(~candidates, -1.0)  # the same for all tokens of a word
    last = keys.topk(slots, dim=1).values.gather(1, (counts - 1).clamp(min=0)[:, None])
    too_many = (keys >= last).sum(1) > counts
    cut = (keys == last) & too_many[:, None]
    whole = (keys >= last) & ~cut
    sizes = torch.zeros_like(words).scatter_add(1, words, candidates.long())
    single = sizes.gather(1, words) == 1
    return draws + 4 * whole + 2 * single + 1 * cut


def substitute(input_ids: Tensor, positions: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
    """A copy of `input_ids` with `tokens` at `positions` (both `(batch, slots)`), where `valid`."""
    # Unused slots are written to one column past the end and cut off, so that no two writes can meet.
    length = input_ids.shape[1]
    wide = torch.nn.functional.pad(input_ids, (0, 1))
    return wide.scatter(1, positions.masked_fill(~valid, length), tokens)[:, :length]


def mask_tokens(
    input_ids: Tensor,
    operable: Tensor,
    ratio: float,
    mask_token_id: int,
    *,
    words: Tensor | None = None,
    count: Count = operated_count,
    generator: torch.Generator | None = None,
) -> Corruption:
    """Replaced token detection: `ratio` of each row's operable tokens become `[MASK]`, all of them (no 80/10/10).

    Args:
        input_ids (`LongTensor` of shape `(batch, length)`): the clean rows.
        operable (`BoolTensor` of shape `(batch, length)`): False at special tokens and padding.
        ratio (`float`): share to mask, rounded to the nearest count, at least one.
        mask_token_id (`int`): id of `[MASK]`.
        words (`LongTensor` of shape `(batch, length)`, *optional*): which word of its row each token belongs to,
            numbers below `length`. Given, whole words are chosen; the count stays the same, for which one word of a
            row may have to be cut, where there are no words of one token to fill it up with.
        count (`Callable`, *optional*): how many of so many tokens that is, as [`operated_count`].
        generator (`torch.Generator`, *optional*): source of the draws, on the device of `input_ids`.
    """
    counts = count(operable.sum(1), ratio)
    positions, valid = _choose(operable, counts, count(input_ids.shape[1], ratio), generator, words)
    originals = input_ids.gather(1, positions)
    masked = substitute(input_ids, positions, torch.full_like(positions, mask_token_id), valid)
    return Corruption(masked, positions, valid, originals.masked_fill(~valid, -100))


_pair_count: Count = partial(operated_count, least=2)  # one token cannot change places


def swap_tokens(
    input_ids: Tensor,
    operable: Tensor,
    ratio: float,
    *,
    words: Tensor | None = None,
    count: Count = _pair_count,
    generator: torch.Generator | None = None,
) -> Corruption:
    """Swapped token detection: `ratio` of each row's operable tokens change places in one random cycle.

    Every chosen position receives the token of another chosen one; at least two are chosen, in rows that have two.
    Arguments as in [`mask_tokens`].
    """
    counts, slots = count(operable.sum(1), ratio), count(input_ids.shape[1], ratio)
    positions, valid = _choose(operable, counts, slots, generator, words)
    originals = input_ids.gather(1, positions)
    # The order of the slots is random already: shifting it by one within the used slots is a uniform random cycle.
    after = torch.arange(1, slots + 1, device=input_ids.device)
    source = torch.where(after < counts[:, None], after, 0)
    swapped = substitute(input_ids, positions, originals.gather(1, source), valid)
    return Corruption(swapped, positions, valid, originals.masked_fill(~valid, -100))


def insert_masks(
    input_ids: Tensor,
    operable: Tensor,
    ratio: float,
    mask_token_id: int,
    *,
    max_length: int | None = None,
    attention_mask: Tensor | None = None,
    pad_token_id: int = 0,
    count: Count = operated_count,
    generator: torch.Generator | None = None,
) -> Corruption:
    """Inserted token detection: `[MASK]` goes into random gaps, as many as `ratio` of the row's operable tokens.

    A gap is a place beside an operable token, so nothing is ever inserted before `[CLS]` or after the final `[SEP]`,
    and no gap is used twice. The order of the tokens stays. Where the row would pass `max_length`, as many of its last
    operable tokens are dropped as do not fit; special tokens and inserted slots never are. Padding goes to the end.

    Args:
        max_length (`int`, *optional*): most tokens of a row; no limit by default.
        attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding.
        pad_token_id (`int`): fills the rows up to the common new length, `min(length + slots, max_length)`.

    Other arguments as in [`mask_tokens`]; `labels` of the result are all -100.

    Raises:
        UserError: a ratio above 0.5, for which a row at its longest would not have gaps enough.
    """
    if ratio > MOST_INSERTED:
        raise UserError(f"insert_ratio={ratio} is above {MOST_INSERTED}: a full row would not have gaps enough")
    batch, length = input_ids.shape
    slots = count(length, ratio)
    max_length = max_length or length + slots
    new_length = min(length + slots, max_length)
    counts = count(operable.sum(1), ratio)
    content = torch.ones_like(operable) if attention_mask is None else attention_mask.bool()

    # Drop from the tail first, then insert into what is left, so that the count of inserted slots stays exact.
    overflow = (content.sum(1) + counts - max_length).clamp(min=0)
    operable_to_the_right = operable.flip(1).cumsum(1).flip(1)
    dropped = operable & (operable_to_the_right <= overflow[:, None])
    kept = operable & ~dropped
    beside = torch.nn.functional.pad(kept, (1, 0)) | torch.nn.functional.pad(kept, (0, 1))
    gaps, valid = _choose(beside, counts, slots, generator)

    # Sort tokens and slots by place: token i at 2i + 1, a slot in the gap before it at 2i, what is left out last.
    places = 2 * torch.arange(length, device=input_ids.device).expand(batch, -1) + 1
    left_out = 2 * length + 2
    out = places.masked_fill(dropped | ~content, left_out)
    order = torch.cat([out, (2 * gaps).masked_fill(~valid, left_out)], 1).argsort(stable=True, dim=1)
    slot = torch.full_like(gaps, pad_token_id).masked_fill(valid, mask_token_id)
    tokens = torch.cat([input_ids, slot], 1)
    positions = order.argsort(1)[:, length:].clamp(max=new_length - 1)
    present = torch.cat([content, valid], 1).gather(1, order)[:, :new_length]
    # Rows as long as the limit allows hold no padding: each drops what it gains. No mask is needed then.
    full = attention_mask is None and new_length == length
    return Corruption(
        tokens.gather(1, order)[:, :new_length],
        positions,
        valid,
        torch.full_like(positions, -100),
        None if full else present.long(),
    )


def sample_tokens(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One token per position from the softmax of `logits` `(..., vocabulary)`, in float32, without gradient.

    The inverse of the cumulative distribution at one uniform draw a position: the same distribution as
    `torch.multinomial`, at a quarter of its cost on a CPU, whose cost is one exponential draw per vocabulary entry.
    """
    with torch.no_grad():
        probabilities = logits.float().softmax(-1)
        if probabilities.is_cuda and torch.are_deterministic_algorithms_enabled():
            # The cumulative sum has no deterministic CUDA kernel.
            # It asserts that nothing is NaN, as the other way does not: a broken loss is found where it is read.
            flat = torch.multinomial(probabilities.nan_to_num(1.0).flatten(0, -2), 1, generator=generator)
            return flat.view(logits.shape[:-1])
        cumulative = probabilities.cumsum(-1)
        total = cumulative[..., -1:]
        draw = _uniform(total.shape, generator, logits.device) * total
        tokens = torch.searchsorted(cumulative, draw, right=True).squeeze(-1)
        return tokens.clamp(max=logits.shape[-1] - 1)  # a draw may round up to the total
