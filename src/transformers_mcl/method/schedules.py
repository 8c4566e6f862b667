"""Which rows of a training batch, and which courses together, a step takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .courses import Course

__all__ = ["SCHEDULES", "Curriculum", "Group", "Schedule"]


class Group(NamedTuple):
    """Courses that operate on the same rows in one pass of each network, and these rows of the batch."""

    courses: tuple[Course, ...]
    rows: slice


class Schedule:
    """A way to share a training batch out among the courses.

    Attributes:
        name: in the configuration.
        together: whether all courses take one pass of each network; there are no corrections then.
        in_turn: whether rows do not all take the same courses.
    """

    name: ClassVar[str]
    together: ClassVar[bool] = False
    in_turn: ClassVar[bool] = False

    def groups(self, courses: Sequence[Course], turn: int = 0) -> list[Group]:
        """What there is to do, in the order it is done.

        Args:
            courses: the active ones.
            turn: rows that came before this batch, for a schedule that takes them in turn.
        """
        raise NotImplementedError


class AllRows(Schedule):
    """Every course takes every row (the paper)."""

    name = "all"

    def groups(self, courses: Sequence[Course], turn: int = 0) -> list[Group]:
        return [Group((course,), slice(None)) for course in courses]


class Sampled(Schedule):
    """Every row takes one course, in turn: of `n` courses the run's row `r` takes course `r` modulo `n`. So over a run
    each course takes as many rows as the others, give or take one, however many rows a batch has."""

    name = "sampled"
    in_turn = True

    def groups(self, courses: Sequence[Course], turn: int = 0) -> list[Group]:
        n = len(courses)
        return [Group((course,), slice((place - turn) % n, None, n)) for place, course in enumerate(courses)]


class Joint(Schedule):
    """All courses operate on every row at once, at places of their own; each judges what the others left alone."""

    name = "joint"
    together = True

    def groups(self, courses: Sequence[Course], turn: int = 0) -> list[Group]:
        return [Group(tuple(courses), slice(None))] if courses else []


SCHEDULES: dict[str, Schedule] = {schedule.name: schedule for schedule in (AllRows(), Sampled(), Joint())}


@dataclass(frozen=True)
class Curriculum:
    """What is done with a batch: all that decides how many places each loss has.

    Attributes:
        courses: those taken, in the order they are run.
        weights: of the losses in use, all above 0.
        ratios: share of a row's ordinary tokens that a course operates on, by its name.
        schedule: how the rows are shared out.
        correction_rows: share of a course's rows that its corrections are run on.
        own_cells: whether a correction is averaged over its own cells of the notebook, whose number is not known
            before the discriminator has judged.
        max_length: most tokens of a row, inserted ones included.
    """

    courses: tuple[Course, ...]
    weights: dict[str, float]
    ratios: dict[str, float]
    schedule: Schedule
    correction_rows: float
    own_cells: bool
    max_length: int

    def groups(self, turn: int = 0) -> list[Group]:
        """As [`Schedule.groups`], of these courses."""
        return self.schedule.groups(self.courses, turn)
