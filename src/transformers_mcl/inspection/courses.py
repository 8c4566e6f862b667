"""What each course does to one sentence, as the paper's figure shows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..data.tokenizer import check_tokenizer
from ..errors import UserError, check_name
from ..method.corruptions import Corruption
from ..method.courses import COURSES, CourseRecord
from ..models.pretraining import MclForPreTraining

__all__ = ["CourseInspection", "Inspection", "check_text", "describe_course", "inspect_text", "only"]


@dataclass
class CourseInspection:
    """One course on one sentence. Lists have one item for each token that the discriminator read, `[CLS]` and `[SEP]`
    included; for insertion that is more than the sentence has. What did not happen is `None`.

    Attributes:
        original: the sentence; `None` at inserted slots.
        operated: whether the course masked, swapped or inserted here.
        generator_reads: the corrupted sentence.
        generator_fills: the generator's sample where operated, `None` elsewhere.
        discriminator_reads: the corrupted sentence with the samples in place.
        replaced: the truth (for insertion: inserted).
        probability: the discriminator's probability of `replaced`, 0 to 1.
        judged_replaced: the discriminator's verdict, which decides the cell.
        cells: the correction notebook, `"pos1"` to `"pos4"`; `None` for insertion.
        generator_reads_again, generator_says_again: the generator's second input, and its most likely token at pos4.
            `None` where the pair does not take this correction course.
        discriminator_reads_again, probability_again: the discriminator's second input, and its probability of
            `replaced` at pos2 and pos3. `None` where the pair does not take this correction course.
        dropped: how many of the sentence's last tokens gave way to inserted slots, at the model's longest length.
    """

    original: list[str | None]
    operated: list[bool]
    generator_reads: list[str]
    generator_fills: list[str | None]
    discriminator_reads: list[str] | None = None
    replaced: list[bool] | None = None
    probability: list[float] | None = None
    judged_replaced: list[bool] | None = None
    cells: list[str] | None = None
    generator_reads_again: list[str] | None = None
    generator_says_again: list[str | None] | None = None
    discriminator_reads_again: list[str] | None = None
    probability_again: list[float | None] | None = None
    dropped: int = 0


@dataclass
class Inspection:
    """What [`inspect_text`] found: plain lists, numbers and strings.

    Attributes:
        text: the sentence as given.
        tokens: its tokens, with `[CLS]` and `[SEP]`.
        seed: seed of all draws.
        courses: by name (`"rtd"`, `"std"`, ...), in the order they are run, those shown.
        notes: what the reader has to know besides, a sentence each.
    """

    text: str
    tokens: list[str]
    seed: int
    courses: dict[str, CourseInspection]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, ready for `json.dumps`."""
        return asdict(self)


def inspect_text(
    model: MclForPreTraining,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    seed: int = 42,
    courses: Collection[str] | None = None,
) -> Inspection:
    """Runs the courses on one sentence, without dropout, and keeps what happened.

    A course shows the same whichever others are shown. Text beyond the model's positions is cut off, with a note.

    Args:
        model: the pair; left in the mode (training or evaluation) it came in.
        tokenizer: its tokenizer.
        text: the sentence.
        seed: of all draws: the positions, and the generator's samples.
        courses: their names (`"rtd"`, `"std"`, ...); all that the pair takes by default.

    Raises:
        UserError: text without a token, a course that the pair does not take, a tokenizer that is not the pair's.
    """
    check_text(text)
    if seed not in range(2**63):
        raise UserError(f"seed={seed} must be a whole number from 0 to 2**63 - 1")
    check_tokenizer(tokenizer, model.config.vocab_size)
    for name in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        ours, theirs = getattr(tokenizer, name), getattr(model.config, name)
        if ours != theirs:
            raise UserError(f"tokenizer: its {name} is {ours}, the model's is {theirs}: use the pair's own tokenizer")
    shown = _shown_courses(model, courses)
    input_ids, notes = _encode(text, tokenizer, model.config.max_position_embeddings)

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            clean = torch.tensor([input_ids], device=model.device)
            draws = torch.Generator(model.device).manual_seed(seed)
            # All courses run, also those not shown, so that each draws the same whatever is shown.
            records = model(clean, generator=draws, output_records=True).records
            described = {name: _inspect_course(model, tokenizer, name, clean, records[name]) for name in shown}
    finally:
        model.train(was_training)
    return Inspection(text, _tokens(tokenizer, input_ids), seed, described, notes)


def check_text(text: str) -> None:
    """That there is something to inspect.

    Raises:
        UserError: nothing but white space, or what is not text.
    """
    if not text.strip():
        raise UserError(f"text {text!r} is empty: give a sentence")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"text {text!r} is not valid Unicode at character {error.start}") from error


def _shown_courses(model: MclForPreTraining, courses: Collection[str] | None) -> tuple[str, ...]:
    active = model.active_courses
    for name in courses or ():
        check_name("courses", name, COURSES)
        if name not in active:
            raise UserError(f"courses: this pair does not take {name!r} (weight 0), only {', '.join(active)}")
    return tuple(name for name in active if courses is None or name in courses)


def _encode(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[list[int], list[str]]:
    """A row as in pre-training, `[CLS] text [SEP]`, and what there is to note about it."""
    # As in pre-training: "[MASK]" in a text is text.
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids: list[int] = encoded["input_ids"]
    if not ids:
        raise UserError(f"text {text!r} has no token in this tokenizer's vocabulary")
    kept = ids[: max_length - 2]
    notes = []
    if len(kept) < len(ids):
        notes.append(
            f"The text has {len(ids)} tokens, the model positions for {len(kept)} beside "
            f"{tokenizer.cls_token} and {tokenizer.sep_token}: {len(ids) - len(kept)} were cut off at the end."
        )
    return [tokenizer.cls_token_id, *kept, tokenizer.sep_token_id], notes


def _inspect_course(
    model: MclForPreTraining, tokenizer: PreTrainedTokenizerBase, course: str, clean: Tensor, record: CourseRecord
) -> CourseInspection:
    """Describes the course, and asks both networks what they say to the second inputs that they are trained on."""
    mask, positions = record.corruption.attention_mask, record.corruption.positions
    says_again = judged_again = None
    if record.regeneration_input is not None:
        says_again = model.predict_at(record.regeneration_input, mask, positions).argmax(-1)
    if record.rediscrimination_input is not None:
        judged_again = model.detect(course, record.rediscrimination_input, mask)
    return describe_course(course, clean, record, tokenizer, says_again, judged_again)


def describe_course(
    course: str,
    clean: Tensor,
    record: CourseRecord,
    tokenizer: PreTrainedTokenizerBase,
    says_again: Tensor | None = None,
    judged_again: Tensor | None = None,
) -> CourseInspection:
    """The first row of a course's record in words.

    Args:
        course: its name.
        clean (`LongTensor` of shape `(batch, length)`): the ids before the course.
        record: what happened in the course.
        tokenizer: turns ids into tokens.
        says_again (`LongTensor` of shape `(batch, slots)`, *optional*): the generator's answer to its second input.
        judged_again (`Tensor` of shape `(batch, length)`, *optional*): the discriminator's logits for its own.
    """
    row = _Row(tokenizer, record.corruption)
    fills = row.spread(record.samples)
    operated = [fill is not None for fill in fills]
    reads = row.tokens(record.corruption.input_ids)
    original: list[str | None] = [*row.tokens(clean)]
    dropped = 0
    if COURSES[course].inserts:  # the other tokens keep their order, but not their places
        original = [None if inserted else token for token, inserted in zip(reads, operated, strict=True)]
        dropped = clean.shape[1] - operated.count(False)
    shown = CourseInspection(original, operated, reads, fills, dropped=dropped)
    if record.discriminator_input is not None and record.labels is not None and record.logits is not None:
        shown.discriminator_reads = row.tokens(record.discriminator_input)
        shown.replaced = row.values(record.labels.bool())
        shown.probability = row.values(record.logits.float().sigmoid())
        shown.judged_replaced = row.values(record.logits > 0)
    if record.notebook is not None:
        cells = {name: row.values(cell) for name, cell in vars(record.notebook).items()}
        shown.cells = [next(name for name in cells if cells[name][i]) for i in range(len(reads))]
    if record.regeneration_input is not None:
        shown.generator_reads_again = row.tokens(record.regeneration_input)
    if record.rediscrimination_input is not None:
        shown.discriminator_reads_again = row.tokens(record.rediscrimination_input)
    if says_again is not None:
        shown.generator_says_again = only(row.spread(says_again), shown.cells, "pos4")
    if judged_again is not None:
        shown.probability_again = only(row.values(judged_again.float().sigmoid()), shown.cells, "pos2", "pos3")
    return shown


def only(values: Sequence[Any], cells: Sequence[str | None] | None, *wanted: str) -> list[Any]:
    """`values` in the wanted cells, `None` in others."""
    return [value if cell in wanted else None for value, cell in zip(values, cells or (), strict=True)]


class _Row:
    """Reads the first row of a batch: lists without its padding."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, corruption: Corruption):
        mask, used = corruption.attention_mask, corruption.valid[0]
        self.tokenizer = tokenizer
        self.length = corruption.input_ids.shape[1] if mask is None else int(mask[0].sum())
        self.used = used
        self.positions: list[int] = corruption.positions[0][used].tolist()

    def values(self, tensor: Tensor) -> list[Any]:
        return tensor[0, : self.length].tolist()

    def tokens(self, ids: Tensor) -> list[str]:
        return _tokens(self.tokenizer, self.values(ids))

    def spread(self, slots: Tensor) -> list[str | None]:
        """The tokens of the slots in use, at their positions."""
        found = dict(zip(self.positions, _tokens(self.tokenizer, slots[0][self.used].tolist()), strict=True))
        return [found.get(position) for position in range(self.length)]


def _tokens(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    # A vocabulary may be padded to a round number: the generator can draw an id that stands for no token.
    tokens = tokenizer.convert_ids_to_tokens(ids)
    decoder = tokenizer.backend_tokenizer.decoder if tokenizer.is_fast else None
    shown = _text if isinstance(decoder, ByteLevel) else str
    return [f"[{number}]" if token is None else shown(token) for number, token in zip(ids, tokens, strict=True)]


def _text(piece: str) -> str:
    """A piece of a byte-level vocabulary as the text it stands for, with SentencePiece's sign for a space; bytes that
    are no whole character stay as they are."""
    text: str = ByteLevel().decode([piece])
    return piece if "\N{REPLACEMENT CHARACTER}" in text else text.replace(" ", "\N{LOWER ONE EIGHTH BLOCK}")
