"""An inspection as text for a terminal: a column a token, a row a step."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..io import printable
from ..method.courses import COURSES, Course
from .courses import CourseInspection, Inspection, only

__all__ = ["render"]

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
        return printable(value, self.encoding)

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
    parts += [
        _draw_course(terminal, name, course, inspection.threshold) for name, course in inspection.courses.items()
    ]
    return "\n\n".join([*parts, _draw_legend(terminal, inspection)])


def _draw_course(terminal: _Terminal, name: str, course: CourseInspection, threshold: float) -> str:
    its = COURSES[name]
    lines = [terminal.paint(f"{its.title} ({name.upper()})", "title"), terminal.fill(its.summary)]
    rows = [
        row._replace(values=[terminal.dot if v is None else terminal.text(v) for v in row.values])
        for row in _course_rows(name, course, terminal.dot, threshold)
    ]
    lines += _draw_rows(terminal, rows)
    return "\n".join([*lines, "", terminal.fill(_result(name, course))])


def _course_rows(name: str, course: CourseInspection, dot: str, threshold: float) -> list[_Line]:
    """The steps of a course in their order; those that did not happen are left out."""
    sign = _sign(COURSES[name])
    plain: list[str | None] = [None] * len(course.operated)
    bold = ["operated" if operated else None for operated in course.operated]
    cells: Sequence[str | None] = course.cells or plain
    again_g = only(cells, cells, "pos4")
    again_d = only(cells, cells, "pos2", "pos3")
    rows = [
        _Line("x", course.original, plain),
        _Line(f"G reads {COURSES[name].corrupted}", _starred(course.generator_reads, course.operated), bold),
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
        said_again = [
            None if p is None else f"{p:.2f} {sign if p > threshold else dot}" for p in course.probability_again
        ]
        rows.append(_Line("D says again", said_again, again_d))
    return rows


def _sign(course: Course) -> str:
    return course.verdict[0].upper()


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
    its, said = COURSES[name], []
    if course.dropped:
        said.append(f"Dropped at the end, for want of positions: {course.dropped}.")
    if course.replaced is not None and course.judged_replaced is not None:
        judged = list(zip(course.replaced, course.judged_replaced, strict=True))
        wrong = course.replaced.count(True)
        if not its.inserts:
            operated = course.operated.count(True)
            said.append(f"G's samples are the original in {operated - wrong} of {operated} places.")
        said.append(
            f"D found {judged.count((True, True))} of {wrong} {its.verdict} tokens, and called "
            f"{judged.count((False, True))} of {len(judged) - wrong} original ones {its.verdict}."
        )
    return " ".join(said)


def _draw_legend(terminal: _Terminal, inspection: Inspection) -> str:
    shown = inspection.courses
    entries = [
        ("G, D", "generator, discriminator; 0.87 is D's probability of replaced or inserted", None),
        ("*", "operated on: masked, swapped or inserted", "operated"),
        *dict.fromkeys((_sign(COURSES[name]), COURSES[name].verdict, None) for name in shown),
        (terminal.dot, "original; or nothing here", None),
    ]
    if any(course.cells for course in shown.values()):
        entries += [(cell, meaning, cell) for cell, meaning in _CELLS.items()]
    lines = [f"  {terminal.paint(sign.ljust(4), style)}  {meaning}" for sign, meaning, style in entries]
    return "\n".join([terminal.paint("Signs", "title"), *lines])
