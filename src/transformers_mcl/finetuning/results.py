"""Runs of fine-tuning gathered into one table and one picture: medians over seeds, and their spread."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, mean, median, stdev
from typing import Any

from ..io import markdown_table, markdown_text, write_json, write_text
from ..plots import BLUE, picture
from .known_tasks import GLUE_AVERAGE
from .task import find_task

__all__ = ["averaged", "plot_results", "results_markdown", "results_tex", "save_results", "summarize_runs"]


def summarize_runs(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each task and setting, in the order of `runs`: its metrics over the seeds.

    Args:
        runs: each with `task`, `main_metric`, `settings`, `seed`, `metrics` and `diverged`.

    Returns:
        `task`, `main_metric`, `settings`, `seeds`, `diverged` (how many of these runs did), `best` (whether no setting
        of the task has a higher median; of a task whose runs all diverged none is) and `metrics`: by name, `median`,
        `min`, `max`, `mean` and `std` (the sample's; None of one run) of the runs that did not diverge.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["task"], json.dumps(run["settings"], sort_keys=True)), []).append(run)
    entries = [_summarize(group) for group in groups.values()]
    for task in {entry["task"] for entry in entries}:
        finite = [entry for entry in entries if entry["task"] == task and entry["diverged"] < len(entry["seeds"])]
        if finite:
            max(finite, key=_score)["best"] = True
    return entries


def _summarize(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted, metrics = [run["metrics"] for run in group if not run.get("diverged")], {}
    for name in dict.fromkeys(name for run in counted for name in run):
        values = [run[name] for run in counted if _finite(run.get(name))]
        if values:
            spread = {"median": median(values), "min": min(values), "max": max(values), "mean": fmean(values)}
            metrics[name] = {**spread, "std": stdev(values) if len(values) > 1 else None}
    first = {name: group[0][name] for name in ("task", "main_metric", "settings")}
    seeds = [run["seed"] for run in group]
    return {**first, "seeds": seeds, "diverged": len(group) - len(counted), "best": False, "metrics": metrics}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _score(entry: Mapping[str, Any]) -> float:
    """The median of the main metric; none if half of the runs diverged."""
    if 2 * entry["diverged"] >= len(entry["seeds"]):
        return -math.inf
    return float(entry["metrics"].get(entry["main_metric"], {}).get("median", -math.inf))


def _scale(entry: Mapping[str, Any]) -> float:
    """From the main metric's unit to a share."""
    return 1 / find_task(entry["task"]).best_figure


def averaged(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean over GLUE's eight tasks (without WNLI) of each best median; None unless all are there.

    MNLI counts with the mean of both its validation sets.
    """
    best = {entry["task"]: entry for entry in entries if entry["best"] and entry["main_metric"] in entry["metrics"]}
    if not set(GLUE_AVERAGE) <= set(best):
        return None
    scores = []
    for task in GLUE_AVERAGE:
        metrics, main = best[task]["metrics"], best[task]["main_metric"]
        endings = find_task(task).validations.values()
        scores.append(mean(metrics[main + ending]["median"] for ending in endings if main + ending in metrics))
    return mean(scores)


def results_markdown(entries: Sequence[Mapping[str, Any]]) -> str:
    """A table of each task's best setting, and where there was a sweep one of all settings."""
    lines = [_table([entry for entry in entries if entry["best"]])]
    if (average := averaged(entries)) is not None:
        lines += ["", f"Average of the eight tasks without WNLI: {average:.4f}"]
    if any(not entry["best"] for entry in entries):
        lines += ["", "The best setting of each task was chosen on the same validation set. All settings:", ""]
        lines.append(_table(entries, main_only=True))
    lost = [entry for entry in entries if entry["diverged"]]
    lines += [
        f"\n{entry['task']}{_setting(entry, ' with ')}: {entry['diverged']} of {len(entry['seeds'])} runs diverged, "
        "which no figure is of."
        for entry in lost
    ]
    return "\n".join(lines) + "\n"


def _setting(entry: Mapping[str, Any], before: str = "") -> str:
    named = markdown_text(", ".join(f"{name} {value}" for name, value in entry["settings"].items()))
    return f"{before}{named}" if named else ""


def _table(entries: Sequence[Mapping[str, Any]], main_only: bool = False) -> str:
    swept = any(entry["settings"] for entry in entries)
    head = ["task", "metric", "median", "mean ± sd", "lowest", "highest", "seeds", *(["setting"] if swept else [])]
    rows = []
    for entry in entries:
        setting = _setting(entry)
        for name, value in entry["metrics"].items():
            if isinstance(value["min"], int) or (main_only and name != entry["main_metric"]):
                continue  # a count of examples, or not asked for
            shown = markdown_text(name)
            cells = [entry["task"], f"**{shown}**" if name == entry["main_metric"] else shown]
            cells += [f"{value['median']:.4f}", _mean(value), f"{value['min']:.4f}", f"{value['max']:.4f}"]
            cells.append(str(len(entry["seeds"]) - entry["diverged"]))
            rows.append([*cells, *([setting] if swept else [])])
    return markdown_table(head, rows, "llrrrrr" + "l" * swept)


def _mean(value: Mapping[str, Any], between: str = " ± ", scale: float = 1, digits: int = 4) -> str:
    """The mean of a figure over the seeds, and where there are several their standard deviation."""
    spread = "" if value["std"] is None else f"{between}{scale * value['std']:.{digits}f}"
    return f"{scale * value['mean']:.{digits}f}{spread}"


def results_tex(entries: Sequence[Mapping[str, Any]]) -> str:
    """The best setting of each task as a table of LaTeX, for the package booktabs: in percent, the mean of the main
    metric and its standard deviation over the seeds, and the median."""
    rows = []
    for entry in entries:
        if not entry["best"] or (value := entry["metrics"].get(entry["main_metric"])) is None:
            continue
        scale, runs = 100 * _scale(entry), len(entry["seeds"]) - entry["diverged"]
        spread = _mean(value, r" \pm ", scale, 2)
        cells = [_latex(entry["task"]), _latex(entry["main_metric"]), f"${spread}$"]
        rows.append(" & ".join([*cells, f"${scale * value['median']:.2f}$", str(runs)]) + r" \\")
    head = r"Task & Metric & Mean & Median & Seeds \\"
    lines = [r"\begin{tabular}{llrrr}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")


def plot_results(
    entries: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], path: Path, title: str
) -> None:
    """A line for each task: a dot a run (grey: settings that were not the best), and the best setting's median. No
    picture where nothing was evaluated."""
    best = {entry["task"]: entry for entry in entries if entry["best"] and math.isfinite(_score(entry))}
    tasks = [task for task in dict.fromkeys(entry["task"] for entry in entries) if task in best]
    if not tasks:
        return path.unlink(missing_ok=True)
    looks: dict[bool, dict[str, Any]] = {
        False: {"color": "#bbbbbb", "s": 12},
        True: {"color": BLUE, "s": 26, "zorder": 3},
    }
    dots: dict[bool, list[tuple[float, int]]] = {False: [], True: []}  # one call for all: a sweep may have a thousand
    for run in runs:
        if run.get("diverged") or (entry := best.get(run["task"])) is None:
            continue
        if _finite(value := run["metrics"].get(entry["main_metric"])):
            place = (value * _scale(entry), tasks.index(run["task"]))
            dots[run["settings"] == entry["settings"]].append(place)
    with picture(path, 7, 1.3 + 0.42 * len(tasks), title) as figure:
        axes = figure.add_subplot()
        for chosen, places in dots.items():
            axes.scatter([x for x, _ in places], [y for _, y in places], alpha=0.7, linewidths=0, **looks[chosen])
        for row, task in enumerate(tasks):
            score = _score(best[task]) * _scale(best[task])
            axes.plot([score, score], [row - 0.3, row + 0.3], color=BLUE, linewidth=2)
            axes.annotate(f"{score:.3f}", (1.02, row), xycoords=("axes fraction", "data"), va="center")
        axes.set_yticks(range(len(tasks)), [f"{task}\n{best[task]['main_metric']}" for task in tasks])
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        others = "; grey: the other settings" if any(not entry["best"] for entry in entries) else ""
        axes.set_xlabel(f"validation score: a dot for each run, a bar at their median{others}")


def save_results(runs: Sequence[Mapping[str, Any]], folder: Path, title: str, **more: Any) -> str:
    """Writes `results.json`, which holds `more`, too, `results.md`, `results.tex` and `results.png`; returns the
    Markdown.

    `runs` are as for `summarize_runs`.
    """
    entries = summarize_runs(runs)
    text = results_markdown(entries)
    results = {**more, "average": averaged(entries), "summary": entries, "runs": list(runs)}
    write_json(folder / "results.json", results)
    write_text(folder / "results.md", f"# {title}\n\n{text}")
    write_text(folder / "results.tex", results_tex(entries))
    plot_results(entries, runs, folder / "results.png", title)
    return text
