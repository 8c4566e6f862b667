from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from transformers_mcl import plots
from transformers_mcl.method.courses import COURSES, all_losses
from transformers_mcl.training import curves

History = list[dict[str, Any]]


def history(logs: int = 5, evaluations: int = 3) -> History:
    """All figures of a run, each of another height; evaluations are a little worse."""
    names = [f"{name}_loss" for name in all_losses()]
    names += [f"{c}_{m}" for c in COURSES for m in ("disc_auc", "masked_lm_loss", "disc_loss")]
    names += [f"{c}_{s}masked_lm_accuracy" for c in ("rtd", "std") for s in ("", "sampled_")]
    figures = {name: 0.1 * i for i, name in enumerate(names, start=1)}
    log: History = []
    for step in range(10, 10 * logs + 1, 10):
        log.append({"step": step, "loss": 1.0, "learning_rate": 1e-4, **{n: f + 1 / step for n, f in figures.items()}})
    for step in range(10, 10 * evaluations + 1, 10):
        log.append({"step": step, "eval_loss": 1.1, **{f"eval_{n}": f + 2 / step for n, f in figures.items()}})
    return log + [{"step": 10 * logs, "train_runtime": 60.0, "train_loss": 1.0}]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Figure]:
    """Draws a history and returns the figure that was written."""
    figures: list[Figure] = []

    class Recorded(Figure):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            figures.append(self)

    monkeypatch.setattr(plots, "Figure", Recorded)

    def run(log_history: History, **kwargs: Any) -> Figure:
        curves.plot_curves(log_history, tmp_path / "curves.png", **kwargs)
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")
        return figures[-1]

    return run


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def lines(axes: Axes, name: str, text: str = "held-out text") -> list[Line2D]:
    """The lines of the colour that `name` is written in; a correction is dashed."""
    colour = next(label.get_color() for label in axes.texts if label.get_text() == name)
    found = [line for line in axes.lines if line.get_label() == text and line.get_color() == colour]
    return [line for line in found if line.is_dashed() == name.startswith("re_")]


def points(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata(), dtype=float)


def extent(axes: Axes) -> Bbox:
    """All that belongs to a panel, its ticks, title and labels."""
    box = axes.get_tightbbox()
    assert isinstance(box, Bbox)
    return box


def test_every_figure_is_in_its_panel(draw: Callable[..., Figure]) -> None:
    log = history()
    figure = draw(log, title="a run")
    assert figure.get_suptitle() == "a run"
    shown = {
        "Generator losses (nats)": {n: f"{n}_loss" for n in ("mlm", "slm", "re_mlm", "re_slm")},
        "Discriminator losses (nats)": {n: f"{n}_loss" for n in ("rtd", "std", "itd", "re_rtd", "re_std")},
        "Discriminator AUC": {c.upper(): f"{c}_disc_auc" for c in COURSES},
        "Generator accuracy, likeliest token": {c.upper(): f"{c}_masked_lm_accuracy" for c in ("rtd", "std")},
        "Generator accuracy, sampled token": {c.upper(): f"{c}_sampled_masked_lm_accuracy" for c in ("rtd", "std")},
    }
    assert [axes.get_title(loc="left") for axes in figure.axes] == [*shown, "Learning rate"]
    for title, names in shown.items():
        for name, key in names.items():
            for prefix, text in (("", "training text"), ("eval_", "held-out text")):
                (line,) = lines(panel(figure, title), name, text)
                expected = [(entry["step"], entry[prefix + key]) for entry in log if prefix + key in entry]
                np.testing.assert_array_equal(points(line), expected)
        assert {label.get_text() for label in panel(figure, title).texts} - {"chance"} == set(names)
    (rate,) = panel(figure, "Learning rate").lines
    assert set(points(rate)[:, 1]) == {1e-4}


def test_held_out_lines_are_thicker_and_courses_keep_their_colours(draw: Callable[..., Figure]) -> None:
    figure = draw(history())
    auc, losses = panel(figure, "Discriminator AUC"), panel(figure, "Discriminator losses (nats)")
    for course in COURSES:
        (thick,), (thin,) = (lines(auc, course.upper(), text) for text in ("held-out text", "training text"))
        assert thick.get_linewidth() >= 2 * thin.get_linewidth()
        assert lines(losses, course)[0].get_color() == thick.get_color()
    assert len({label.get_color() for label in auc.texts}) == 4


def test_labels_neither_overlap_nor_cover_the_data_nor_leave_the_picture(draw: Callable[..., Figure]) -> None:
    log = [{name: 0.5 if name != "step" else value for name, value in entry.items()} for entry in history()]
    figure = draw(log, baseline=0.5, title="all at one height")
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), axes.get_title(loc="left")
        assert all(box.x0 >= axes.bbox.x1 for box in boxes)
        others = [extent(other) for other in figure.axes if other is not axes]
        assert not any(box.overlaps(other) for box in boxes for other in others)
        assert all(box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training text", "held-out text"]
    assert all(legend.get_window_extent().y1 <= extent(axes).y0 for axes in figure.axes)


@pytest.mark.parametrize("evaluations, text", [(3, "training text"), (5, "held-out text")])
def test_labels_stand_where_the_longest_line_ends(draw: Callable[..., Figure], evaluations: int, text: str) -> None:
    log = [{name: value for name, value in entry.items() if "loss" not in name} for entry in history(5, evaluations)]
    axes = panel(draw(log), "Discriminator AUC")
    low, high = axes.get_ylim()
    for course in COURSES:
        (line,) = lines(axes, course.upper(), text)
        (label,) = (label for label in axes.texts if label.get_text() == course.upper())
        assert label.get_position()[1] == pytest.approx((points(line)[-1, 1] - low) / (high - low))


def test_levels_to_compare_with(draw: Callable[..., Figure]) -> None:
    def level(axes: Axes) -> list[float]:
        return [points(line)[0, 1] for line in axes.lines if line.get_linestyle() == ":"]

    figure = draw(history(), baseline=0.05)
    assert level(panel(figure, "Discriminator AUC")) == [0.5]
    assert level(panel(figure, "Generator accuracy, likeliest token")) == [0.05]
    assert level(panel(draw(history()), "Generator accuracy, likeliest token")) == []


def test_only_what_has_data_is_drawn(draw: Callable[..., Figure]) -> None:
    log = [{"step": 7, "eval_rtd_disc_auc": 0.6, "eval_std_disc_auc": math.nan, "rtd_loss": None, "epoch": 1.0}]
    figure = draw(log)
    (axes,) = figure.axes
    (point,) = (line for line in axes.lines if line.get_linestyle() != ":")
    assert point.get_marker() == "o" and points(point).tolist() == [[7, 0.6]]
    assert {label.get_text() for label in axes.texts} == {"RTD", "chance"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["held-out text"]


def test_a_value_that_is_not_finite_is_a_gap(draw: Callable[..., Figure]) -> None:
    values = [0.5, 0.6, math.inf, 0.7, math.nan]
    axes = draw([{"step": step, "rtd_disc_auc": value} for step, value in enumerate(values)]).axes[0]
    (line,) = lines(axes, "RTD", "training text")
    np.testing.assert_array_equal(points(line)[:, 1], [0.5, 0.6, math.nan, 0.7, math.nan])
    assert max(axes.get_ylim()) < 1


def test_history_without_figures_gives_a_picture_that_says_so(draw: Callable[..., Figure]) -> None:
    for log in ([], [{"step": 3, "train_runtime": 1.0}]):
        figure = draw(log)
        assert figure.axes == [] and figure.texts[0].get_text() == "nothing was logged"


def test_title_is_no_formula(draw: Callable[..., Figure]) -> None:
    assert draw([], title="runs/$x_{ and $y").get_suptitle() == "runs/$x_{ and $y"


def test_drawing_changes_nothing_global(draw: Callable[..., Figure]) -> None:
    from matplotlib._pylab_helpers import Gcf

    with matplotlib.rc_context({"font.size": 17, "axes.grid": False}):
        draw(history(1, 0))
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["axes.grid"]) == (17, False)
    assert Gcf.get_num_fig_managers() == 0
