"""What the experiments are, all from YAML: questions, the runs that answer them, and the scale of both."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedTokenizerBase

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.pretrain import preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.errors import UserError
from transformers_mcl.training.arguments import MclTrainingArguments
from transformers_mcl.training.pretraining import ModelArguments, build_config

__all__ = ["Planner", "Question", "Run", "Scale", "load_questions", "load_scale"]

FOLDER = Path(__file__).parent
KINDS = ("pretrain", "peer", "soups")
_MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class Run:
    """A model to train, once for each seed.

    Attributes:
        name: of its folder, and what other runs call it.
        label: what readers call it.
        kind: `pretrain`, `peer` (an independent implementation of ELECTRA, `peer.py`), or `soups` (the paper's recipe
            for course soups, which judges the soups and their best ingredient).
        arguments: of `transformers-mcl pretrain`, above the scale's.
        compute_of: the run whose floating-point operations it gets, in as many steps as they are good for.
        share: of those operations, or without `compute_of` of the scale's steps.
        starts_from: the run, of the same seed, whose pair it goes on from.
    """

    name: str
    label: str
    kind: str = "pretrain"
    arguments: dict[str, Any] = field(default_factory=dict)
    compute_of: str | None = None
    share: float = 1.0
    starts_from: str | None = None


@dataclass(frozen=True)
class Question:
    """A part of the page: runs, what they are judged by, and which of them are compared.

    Attributes:
        compare: pairs of runs; the page says by how much the first is better than the second, and whether seeds agree.
        picture: `compute` (curves over operations) or `bars` (a dot a seed).
        judges: of `blimp` and `glue`; held-out losses are always there.
    """

    name: str
    title: str
    text: str
    runs: tuple[str, ...]
    compare: tuple[tuple[str, str], ...]
    picture: str
    judges: tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """How large: arguments of the commands that train and judge, and how many seeds.

    Attributes:
        seeds: by the name of a question, or `default`.
        judges: by the name of a question, instead of its own.
        tokenizer: arguments of `transformers-mcl tokenizer`.
        soups: of `transformers-mcl soup --recipe`.
    """

    name: str
    pretrain: dict[str, Any]
    evaluate: dict[str, Any]
    finetune: dict[str, Any]
    tokenizer: dict[str, Any]
    soups: dict[str, Any]
    seeds: dict[str, list[int]]
    judges: dict[str, list[str]]

    def seeds_of(self, question: str) -> list[int]:
        return self.seeds.get(question, self.seeds["default"])

    def judges_of(self, question: Question) -> tuple[str, ...]:
        return tuple(self.judges.get(question.name, question.judges))


def load_questions(folder: Path = FOLDER / "questions") -> tuple[dict[str, Question], dict[str, Run]]:
    """All questions, in the order of their files, and the runs of all.

    Raises:
        UserError: a key that there is not, a run that nobody defines or two define.
    """
    questions: dict[str, Question] = {}
    runs: dict[str, Run] = {}
    for path in sorted(folder.glob("*.yaml")):
        content = _read(path, {"title", "text", "runs", "compare", "picture", "judges"})
        questions[path.stem.partition("-")[2]] = _question(path, content)
        for name, values in content["runs"].items():
            if values is None:  # defined by another question
                continue
            if name in runs:
                raise UserError(f"{path}: run {name!r} is defined twice; leave one of the two empty")
            _check_keys(path, f"run {name}", values, set(Run.__dataclass_fields__) - {"name"})
            runs[name] = Run(name, **{"label": name, **values})
            if runs[name].kind not in KINDS:
                raise UserError(f"{path}: run {name}: kind {runs[name].kind!r} is none of {', '.join(KINDS)}")
    used = {name for question in questions.values() for name in question.runs}
    used |= {name for run in runs.values() for name in (run.compute_of, run.starts_from) if name}
    if missing := used - runs.keys():
        raise UserError(f"{folder}: no question defines the run {', '.join(sorted(missing))}")
    return questions, runs


def _question(path: Path, content: dict[str, Any]) -> Question:
    runs, compare = tuple(content["runs"]), tuple((one, other) for one, other in content.get("compare", []))
    for name in {name for pair in compare for name in pair}:
        if not any(name == run or name.startswith(f"{run}_") for run in runs):  # of a recipe's soups
            raise UserError(f"{path}: compares {name!r}, which is none of its runs")
    return Question(
        path.stem.partition("-")[2],
        content["title"],
        content["text"],
        runs,
        compare,
        content.get("picture", "bars"),
        tuple(content.get("judges", [])),
    )


def load_scale(name: str) -> Scale:
    """A file of `scales/` by its name, or any file.

    Raises:
        UserError: there is none, or it has a key that there is not.
    """
    path = Path(name) if name.endswith(".yaml") else FOLDER / "scales" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in (FOLDER / "scales").glob("*.yaml")))
        raise UserError(f"scale: there is no {name!r}; choose from {known}, or give a .yaml file")
    content = _read(path, set(Scale.__dataclass_fields__) - {"name"})
    defaults: dict[str, Any] = {key: {} for key in Scale.__dataclass_fields__}
    return Scale(**{**defaults, **content, "name": path.stem})


def _read(path: Path, known: set[str]) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    _check_keys(path, "the file", content, known)
    return content


def _check_keys(path: Path, what: str, given: Iterable[str], known: set[str]) -> None:
    if unknown := set(given) - known:
        raise UserError(f"{path}: {what} has {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")


class Planner:
    """How many steps each run gets, and what it costs.

    Args:
        scale: what all runs have in common.
        runs: all of them, by name.
        data: arguments that say where the text is.
        tokenizer: its size is that of the vocabulary.
    """

    def __init__(self, scale: Scale, runs: dict[str, Run], data: dict[str, Any], tokenizer: PreTrainedTokenizerBase):
        self.scale, self.runs, self.data, self.tokenizer = scale, runs, data, tokenizer
        self._costs: dict[str, tuple[int, Callable[[int], float]]] = {}

    def arguments(self, name: str) -> dict[str, Any]:
        """Of `transformers-mcl pretrain`, steps included, but for the seed and the folder."""
        run = self.runs[name]
        given = {**self.scale.pretrain, **self.data, **run.arguments}
        return {**given, "max_steps": self.steps(name)}

    def steps(self, name: str) -> int:
        """Optimizer steps of a run."""
        return self._cost(name)[0]

    def flops(self, name: str) -> float:
        """Floating-point operations of a run."""
        steps, flops_of = self._cost(name)
        return flops_of(steps)

    def _cost(self, name: str) -> tuple[int, Callable[[int], float]]:
        if name not in self._costs:
            run = self.runs[name]
            flops_of, scale_steps = self._flops_of(run)
            steps = int(run.arguments.get("max_steps", round(scale_steps * run.share)))
            if run.compute_of is not None:
                target = run.share * self.flops(run.compute_of)
                steps = max(1, bisect_left(range(_MOST_STEPS), target, key=flops_of))
            self._costs[name] = steps, flops_of
        return self._costs[name]

    def _flops_of(self, run: Run) -> tuple[Callable[[int], float], int]:
        """Operations by the number of steps, and the scale's steps."""
        given = {**self.scale.pretrain, **run.arguments}
        words = ["--output_dir", "unused", "--use_cpu", "true"]  # counting needs no GPU
        for key, value in given.items():
            words += [f"--{key}", json.dumps(value) if isinstance(value, dict | bool) else str(value)]
        kinds = (ModelArguments, DataArguments, MclTrainingArguments)
        model_args, data_args, args = parse_arguments(
            kinds, words, prog=f"run {run.name}", description="", underlay=preset_arguments
        )
        config = build_config(model_args, model_args.preset, self.tokenizer)
        length = data_args.max_seq_length or 128
        return lambda steps: args.planned_flops(config, steps, length), args.max_steps
