"""What is measured of every model, the results that hold it, and by how much one model is better than another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from scipy.stats import t as student

from experiments.plan import Question
from transformers_mcl.errors import UserError
from transformers_mcl.training.health import HealthThresholds

__all__ = ["FIGURES", "JUDGES", "Figure", "Results", "Verdict", "collapse", "verdict"]

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


def _head(task: str) -> str:
    return task.upper().replace("_", "-")


def _best_layer(probed: Result) -> float:
    return max(probed["scores"].values())


def _probe(task: str) -> Callable[[Result], float | None]:
    def score(result: Result) -> float | None:
        probed = result.get("probes", {}).get(task)
        return _best_layer(probed) if probed else None

    return score


def _probes(result: Result) -> float | None:
    probed = result.get("probes", {})
    return fmean(map(_best_layer, probed.values())) if probed else None


def _task(task: str) -> Callable[[Result], float | None]:
    def score(result: Result) -> float | None:
        scores = result.get("glue", {}).get(task, {}).get("scores")
        return median(scores) if scores else None

    return score


def _alike(key: str) -> Callable[[Result], float | None]:
    return lambda result: result.get("alike", {}).get(key)


def _loss(result: Result) -> float | None:
    """On masks that are the same for all, if it was judged so. An encoder that is its own generator is no match."""
    if (result.get("pretrain") or {}).get("objective") == "mlm":
        return None
    value = _alike("mlm_loss")(result)
    return _held_out("mlm_loss")(result) if value is None else value


def _glue(result: Result) -> float | None:
    tasks = result.get("glue", {})
    scores = [median(task["scores"]) for name, task in tasks.items() if name != "wnli"]  # as papers do
    return fmean(scores) if scores else None


def collapse(result: Result) -> str:
    """What of a pair has learnt nothing, by the thresholds of the warnings in training; empty if nothing has."""
    known, t = result.get("held_out", {}), HealthThresholds()
    found = []
    loss, entropy = known.get("mlm_loss"), known.get("unigram_entropy")
    if loss is not None and entropy is not None and loss > (1 - t.plateau) * entropy:
        found.append(f"G: loss {loss:.2f}, entropy of the tokens {entropy:.2f}")
    auc, recall = known.get("rtd_disc_auc"), known.get("rtd_disc_recall")
    if auc is not None and recall is not None and auc < t.collapsed_auc and recall < t.silent_recall:
        found.append(f"D: AUC {auc:.3f}, recall {recall:.3f}")
    return "; ".join(found)


TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "mnli_10k", "qqp_10k")
FIGURES = (
    Figure("G's loss", _loss, -1, on_the_way="eval_mlm_loss"),
    Figure("AUC, one G", _alike("rtd_auc"), 1),
    Figure("AUC RTD", _held_out("rtd_disc_auc"), 0),
    Figure("AUC STD", _held_out("std_disc_auc"), 0),
    Figure("AUC ITD", _held_out("itd_disc_auc"), 0),
    Figure("BLiMP, G", _blimp("generator"), 1),
    Figure("BLiMP, D", _blimp("discriminator"), 1),
    *(Figure(f"{_head(task)}, probe", _probe(task), 1) for task in TASKS),
    Figure("probes", _probes, 1),
    *(Figure(_head(task), _task(task), 1) for task in TASKS),
    Figure("tasks", _glue, 1),
)
_JUDGES = ("G's loss", "AUC, one G", "probes", "BLiMP, G", "BLiMP, D", "tasks")
JUDGES = tuple(figure for name in _JUDGES for figure in FIGURES if figure.name == name)
"""What a comparison goes by."""
# What all results of a page have in common, by the part of a result that it is in.
_COMMON = {
    "": ("scale", "probe", "evaluate", "finetune"),
    "pretrain": ("train_file", "validation_file", "dataset_name", "dataset_config_name", "tokenizer_name"),
    "alike": ("reference", "sha256"),
}


class Results:
    """The files of a folder, by run and seed.

    Attributes:
        judges: of `JUDGES` those that say something of some result.

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
        self.judges = tuple(f for f in JUDGES if any(f.of(result) is not None for result in self.all))

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
