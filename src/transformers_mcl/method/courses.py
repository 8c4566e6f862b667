"""The courses: each is one object, which holds all that is particular to it. Everything else asks these objects.

A course operates on some tokens of a clean row, the generator fills in samples there, and the discriminator says of
every token whether it was replaced. Two more passes correct what went wrong (`notebook.py`). To add a course, write a
subclass of [`Course`] and register it ([`register_course`]): see `docs/add_a_course.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple, overload

import torch
from torch import Tensor

from ..errors import UserError, check_name
from .corruptions import (
    MOST_INSERTED,
    Corruption,
    insert_masks,
    mask_tokens,
    operated_count,
    substitute,
    swap_tokens,
)
from .documents import find_documents
from .notebook import Notebook

__all__ = [
    "COURSES",
    "ITD",
    "MAIN_COURSE",
    "OBJECTIVES",
    "RTD",
    "STD",
    "CorruptedRows",
    "Course",
    "CourseRecord",
    "Loss",
    "Rows",
    "SpecialTokens",
    "all_losses",
    "check_words",
    "corrupt_rows",
    "in_order",
    "known_weights",
    "register_course",
]


class Loss(NamedTuple):
    """A named loss of a course.

    Attributes:
        name: what it is called in weights, logs and cards.
        weight: in the objectives that have it; ELECTRA's and COCO-LM's 1 for the generator, 50 for the discriminator.
        detects: whether it is the discriminator's.
        corrects: whether it is of a second pass, over what the notebook says.
    """

    name: str
    weight: float = 1.0
    detects: bool = False
    corrects: bool = False


class SpecialTokens(NamedTuple):
    """Ids on which no course operates."""

    pad: int | None
    cls: int
    sep: int
    mask: int


@dataclass(frozen=True)
class Rows:
    """Rows that a course is about to operate on.

    Attributes:
        input_ids (`LongTensor` of shape `(batch, length)`): the tokens.
        operable (`BoolTensor` of shape `(batch, length)`): False at special tokens, padding, and what is taken.
        attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding; `None` if there is none.
        special: the special tokens.
        max_length: most tokens that a row may have.
        words (`LongTensor` of shape `(batch, length)`, *optional*): which word of its row each token belongs to, where
            courses are to operate on whole words.
    """

    input_ids: Tensor
    operable: Tensor
    attention_mask: Tensor | None
    special: SpecialTokens
    max_length: int
    words: Tensor | None = None

    def __getitem__(self, rows: slice) -> Rows:
        mask = None if self.attention_mask is None else self.attention_mask[rows]
        words = None if self.words is None else self.words[rows]
        ids, operable = self.input_ids[rows], self.operable[rows]
        return replace(self, input_ids=ids, operable=operable, attention_mask=mask, words=words)

    def __len__(self) -> int:
        return len(self.input_ids)

    @classmethod
    def of(
        cls,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        special: SpecialTokens,
        max_length: int,
        word_starts: Tensor | None = None,
    ) -> Rows:
        """Rows of which every ordinary token is operable; arguments as the attributes.

        Args:
            word_starts (`BoolTensor` of shape `(batch, length)`, *optional*): True where a word begins. One ends at
                the next, and at a special token.
        """
        operable = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        for token in special:
            operable = operable & (input_ids != token)
        words = None
        if word_starts is not None:  # a word has the number of the place at which it begins
            place = torch.arange(input_ids.shape[1], device=input_ids.device)
            words = torch.where(word_starts.bool() | ~operable, place, 0).cummax(1).values
        return cls(input_ids, operable, attention_mask, special, max_length, words)

    def after_insertion(self, input_ids: Tensor, attention_mask: Tensor | None) -> Rows:
        """These rows with slots inserted, `[MASK]`s on which nothing operates, and without the last operable tokens
        where there is no room for them; arguments as the attributes."""
        rows = Rows.of(input_ids, attention_mask, self.special, self.max_length)
        if self.words is None:
            return rows
        # The operable tokens are in the order in which they were: the n-th is the n-th.
        before = (~self.operable).long().argsort(dim=1, stable=True)
        number = (rows.operable.cumsum(1) - 1).clamp(min=0)
        return replace(rows, words=self.words.gather(1, before.gather(1, number)))


class Course:
    """A self-supervision course with its corrections. Subclasses say what is particular to one; see `RTD`.

    Attributes:
        name: short, lower case: the prefix of its figures, the key of its detection head.
        title, summary: for people; the summary is a sentence.
        colour: in every picture, as `#rrggbb`.
        ratio_name, ratio: the field of the configuration that says which share of a row's ordinary tokens it operates
            on, and the share by default.
        most: the largest share that it can operate on.
        least: fewest tokens that it operates on, in rows that have as many.
        inserts: whether it adds tokens to the row. These have no original: there is nothing to predict or correct.
        whole_words: whether it takes whole words where the rows say which these are (`Rows.words`); otherwise it is
            not told.
        corrupted: what the paper calls the rows that it has operated on.
        operation, verdict: participles, what is done to a token and what the discriminator then calls it.
        generate, detect, regenerate, rediscriminate: its losses; `None` for one that it has not.
        also_called: further names that others' checkpoints have for its detection head.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    colour: ClassVar[str]
    ratio_name: ClassVar[str]
    ratio: ClassVar[float] = 0.15
    most: ClassVar[float] = 1.0
    least: ClassVar[int] = 1
    inserts: ClassVar[bool] = False
    whole_words: ClassVar[bool] = False
    corrupted: ClassVar[str]
    operation: ClassVar[str]
    verdict: ClassVar[str] = "replaced"
    generate: ClassVar[Loss | None] = None
    detect: ClassVar[Loss]
    regenerate: ClassVar[Loss | None] = None
    rediscriminate: ClassVar[Loss | None] = None
    also_called: ClassVar[frozenset[str]] = frozenset()

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Its losses, in the order they are computed."""
        return tuple(loss for loss in (self.generate, self.detect, self.regenerate, self.rediscriminate) if loss)

    @property
    def corrects(self) -> bool:
        """Whether it has corrections, and so a notebook."""
        return any(loss.corrects for loss in self.losses)

    def is_on(self, weights: Mapping[str, float]) -> bool:
        """Whether one of its losses has a weight."""
        return any(weights.get(loss.name) for loss in self.losses)

    def ratio_of(self, config: Any) -> float:
        """Its ratio in a configuration, which has its field, or else the default.

        Raises:
            UserError: it is not above 0, below 1, and at most `most`.
        """
        ratio = getattr(config, self.ratio_name, self.ratio)
        if not isinstance(ratio, Real) or not 0.0 < float(ratio) < 1.0:
            raise UserError(f"{self.ratio_name}={ratio} must lie between 0 and 1, both excluded")
        if float(ratio) > self.most:
            why = ": every slot needs a gap of its own" if self.inserts else ""
            raise UserError(f"{self.ratio_name}={ratio} must be at most {self.most}{why}")
        return float(ratio)

    @overload
    def count(self, tokens: int, ratio: float) -> int: ...
    @overload
    def count(self, tokens: Tensor, ratio: float) -> Tensor: ...
    def count(self, tokens: int | Tensor, ratio: float) -> int | Tensor:
        """How many places it operates on in a row with so many operable `tokens`, never more than there are.

        Takes and gives an `int` or an integer tensor, and never falls where `tokens` grows.
        """
        return operated_count(tokens, ratio, self.least)

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        """Operates on `count` of each row's operable tokens; slots are `count` of the rows' length.

        Args:
            rows: the rows.
            ratio: share to operate on.
            generator (`torch.Generator`, *optional*): source of all draws, on the rows' device.
        """
        raise NotImplementedError

    def labels(self, operated: Tensor, filled: Tensor, original: Tensor) -> Tensor:
        """What the discriminator is to say: True where a token is not the original one, or was inserted.

        Args:
            operated (`BoolTensor` of shape `(batch, length)`): where the course operated.
            filled (`LongTensor` of shape `(batch, length)`): what the discriminator reads.
            original (`LongTensor` of shape `(batch, length)`): the row before the generator's samples.
        """
        return operated if self.inserts else operated & (filled != original)


class RTD(Course):
    """Replaced token detection: masked tokens are filled in (ELECTRA)."""

    name = "rtd"
    title = "Replaced token detection"
    summary = "Some tokens are masked, G fills them in, D says which tokens are not the original ones."
    colour = "#0072B2"
    ratio_name = "mask_ratio"
    whole_words = True
    corrupted = "x_mask"
    operation = "masked"
    generate = Loss("mlm")
    detect = Loss("rtd", 50.0, detects=True)
    regenerate = Loss("re_mlm", corrects=True)
    rediscriminate = Loss("re_rtd", 50.0, detects=True, corrects=True)
    also_called = frozenset({"replace", "replaced"})

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        corruption = mask_tokens(
            rows.input_ids,
            rows.operable,
            ratio,
            rows.special.mask,
            words=rows.words,
            count=self.count,
            generator=generator,
        )
        return replace(corruption, attention_mask=rows.attention_mask)


class STD(Course):
    """Swapped token detection: tokens change places, and are restored."""

    name = "std"
    title = "Swapped token detection"
    summary = "Some tokens change places, G restores them, D says which tokens are not the original ones."
    colour = "#D55E00"
    ratio_name = "swap_ratio"
    least = 2
    whole_words = True
    corrupted = "x_swap"
    operation = "swapped"
    generate = Loss("slm")
    detect = Loss("std", 50.0, detects=True)
    regenerate = Loss("re_slm", corrects=True)
    rediscriminate = Loss("re_std", 50.0, detects=True, corrects=True)
    also_called = frozenset({"swap", "swapped"})

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        corruption = swap_tokens(
            rows.input_ids, rows.operable, ratio, words=rows.words, count=self.count, generator=generator
        )
        return replace(corruption, attention_mask=rows.attention_mask)


class ITD(Course):
    """Inserted token detection: masks are inserted and filled in."""

    name = "itd"
    title = "Inserted token detection"
    summary = "Masks are inserted, G fills them in, D says which tokens are new."
    colour = "#009E73"
    ratio_name = "insert_ratio"
    most = MOST_INSERTED
    inserts = True
    corrupted = "x_ins"
    operation = "inserted"
    verdict = "inserted"
    detect = Loss("itd", 50.0, detects=True)
    also_called = frozenset({"insert", "insertion"})

    def corrupt(self, rows: Rows, ratio: float, generator: torch.Generator | None = None) -> Corruption:
        return insert_masks(
            rows.input_ids,
            rows.operable,
            ratio,
            rows.special.mask,
            max_length=rows.max_length,
            attention_mask=rows.attention_mask,
            pad_token_id=rows.special.pad or 0,
            count=self.count,
            generator=generator,
        )


# By name, in the order they are run.
COURSES: dict[str, Course] = {course.name: course for course in (RTD(), STD(), ITD())}
# Its detection head is what an exported discriminator keeps: ELECTRA's.
MAIN_COURSE = "rtd"

# Weights by the name of the objective. MCL's nine losses are always listed in a configuration; others where they have
# a weight.
OBJECTIVES: dict[str, dict[str, float]] = {
    "mcl": {loss.name: loss.weight for course in COURSES.values() for loss in course.losses},
    "electra": {loss.name: loss.weight for loss in COURSES[MAIN_COURSE].losses if not loss.corrects},
    "mlm": {loss.name: loss.weight for loss in COURSES[MAIN_COURSE].losses if not (loss.corrects or loss.detects)},
}


def register_course(course: Course, exist_ok: bool = False) -> Course:
    """Makes a course known, to be given a weight; returns it. A process that opens a pair trained with it calls this
    first.

    Args:
        course: an object of a subclass of [`Course`].
        exist_ok: whether it takes the place of a course of its name, as where a cell of a notebook is run again.

    Raises:
        UserError: a name that cannot be one of a module; or another course, or a loss, has its name or one of its
            losses'.
    """
    if not course.name.isidentifier() or hasattr(torch.nn.ModuleDict, course.name):
        raise UserError(f"register_course: {course.name!r} cannot be the name of a course, nor so of a module")
    if exist_ok:
        COURSES.pop(course.name, None)
    taken = {loss.name: other.name for other in COURSES.values() for loss in other.losses}
    own = [loss.name for loss in course.losses]
    taken |= {name: course.name for name in own if own.count(name) > 1}
    for name in (course.name, *own):
        if name in COURSES or name in taken:
            whose = taken.get(name, name)
            raise UserError(f"register_course: {name!r} is taken by the course {whose!r}: choose another name")
    return COURSES.setdefault(course.name, course)


def all_losses() -> dict[str, Loss]:
    """The losses of all courses by name: the generator's, its corrections, the discriminator's, its corrections."""
    losses = [loss for course in COURSES.values() for loss in course.losses]
    return {loss.name: loss for loss in sorted(losses, key=lambda loss: (loss.detects, loss.corrects))}


def known_weights(weights: Mapping[str, Any], what: str = "loss_weights") -> dict[str, float]:
    """`weights` of losses, checked, in the order of `all_losses`; MCL's own are 0 where they are not given.

    Raises:
        UserError: an unknown loss, a weight that is no finite number of 0 or more, or none above 0.
    """
    losses = all_losses()
    for name, weight in weights.items():
        check_name(what, name, losses, "; a course of your own is to be registered first (register_course)")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0.0 <= float(weight) < float("inf"):
            raise UserError(f"{what}[{name!r}]={weight} must be a finite number, 0 or more")
    if not any(weights.values()):
        raise UserError(f"{what} are all 0: nothing would be learnt; give at least one loss a weight")
    return {name: weights.get(name, 0.0) for name in losses if name in OBJECTIVES["mcl"] or weights.get(name)}


def check_words(word_starts: Tensor | None) -> Tensor:
    """`word_starts`, which whole words cannot do without.

    Raises:
        UserError: there are none.
    """
    if word_starts is None:
        raise UserError(
            "whole_word_mask: these rows do not say where words begin (word_starts): prepare them with "
            "DataArguments(whole_word_mask=True), or train with whole_word_mask=False"
        )
    return word_starts


def in_order(courses: Sequence[Course]) -> list[Course]:
    """The order in which courses operate on one row: insertions first, which move the tokens."""
    return sorted(courses, key=lambda course: not course.inserts)


@dataclass
class CorruptedRows:
    """Rows that one course has operated on, or several, each at places of its own.

    Attributes:
        corruptions: what each course did, by its name. All have the same `input_ids`, which the generator reads.
        original (`LongTensor` of shape `(batch, new_length)`): the rows without their masks and swaps; inserted slots
            are `[MASK]`.
    """

    corruptions: dict[str, Corruption]
    original: Tensor

    @property
    def read(self) -> Corruption:
        """One of the corruptions, for what they have in common."""
        return next(iter(self.corruptions.values()))

    @property
    def present(self) -> Tensor:
        """True where there is a token and no padding, `(batch, new_length)`."""
        mask = self.read.attention_mask
        return torch.ones_like(self.original, dtype=torch.bool) if mask is None else mask.bool()

    def operated(self, course: str) -> Tensor:
        """Where a course has operated, `(batch, new_length)`."""
        return _operated(self.corruptions[course], self.original)

    def judged(self, course: str) -> Tensor:
        """The tokens that a course judges, `(batch, new_length)`: all but padding and what other courses did."""
        judged = self.present
        for other in self.corruptions.keys() - {course}:
            judged = judged & ~self.operated(other)
        return judged


def _operated(corruption: Corruption, like: Tensor) -> Tensor:
    nowhere = torch.zeros_like(like)
    return substitute(nowhere, corruption.positions, corruption.valid.long(), corruption.valid).bool()


def corrupt_rows(
    courses: Sequence[Course],
    rows: Rows,
    ratios: Mapping[str, float],
    generator: torch.Generator | None = None,
    cls_token_id: int | None = None,
) -> CorruptedRows:
    """Has one or several courses operate on rows, none where another did.

    Args:
        courses: which.
        rows: clean rows.
        ratios: by name of the course.
        generator (`torch.Generator`, *optional*): source of all draws.
        cls_token_id (`int`, *optional*): given, documents are kept apart, each of which begins with it.
    """
    done: dict[str, Corruption] = {}
    original = rows.input_ids
    for course in in_order(courses):
        its = rows if course.whole_words else replace(rows, words=None)
        corruption = done[course.name] = course.corrupt(its, ratios[course.name], generator)
        read, mask = corruption.input_ids, corruption.attention_mask
        if course.inserts:  # an inserted slot is a [MASK], on which nothing operates
            original, rows = read, rows.after_insertion(read, mask)
        elif len(done) < len(courses):
            rows = replace(rows, input_ids=read, operable=rows.operable & ~_operated(corruption, original))
    documents = None if cls_token_id is None else find_documents(read, cls_token_id)
    shared: dict[str, Any] = {"input_ids": read, "attention_mask": mask, "document_ids": documents}
    return CorruptedRows({course.name: replace(done[course.name], **shared) for course in courses}, original)


@dataclass
class CourseRecord:
    """What happened in one course; all tensors without gradient (shapes in [`Corruption`]).

    Attributes:
        corruption: what the generator read, and where it was operated on.
        original (`LongTensor` of shape `(batch, new_length)`): the row without its masks and swaps.
        samples (`LongTensor` of shape `(batch, slots)`): what the generator filled in.
        discriminator_input (`LongTensor` of shape `(batch, new_length)`): the corrupted row with the samples in place.
        labels (`BoolTensor` of shape `(batch, new_length)`): True where replaced, or inserted.
        logits (`Tensor` of shape `(batch, new_length)`): the discriminator's verdict, positive = replaced.
        notebook: the four cells; `None` for a course without corrections.
        regeneration_input, rediscrimination_input (`LongTensor` of shape `(batch, length)`): the second inputs.
    """

    corruption: Corruption
    original: Tensor
    samples: Tensor
    discriminator_input: Tensor | None = None
    labels: Tensor | None = None
    logits: Tensor | None = None
    notebook: Notebook | None = None
    regeneration_input: Tensor | None = None
    rediscrimination_input: Tensor | None = None

    def first_rows(self, rows: int) -> CourseRecord:
        """The first `rows` rows of all that there is."""
        part: CourseRecord = _first_rows(self, rows)
        return part


def _first_rows(value: Any, rows: int) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _first_rows(getattr(value, f.name), rows) for f in fields(value)})
    return value if value is None else value[:rows]
