"""What each course does to one sentence, drawn as the paper's figure draws it: a column a token, a row a step."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..data.tokenizer import check_tokenizer
from ..errors import UserError
from ..method.corruptions import Corruption
from ..models.configuration_mcl import COURSES
from ..models.pretraining import CourseRecord, MclForPreTraining

__all__ = ["CourseInspection", "Inspection", "check_text", "describe_course", "inspect_text", "render"]


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
        courses: by `"rtd"`, `"std"`, `"itd"`, in this order, those shown.
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
        courses: `"rtd"`, `"std"`, `"itd"`; all that the pair takes by default.

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
        if name not in COURSES:
            raise UserError(f"courses: unknown {name!r}; choose from {', '.join(COURSES)}")
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
    _, _, regenerate, rediscriminate = COURSES[course]
    mask, positions = record.corruption.attention_mask, record.corruption.positions
    says_again = judged_again = None
    if not model.loss_weights.get(regenerate or "", 0.0):
        record.regeneration_input = None
    elif record.regeneration_input is not None:
        says_again = model.generator.logits_at(record.regeneration_input, mask, positions).argmax(-1)
    if not model.loss_weights.get(rediscriminate or "", 0.0):
        record.rediscrimination_input = None
    elif record.rediscrimination_input is not None:
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
        course: `"rtd"`, `"std"` or `"itd"`.
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
    if course == "itd":  # the other tokens keep their order, but not their places
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
        shown.generator_says_again = _only(row.spread(says_again), shown.cells, "pos4")
    if judged_again is not None:
        shown.probability_again = _only(row.values(judged_again.float().sigmoid()), shown.cells, "pos2", "pos3")
    return shown


def _only(values: Sequence[Any], cells: Sequence[str | None] | None, *wanted: str) -> list[Any]:
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
    return [f"[{number}]" if token is None else token for number, token in zip(ids, tokens, strict=True)]


_TITLES = {
    "rtd": (
        "Replaced token detection (RTD)",
        "Some tokens are masked, G fills them in, D says which tokens are not the original ones.",
    ),
    "std": (
        "Swapped token detection (STD)",
        "Some tokens change places, G restores them, D says which tokens are not the original ones.",
    ),
    "itd": ("Inserted token detection (ITD)", "Masks are inserted, G fills them in, D says which tokens are new."),
}
_G_READS = {"rtd": "x_mask", "std": "x_swap", "itd": "x_ins"}
_CELLS = {
    "pos1": "original, and D says so: nothing to do",
    "pos2": "replaced, and D was fooled: D judges it again",
    "pos3": "original, but D cried wolf: D judges it again",
    "pos4": "replaced, and D caught it: G fills it in again",
}
_CODES = {"title": "1", "operated": "1", "faint": "2", "pos1": "32", "pos2": "33", "pos3": "35", "pos4": "36"}


class _Line(NamedTuple):
    """One row of the picture: a value for each token (`None`: nothing there), and its style."""

    label: str
    values: Sequence[str | None]
    styles: Sequence[str | None]


@dataclass
class _Terminal:
    color: bool
    width: int
    encoding: str

    def __post_init__(self) -> None:
        self.dot = "·" if self.text("·") == "·" else "."

    def text(self, value: str) -> str:
        """`value` in characters that this terminal can write, and that move its cursor to the right."""
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
        return shown.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def paint(self, text: str, style: str | None) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.color and style else text

    def fill(self, text: str) -> str:
        return textwrap.fill(text, max(self.width, 20), initial_indent="  ", subsequent_indent="  ")


def render(inspection: Inspection, *, color: bool, width: int, encoding: str = "utf-8") -> str:
    """Draws an inspection: the same characters with colours and without, so that nothing is lost.

    Args:
        inspection: what [`inspect_text`] returned.
        color: whether to use ANSI colours.
        width: columns of the terminal. Longer rows go on in a further block; a token wider than that is not cut.
        encoding: the terminal's; characters that it lacks are written as escapes.

    Returns:
        Lines without a last line break.
    """
    terminal = _Terminal(color, width, encoding)
    parts = [textwrap.fill(terminal.text(f"Note: {note}"), max(width, 20)) for note in inspection.notes]
    parts += [_draw_course(terminal, name, course) for name, course in inspection.courses.items()]
    return "\n\n".join([*parts, _draw_legend(terminal, inspection)])


def _draw_course(terminal: _Terminal, name: str, course: CourseInspection) -> str:
    title, explanation = _TITLES[name]
    lines = [terminal.paint(title, "title"), terminal.fill(explanation)]
    rows = [
        row._replace(values=[terminal.dot if v is None else terminal.text(v) for v in row.values])
        for row in _course_rows(name, course, terminal.dot)
    ]
    lines += _draw_rows(terminal, rows)
    return "\n".join([*lines, "", terminal.fill(_result(name, course))])


def _course_rows(name: str, course: CourseInspection, dot: str) -> list[_Line]:
    """The steps of a course in their order; those that did not happen are left out."""
    sign = _sign(name)
    plain: list[str | None] = [None] * len(course.operated)
    bold = ["operated" if operated else None for operated in course.operated]
    cells: Sequence[str | None] = course.cells or plain
    again_g = _only(cells, cells, "pos4")
    again_d = _only(cells, cells, "pos2", "pos3")
    rows = [
        _Line("x", course.original, plain),
        _Line(f"G reads {_G_READS[name]}", _starred(course.generator_reads, course.operated), bold),
        _Line("G fills in", course.generator_fills, bold),
    ]
    if course.discriminator_reads and course.replaced and course.probability and course.judged_replaced:
        said = [
            f"{probability:.2f} {sign if judged else dot}"
            for probability, judged in zip(course.probability, course.judged_replaced, strict=True)
        ]
        rows += [
            _Line(f"D reads x_{name}", course.discriminator_reads, cells),
            _Line("truth", [sign if replaced else None for replaced in course.replaced], plain),
            _Line("D says", said, cells),
        ]
    if course.cells:
        rows.append(_Line("cell", cells, cells))
    if course.generator_reads_again:
        rows.append(_Line("G reads again", _starred(course.generator_reads_again, again_g), again_g))
    if course.generator_says_again:
        rows.append(_Line("G says again", course.generator_says_again, again_g))
    if course.discriminator_reads_again:
        rows.append(_Line("D reads again", course.discriminator_reads_again, again_d))
    if course.probability_again:
        said_again = [None if p is None else f"{p:.2f} {sign if p > 0.5 else dot}" for p in course.probability_again]
        rows.append(_Line("D says again", said_again, again_d))
    return rows


def _sign(name: str) -> str:
    return "I" if name == "itd" else "R"


def _starred(tokens: Sequence[str], chosen: Sequence[Any]) -> list[str]:
    return [f"*{token}" if star else token for token, star in zip(tokens, chosen, strict=True)]


def _draw_rows(terminal: _Terminal, rows: Sequence[_Line]) -> Iterator[str]:
    """The rows in as many blocks as the width asks for, each after an empty line, their tokens one under the other."""
    margin = 2 + max(len(row.label) for row in rows)
    table = [row.values for row in rows]
    widths = [max(_columns(value or "") for value in column) for column in zip(*table, strict=True)]
    start = 0
    while start < len(widths):
        stop, used = start + 1, margin + 2 + widths[start]
        while stop < len(widths) and used + 2 + widths[stop] <= terminal.width:
            used += 2 + widths[stop]
            stop += 1
        yield ""
        for label, values, styles in rows:
            line = terminal.paint(f"  {label}".ljust(margin), "faint")
            for value, style, width in list(zip(values, styles, widths, strict=True))[start:stop]:
                line += "  " + terminal.paint(value or "", style) + " " * (width - _columns(value or ""))
            yield line.rstrip()
        start = stop


def _columns(text: str) -> int:
    """Columns that `text` takes in a terminal: two for East Asian wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _result(name: str, course: CourseInspection) -> str:
    """What came of it, in a sentence or two."""
    what = "inserted" if name == "itd" else "replaced"
    said = []
    if course.dropped:
        said.append(f"Dropped at the end, for want of positions: {course.dropped}.")
    if course.replaced is not None and course.judged_replaced is not None:
        judged = list(zip(course.replaced, course.judged_replaced, strict=True))
        wrong = course.replaced.count(True)
        if name != "itd":
            operated = course.operated.count(True)
            said.append(f"G's samples are the original in {operated - wrong} of {operated} places.")
        said.append(
            f"D found {judged.count((True, True))} of {wrong} {what} tokens, and called "
            f"{judged.count((False, True))} of {len(judged) - wrong} original ones {what}."
        )
    return " ".join(said)


def _draw_legend(terminal: _Terminal, inspection: Inspection) -> str:
    shown = inspection.courses
    entries = [
        ("G, D", "generator, discriminator; 0.87 is D's probability of replaced or inserted", None),
        ("*", "operated on: masked, swapped or inserted", "operated"),
        ("R", "replaced", None) if shown.keys() - {"itd"} else None,
        ("I", "inserted", None) if "itd" in shown else None,
        (terminal.dot, "original; or nothing here", None),
    ]
    if any(course.cells for course in shown.values()):
        entries += [(cell, meaning, cell) for cell, meaning in _CELLS.items()]
    lines = [f"  {terminal.paint(sign.ljust(4), style)}  {meaning}" for sign, meaning, style in filter(None, entries)]
    return "\n".join([terminal.paint("Signs", "title"), *lines])
