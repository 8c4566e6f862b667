"""Which rows and which courses a step takes."""

from __future__ import annotations

import pytest

from transformers_mcl.method.courses import COURSES
from transformers_mcl.method.schedules import SCHEDULES

ALL = tuple(COURSES.values())


def rows_of(schedule: str, batch: int, turn: int = 0, courses: int = 3) -> dict[str, list[int]]:
    """The numbers of the rows that each group takes, by the names of its courses."""
    groups = SCHEDULES[schedule].groups(ALL[:courses], turn)
    return {" ".join(course.name for course in group.courses): list(range(batch))[group.rows] for group in groups}


def test_all_courses_take_all_rows() -> None:
    assert rows_of("all", 2) == {"rtd": [0, 1], "std": [0, 1], "itd": [0, 1]}


def test_joint_courses_take_all_rows_together() -> None:
    assert rows_of("joint", 2) == {"rtd std itd": [0, 1]}
    assert rows_of("joint", 2, courses=1) == {"rtd": [0, 1]}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_courses_there_is_nothing_to_do(schedule: str) -> None:
    assert rows_of(schedule, 2, courses=0) == {}


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_sampled_courses_take_rows_in_turn(batch: int, turn: int) -> None:
    taken = rows_of("sampled", batch, turn)
    for row in range(batch):  # the run's row `turn + row`
        (course,) = (name for name, rows in taken.items() if row in rows)
        assert course == list(COURSES)[(turn + row) % 3]
