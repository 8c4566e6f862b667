"""The page of the experiments, made of their results alone: tables, verdicts and pictures.

python examples/experiments/report.py examples/experiments/results/cpu docs/experiments.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from experiments.plan import FOLDER, Question, Scale, load_questions, load_scale
from experiments.plots import plot_bars, plot_compute
from jobs import exit_status
from transformers_mcl.errors import UserError
from transformers_mcl.io import markdown_table, write_text

__all__ = ["FIGURES", "Figure", "Results", "Verdict", "verdict", "write_report"]

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Something that is measured of every model.

    Attributes:
        name: the head of its column.
        of: its value, or None where the model has none.
        sign: 1 where higher is better, -1 where lower is, 0 where neither.
        digits: behind the point.
        on_the_way: its name in the curves of training.
    """

    name: str
    of: Callable[[Result], float | None]
    sign: int
    digits: int = 3
    on_the_way: str | None = None


def _held_out(key: str) -> Callable[[Result], float | None]:
    return lambda result: result.get("held_out", {}).get(key)


def _blimp(half: str) -> Callable[[Result], float | None]:
    return lambda result: result.get("blimp", {}).get(half, {}).get("accuracy")


def _task(task: str) -> Callable[[Result], float | None]:
    def score(result: Result) -> float | None:
        scores = result.get("glue", {}).get(task, {}).get("scores")
        return median(scores) if scores else None

    return score


def _alike(key: str) -> Callable[[Result], float | None]:
    return lambda result: result.get("alike", {}).get(key)


def _loss(result: Result) -> float | None:
    """On masks that are the same for all, if it was judged so."""
    value = _alike("mlm_loss")(result)
    return _held_out("mlm_loss")(result) if value is None else value


def _glue(result: Result) -> float | None:
    tasks = result.get("glue", {})
    scores = [median(task["scores"]) for name, task in tasks.items() if name != "wnli"]  # as papers do
    return fmean(scores) if scores else None


FIGURES = (
    Figure("G's loss", _loss, -1, on_the_way="eval_mlm_loss"),
    Figure("AUC, one G", _alike("rtd_auc"), 1),
    Figure("AUC RTD", _held_out("rtd_disc_auc"), 0),
    Figure("AUC STD", _held_out("std_disc_auc"), 0),
    Figure("AUC ITD", _held_out("itd_disc_auc"), 0),
    Figure("BLiMP, G", _blimp("generator"), 1),
    Figure("BLiMP, D", _blimp("discriminator"), 1),
    *(Figure(task.upper(), _task(task), 1) for task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")),
    Figure("tasks", _glue, 1),
)
JUDGES = tuple(f for f in FIGURES if f.name in ("G's loss", "AUC, one G", "BLiMP, G", "BLiMP, D", "tasks"))
"""What a comparison goes by."""
# What all results of a page have in common, by the part of a result that it is in.
_COMMON = {
    "": ("scale", "evaluate", "finetune"),
    "pretrain": ("train_file", "validation_file", "dataset_name", "dataset_config_name", "tokenizer_name"),
    "alike": ("reference", "sha256"),
}
UNTRAINED = "untrained"
"""The run that others are held against to see whether a figure says anything."""


class Results:
    """The files of a folder, by run and seed.

    Raises:
        UserError: there are none, or they are no comparison: of several scales, texts, or ways to judge.
    """

    def __init__(self, folder: Path):
        self.by_run: dict[str, dict[int, Result]] = {}
        for path in sorted(folder.glob("*.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            self.by_run.setdefault(result["run"], {})[result["seed"]] = result
        if not self.by_run:
            raise UserError(f"{folder}: no results; run.py writes them")
        self.all = [result for seeds in self.by_run.values() for result in seeds.values()]
        for part, names in _COMMON.items():
            for name in names:
                self._check_common(folder, part, name)
        self.scale = self.all[0]["scale"]

    def _check_common(self, folder: Path, part: str, name: str) -> None:
        """What all results that say anything of it say alike."""
        said: dict[str, Result] = {}
        for result in self.all:
            value = (result.get(part, {}) if part else result).get(name)
            if value is not None:  # not every run is judged in every way
                said.setdefault(json.dumps(value, sort_keys=True), result)
        if len(said) > 1:
            where = " and ".join(f"{text} in {one['run']}-seed-{one['seed']}" for text, one in list(said.items())[:2])
            raise UserError(
                f"{folder}: results that cannot be compared: {f'{part}, {name}'.lstrip(', ')} is {where}; train and "
                "judge all alike, or give one kind a folder of its own"
            )

    def runs_of(self, question: Question) -> list[str]:
        """Those of the question that there are, the soups of a study in its place."""

        def is_of(run: str, name: str) -> bool:
            kind = next(iter(self.by_run[run].values()))["kind"]
            return run.startswith(f"{name}_") if kind == "soups" else run == name

        return [run for name in question.runs for run in sorted(self.by_run) if is_of(run, name)]

    def label(self, run: str) -> str:
        first = next(iter(self.by_run[run].values()))
        if first["kind"] == "soups":
            return f"{first['label']}: {run.partition('_')[2].replace('_', ' ')}"
        return str(first["label"])

    def values(self, run: str, figure: Figure) -> dict[int, float]:
        """By seed."""
        found = {seed: figure.of(result) for seed, result in self.by_run.get(run, {}).items()}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Verdict:
    """By how much one run is better than another.

    Attributes:
        mean: difference over the seeds that both have.
        digits: behind the point.
        seeds: how many.
        error: standard error of the mean; None with fewer than three seeds.
        counts: whether Student's paired t-test has p < 0.05, two-sided.
    """

    mean: float
    digits: int
    seeds: int
    error: float | None = None
    counts: bool = False

    def __str__(self) -> str:
        text = f"{self.mean:+.{self.digits}f}"
        if self.error is None:
            return f"{text} ({self.seeds} seed{'s' * (self.seeds > 1)})"
        error = f"± {self.error:.{self.digits}f}"
        return f"**{text}** {error}" if self.counts else f"{text} {error}, within the spread"


def verdict(first: Mapping[int, float], second: Mapping[int, float], figure: Figure) -> Verdict | None:
    """By how much the first is better than the second; None if no seed has both.

    Seeds are compared in pairs: a seed has one order of the data.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    differences = [figure.sign * (first[seed] - second[seed]) for seed in seeds]
    mean, number = fmean(differences), len(seeds)
    if number < 3:
        return Verdict(mean, figure.digits, number)
    error = stdev(differences) / sqrt(number)
    return Verdict(mean, figure.digits, number, error, abs(mean) > error * student.ppf(0.975, number - 1))


def _spread(values: Iterable[float], digits: int) -> str:
    known = list(values)
    if not known:
        return ""
    text = f"{median(known):.{digits}f}"
    return text if len(known) == 1 else f"{text} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def results_table(results: Results, question: Question) -> str:
    """A row a run: seeds, steps, cost, and medians of every figure that some run has, with lowest and highest."""
    runs = results.runs_of(question)
    figures = [figure for figure in FIGURES if any(results.values(run, figure) for run in runs)]
    head = ["run", "seeds", "steps", "tokens, millions", "epochs", "operations", "minutes"]
    rows = []
    for run in runs:
        cells = [_spread(results.values(run, figure).values(), figure.digits) for figure in figures]
        rows.append([results.label(run), str(len(results.by_run[run])), *_cost(results, run), *cells])
    return markdown_table([*head, *(figure.name for figure in figures)], rows)


def _cost(results: Results, run: str) -> list[str]:
    """Steps, tokens, passes over the text, operations as multiples of ELECTRA's, and minutes; of a soup nothing."""
    found = list(results.by_run[run].values())
    if "flops" not in found[0]:
        return [""] * 5
    electra = [result["flops"] for result in results.by_run.get("electra", {}).values()]
    flops = f"{fmean(result['flops'] for result in found) / fmean(electra):.2f}" if electra else ""
    minutes = median(result["seconds"] for result in found) / 60
    epochs = "" if found[0].get("epochs") is None else f"{found[0]['epochs']:.2f}"
    return [f"{found[0]['steps']:,}", f"{found[0]['tokens'] / 1e6:.2f}", epochs, flops, f"{minutes:.1f}"]


Compared = dict[tuple[str, str], dict[str, Verdict | None]]
"""What each comparison that there are runs for says, by the two runs and by figure."""


def compared(results: Results, question: Question) -> Compared:
    """All comparisons of a question."""
    return {
        (first, second): {
            figure.name: verdict(results.values(first, figure), results.values(second, figure), figure)
            for figure in JUDGES
        }
        for first, second in question.compare
        if first in results.by_run and second in results.by_run
    }


def comparisons(results: Results, found: Compared) -> str:
    """A row a comparison."""
    rows = [
        [f"{results.label(first)} than {results.label(second)}", *(str(one or "–") for one in verdicts.values())]
        for (first, second), verdicts in found.items()
    ]
    return markdown_table(["better by", *(figure.name for figure in JUDGES)], rows)


def in_short(results: Results, found: Mapping[str, Compared], questions: Iterable[Question]) -> str:
    """Differences that are more than chance, and how many comparisons have none, too few seeds, or no runs yet."""
    held = [(first, one) for of in found.values() for (first, second), one in of.items() if second == UNTRAINED]
    telling = _telling(verdicts for _, verdicts in held)
    lines = []
    known = [figure.name for figure in JUDGES if any(figure.of(result) is not None for result in results.all)]
    if dumb := [name for name in known if name not in telling]:
        pairs = " nor ".join(f"*{results.label(first)}*" for first, _ in held)
        lines = [
            f"Left out here: {'; '.join(dumb)}. By them neither {pairs} is beyond chance better than untrained.",
            "",
        ]
    for question in questions:
        differences = found[question.title]
        said, quiet, few = [], 0, 0
        for (first, second), verdicts in differences.items():
            told = {name: one for name, one in verdicts.items() if one and name in telling}
            counting = {word: _counting(sign, told) for word, sign in (("better", 1), ("worse", -1))}
            a, b = results.label(first), results.label(second)
            said += [f"{a} **{word}** than {b}: {'; '.join(figures)}" for word, figures in counting.items() if figures]
            tested = any(one.error is not None for one in told.values())
            quiet += tested and not any(counting.values())
            few += not tested
        said += [f"{quiet} compared, and within the spread of the seeds"] * bool(quiet)
        said += [f"{few} compared with too few seeds to tell from chance"] * bool(few)
        missing = len(question.compare) - len(differences)
        said += [f"{missing if differences else 'all'} not run yet"] * bool(missing)
        lines += [f"- *{question.title}*", *(f"    - {line}" for line in said)]
    return "\n".join(lines)


def _counting(sign: int, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Figures that differ beyond chance, and in that direction."""
    return [
        f"{name} {one.mean:+.{one.digits}f}" for name, one in verdicts.items() if one.counts and one.mean * sign > 0
    ]


def _telling(held: Iterable[Mapping[str, Verdict | None]]) -> set[str]:
    """Figures by which some pair is beyond chance better than an untrained one; all, if none was held against one."""
    tested = [(name, one) for verdicts in held for name, one in verdicts.items() if one and one.error is not None]
    if not tested:
        return {figure.name for figure in JUDGES}
    return {name for name, one in tested if one.counts and one.mean > 0}


def write_report(folder: Path, page: Path, scale: Scale | None = None) -> str:
    """Writes the page and its pictures, which lie beside it in `assets/`.

    Args:
        folder: of results.
        page: a Markdown file.
        scale: what the results are of; by default what `scales/` has under their name for it.

    Returns:
        What was written, in a line.
    """
    results = Results(folder)
    scale = scale or load_scale(results.scale)
    if scale.name != results.scale:
        raise UserError(f"{folder}: results of the scale {results.scale!r}, not of {scale.name!r}")
    every, _ = load_questions()
    questions = [every[name] for name in scale.asked(every)]
    (page.parent / "assets").mkdir(parents=True, exist_ok=True)
    found = {question.title: compared(results, question) for question in every.values()}
    arguments = f"{folder.as_posix()} {page.as_posix()}"
    if not (FOLDER / "scales" / f"{scale.name}.yaml").is_file():
        arguments += f" {scale.name}.yaml"
    parts, drawn = [_head(results, scale, arguments), "## In short", in_short(results, found, questions)], 0
    for question in questions:
        parts += [f"## {question.title}", question.text.strip()]
        if not (differences := found[question.title]):
            parts.append(f"*Not run yet at the scale `{results.scale}`.*")
            continue
        picture = page.parent / "assets" / f"{page.stem}_{question.name}.png"
        draw = plot_compute if question.picture == "compute" else plot_bars
        draw(picture, results, question, JUDGES)
        drawn += 1
        parts += [results_table(results, question), comparisons(results, differences)]
        parts.append(f"![{question.title}](assets/{picture.name})")
    parts.append((FOLDER / "try.md").read_text(encoding="utf-8"))
    write_text(page, "\n\n".join(part.strip() for part in parts if part.strip()) + "\n")
    return f"{page} and {drawn} pictures, of {len(results.all)} results"


def _head(results: Results, scale: Scale, arguments: str) -> str:
    versions = sorted({f"{k} {v}" for result in results.all for k, v in result["versions"].items()})
    hardware = sorted({result["hardware"] for result in results.all})
    tokens = sum(result.get("tokens") or 0 for result in results.all)
    flops = sum(result.get("flops") or 0 for result in results.all)
    references = {result["alike"]["reference"] for result in results.all if "alike" in result}
    metrics = {
        f"{task.upper()} {of['metric']}" for result in results.all for task, of in result.get("glue", {}).items()
    }
    hours = sum(result.get("seconds") or 0 for result in results.all) / 3600
    return (
        (FOLDER / "page.md")
        .read_text(encoding="utf-8")
        .format(
            scale=results.scale,
            title=scale.title,
            about=" ".join(scale.about.split()),
            arguments=arguments,
            results=len(results.all),
            reference="".join(f"`{reference}`" for reference in references) or "no run yet",
            metrics=", ".join(sorted(metrics)) or "none yet",
            tokens=f"{tokens / 1e6:.0f} million",
            flops=f"{flops:.2g}",
            hours=f"{hours:.1f}",
            hardware="; ".join(hardware),
            versions=", ".join(versions),
        )
    )


def main(words: Sequence[str]) -> int:
    if len(words) not in (2, 3):
        print("usage: report.py RESULTS PAGE.md [SCALE]", file=sys.stderr)
        return 2
    results, page, *scale = words
    return exit_status(
        "report.py",
        lambda: print(write_report(Path(results), Path(page), load_scale(scale[0]) if scale else None)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
