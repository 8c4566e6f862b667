"""What the experiments are, all from YAML: questions, the runs that answer them, and the scale of both."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedTokenizerBase

from course_soups.study import INGREDIENTS, StudyArguments, weights_without_others
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.evaluate import evaluation_kinds
from transformers_mcl.cli.pretrain import preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.errors import UserError, check_names
from transformers_mcl.finetuning.arguments import EncoderArguments, FinetuningArguments, TaskArguments
from transformers_mcl.training.arguments import MclTrainingArguments
from transformers_mcl.training.run import ModelArguments, build_config, preset_path

__all__ = [
    "PRETRAIN",
    "Planner",
    "Question",
    "Run",
    "Scale",
    "going_on",
    "load_questions",
    "load_scale",
    "named",
    "parse",
]

FOLDER = Path(__file__).parent
KINDS = ("pretrain", "peer", "soups", "reference")
PICTURES = ("bars", "compute", "rates")
JUDGES = ("probe", "blimp", "glue")
PRETRAIN = (ModelArguments, DataArguments, MclTrainingArguments)
COMMANDS: dict[str, tuple[type, ...]] = {
    "pretrain": PRETRAIN,
    "probe": evaluation_kinds("probe"),
    "evaluate": evaluation_kinds("blimp"),
    "finetune": (EncoderArguments, TaskArguments, FinetuningArguments),
    "soups": (StudyArguments, *PRETRAIN),
}
# What makes a pair, and comes with it where a run goes on from one.
_OF_A_NEW_PAIR = ("preset", "objective", "config_overrides", "discriminator_weight", "loss_weights")
_VALUES: dict[str, tuple[type, str]] = {  # of a scale, that are no mappings
    **dict.fromkeys(("about", "like", "reference", "title"), (str, "a text")),
    "brief": (bool, "true or false"),
}
_MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class Run:
    """A model to train, once for each seed.

    Attributes:
        name: of its folder, and what other runs call it.
        label: what readers call it.
        kind: `pretrain`, `peer` (an independent implementation of ELECTRA, `peer.py`), `soups` (the study of
            course soups, of which the soups and the best ingredient are judged), or `reference` (an encoder of others,
            which is judged once, and not trained).
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
        picture: `compute` (curves over operations), `rates` (over learning rates; with it, which runs collapsed) or
            `bars` (a dot a seed).
        judges: of `probe`, `blimp` and `glue`; held-out figures are always there.
        by_default: whether it is asked at scales that name no questions.
    """

    name: str
    title: str
    text: str
    runs: tuple[str, ...]
    compare: tuple[tuple[str, str], ...] = ()
    picture: str = "bars"
    judges: tuple[str, ...] = ()
    by_default: bool = True


@dataclass(frozen=True)
class Scale:
    """How large: arguments of the commands that train and judge, and how many seeds.

    Attributes:
        about: where it is run, and on what; a paragraph of the page.
        seeds: by the name of a question, or `default`.
        tokenizer: arguments of `transformers-mcl tokenizer`.
        soups: of `examples/course_soups/run.py`.
        runs: arguments of single runs, by name, above the question's.
        questions: names of those that are asked at it; without, all that are asked by default.
        title: of the page.
        brief: whether its page has one table of all runs in place of a section a question.
        reference: the run whose generator makes the text that all discriminators are judged on.
    """

    name: str
    about: str
    pretrain: dict[str, Any]
    seeds: dict[str, list[int]]
    evaluate: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    soups: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    title: str = "Does MCL pay?"
    brief: bool = False
    reference: str = "electra"

    def seeds_of(self, question: str) -> list[int]:
        """Those that a question's runs are trained with."""
        return self.seeds.get(question, self.seeds["default"])

    def asked(self, questions: Mapping[str, Question]) -> list[str]:
        """Those of all questions that are asked at it.

        Raises:
            UserError: it names one that there is not.
        """
        check_names(f"question in scale {self.name}", self.questions, questions)
        chosen = self.questions or [name for name, question in questions.items() if question.by_default]
        return [name for name in questions if name in chosen]


def load_questions(folder: Path = FOLDER / "questions") -> tuple[dict[str, Question], dict[str, Run]]:
    """All questions, in the order of their files `1-name.yaml`, and the runs of all.

    Raises:
        UserError: a key or a value that there is not, a run that nobody defines, two define, or that waits for itself.
    """
    questions: dict[str, Question] = {}
    runs: dict[str, Run] = {}
    for path in sorted(folder.glob("*.yaml")):
        content = _read(path, Question.__dataclass_fields__, {"title", "text", "runs"})
        for name, values in content["runs"].items():
            if values is None:  # defined by another question
                continue
            if name in runs:
                raise UserError(f"{path}: run {name!r} is defined twice; leave one of the two empty")
            _check_keys(path, f"run {name}", values, set(Run.__dataclass_fields__) - {"name"})
            runs[name] = Run(name, **{"label": name, **values})
            _check_value(path, f"run {name}: kind", runs[name].kind, KINDS)
        question = _question(path, content)
        questions[question.name] = question
    used = {name for question in questions.values() for name in question.runs}
    used |= {name for run in runs.values() for name in (run.compute_of, run.starts_from) if name}
    if missing := used - runs.keys():
        raise UserError(f"{folder}: no question defines the run {', '.join(sorted(missing))}")
    for question in questions.values():
        for name in {name for pair in question.compare for name in pair}:
            soups = [run for run in question.runs if runs[run].kind == "soups"]
            if name not in question.runs and not any(name.startswith(f"{run}_") for run in soups):
                raise UserError(f"{folder}: {question.name} compares {name!r}, which is none of its runs")
    _check_order(runs)
    return questions, runs


def _question(path: Path, content: dict[str, Any]) -> Question:
    _check_value(path, "picture", content.setdefault("picture", "bars"), PICTURES)
    for judge in content.setdefault("judges", []):
        _check_value(path, "judges", judge, JUDGES)
    compare = tuple((one, other) for one, other in content.pop("compare", []))
    content |= {"runs": tuple(content["runs"]), "judges": tuple(content["judges"]), "compare": compare}
    return Question(path.stem.partition("-")[2] or path.stem, **content)


def _check_order(runs: Mapping[str, Run]) -> None:
    for run in runs.values():
        seen, before = {run.name}, [run.compute_of, run.starts_from]
        while before:
            if (name := before.pop()) is None:
                continue
            if name == run.name:
                raise UserError(f"run {run.name!r} waits for itself: look at compute_of and starts_from")
            if name not in seen:
                seen.add(name)
                before += [runs[name].compute_of, runs[name].starts_from]


def load_scale(name: str) -> Scale:
    """A file of `scales/` by its name, or any file. One that is `like` another has only what it changes of that.

    Raises:
        UserError: there is none, or it has a key or a value that cannot be.
    """
    path, content = _read_scale("scale", name, Path())
    if "like" in content:
        like = content.pop("like")
        _, base = _read_scale(f"{path}: like", like, path.parent)
        if "like" in base:
            raise UserError(f"{path}: like: {like} is itself like {base['like']}; name that one")
        for key in ("title", "brief"):  # its page is another
            base.pop(key, None)
        content = _merged(base, content)
    if missing := {"pretrain", "seeds"} - content.keys():
        raise UserError(f"{path}: there is no {', '.join(sorted(missing))} in it")
    if "default" not in content["seeds"]:
        raise UserError(f"{path}: seeds has no default")
    return Scale(path.stem, **content)


def _read_scale(what: str, name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / name if name.endswith(".yaml") else FOLDER / "scales" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in (FOLDER / "scales").glob("*.yaml")))
        raise UserError(f"{what}: there is no {name!r}; choose from {known}, or give a .yaml file")
    content = _read(path, {*Scale.__dataclass_fields__, "like"}, {"about"})
    for key, value in content.items():
        if key in _VALUES:
            kind, what = _VALUES[key]
            if not isinstance(value, kind):
                raise UserError(f"{path}: {key} is {value!r}, not {what}")
        elif key == "questions":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise UserError(f"{path}: questions is {value!r}, not a list of names")
        else:
            _check_mapping(path, key, value)
    for run, arguments in content.get("runs", {}).items():
        _check_mapping(path, run, arguments)
    for question, seeds in content.get("seeds", {}).items():
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
            raise UserError(f"{path}: seeds: {question} is {seeds!r}, not a list of numbers like [1, 2, 3]")
    return path, content


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what is its own; mappings in both are merged alike."""
    nested = {k for k, v in own.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **own, **{k: _merged(base[k], own[k]) for k in nested}}


def _read(path: Path, known: Iterable[str], needed: set[str]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or (missing := needed - content.keys()):
        what = "no mapping" if not isinstance(content, dict) else f"no {', '.join(sorted(missing))}"
        raise UserError(f"{path}: there is {what} in it")
    _check_keys(path, "the file", content, {*known} - {"name"})
    return content


def _check_keys(path: Path, what: str, given: Iterable[str], known: set[str]) -> None:
    if unknown := set(map(str, given)) - known:
        raise UserError(f"{path}: {what} has {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")


def _check_mapping(path: Path, what: str, given: Any) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{path}: {what} is {given!r}, and should have names with values")


def _check_value(path: Path, what: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise UserError(f"{path}: {what} {given!r} is none of {', '.join(known)}")


def parse(command: str, given: Mapping[str, Any]) -> Any:
    """The dataclasses of a command, filled, as it would fill them; `soups` is the study of course soups.

    Raises:
        UserError: what the command refuses.
    """
    words: list[str] = []
    for key, value in given.items():
        text = json.dumps(value) if isinstance(value, dict | bool) else value
        words += [f"--{key}", *(map(str, text) if isinstance(text, list) else [str(text)])]
    underlay = preset_arguments if COMMANDS[command][-1] is MclTrainingArguments else None
    return parse_arguments(COMMANDS[command], words, prog=command, description="", underlay=underlay)


def named(arguments: dict[str, Any] | None) -> dict[str, Any] | None:
    """Arguments without the folders of this machine."""

    def name(value: Any) -> Any:
        if isinstance(value, list):
            return [name(one) for one in value]
        return Path(value).name if isinstance(value, str) and Path(value).exists() else value

    return None if arguments is None else {key: name(value) for key, value in arguments.items()}


def going_on(given: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Arguments of a run that goes on from a pair: the preset's written out, without what makes a new one.

    Args:
        own: of those, what the run has nevertheless.
    """
    if "preset" not in given:  # written out already
        return dict(given)
    preset = yaml.safe_load(preset_path(given["preset"]).read_text(encoding="utf-8"))
    return {k: v for k, v in (preset | given).items() if k not in _OF_A_NEW_PAIR or k in (own or {})}


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
        """Of `transformers-mcl pretrain`, steps included, but for the seed, the folder and what it goes on from."""
        given = {**self._given(name), **self.data, "max_steps": self.steps(name)}
        return going_on(given, self._own(name)) if self.runs[name].starts_from else given

    def steps(self, name: str) -> int:
        """Optimizer steps of a run."""
        return self._cost(name)[0]

    def flops(self, name: str) -> float:
        """Floating-point operations of a run."""
        steps, flops_of = self._cost(name)
        return flops_of(steps)

    def _own(self, name: str) -> dict[str, Any]:
        return {**self.runs[name].arguments, **self.scale.runs.get(name, {})}

    def _given(self, name: str) -> dict[str, Any]:
        return {**self.scale.pretrain, **self._own(name)}

    def _cost(self, name: str) -> tuple[int, Callable[[int], float]]:
        run = self.runs[name]
        if run.kind == "reference":
            return 0, lambda steps: 0.0
        if name not in self._costs:
            flops_of, scale_steps = self._flops_of_soups(name) if run.kind == "soups" else self._flops_of(name)
            steps = max(1, round(scale_steps * run.share))
            if run.compute_of is not None:
                target = run.share * self.flops(run.compute_of)
                steps = max(1, bisect_left(range(_MOST_STEPS), target, key=flops_of))
            self._costs[name] = steps, flops_of
        return self._costs[name]

    def _flops_of_soups(self, name: str) -> tuple[Callable[[int], float], int]:
        """Operations of all ingredients by the number of steps of each, and the steps of each."""
        shared = {k: v for k, v in self.scale.soups.items() if k not in StudyArguments.__dataclass_fields__}
        weights = [weights_without_others(corrections) for corrections in INGREDIENTS.values()]
        costs, steps = zip(*(self._flops_of(name, {**shared, "loss_weights": w}) for w in weights), strict=True)
        return lambda number: sum(flops_of(number) for flops_of in costs), steps[0]

    def _flops_of(self, name: str, more: Mapping[str, Any] | None = None) -> tuple[Callable[[int], float], int]:
        """Operations by the number of steps, and the steps it has by itself; `more` arguments are above all others."""
        # Counting needs no GPU, and bf16 none of ours.
        every = {**self._given(name), **(more or {})}
        given = {k: v for k, v in every.items() if k not in ("bf16", "fp16", "torch_compile")}
        model_args, data_args, args = parse("pretrain", {**given, "output_dir": "unused", "use_cpu": True})
        config = build_config(model_args, model_args.preset, self.tokenizer)
        length = data_args.max_seq_length or 128
        return lambda steps: args.planned_flops(config, steps, length), args.max_steps
