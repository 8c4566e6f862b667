"""Tasks to fine-tune an encoder on: what each is, by its name, and what it becomes with its examples."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset, DatasetDict
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    TrainingArguments,
)
from transformers.trainer_utils import PredictionOutput

from ..data.cached import map_once
from ..errors import UserError
from ..evaluation.registry import Registry
from ..io import write_json
from .example_arguments import ExampleArguments
from .source import Source

__all__ = ["TASKS", "LoadedTask", "Submission", "Task", "find_task", "register_task", "task_groups"]


@dataclass(frozen=True)
class Submission:
    """The files of predictions that a leaderboard takes: `index` and `prediction` with a tab between.

    Attributes:
        files: their names, by the split that is predicted.
        numbers: whether classes stand in them as numbers.
    """

    files: Mapping[str, str]
    numbers: bool = False


@dataclass(frozen=True)
class Task:
    """A task: its data set, head, labels and metrics. What is left out is found in its examples, or is the kind's.

    Attributes:
        name: what `--task_name` calls it: small letters, digits and `_`.
        kind: its head, and how its examples become rows: `SequenceTask` (classes or a score for a text or a pair of
            them), `TokenTask` (a tag a word), `QuestionAnsweringTask` (a span of a context), or one of your own.
        dataset_name: where its examples are on the Hub; without one, they must be given as files.
        dataset_config_name: the configuration there.
        folder: what its files' folder, or the first word of their names, may be besides its own name: `mnli`.
        files_from: where those files are had from, of a task that the Hub has not; for people.
        max_train_samples: the training examples that are used by default, the first ones; all if None.
        validations: its validation splits, the main one first, each with what the names of its figures end in. The
            split to predict for each is called `test` in place of `validation`.
        text_columns: of the text, or the two texts.
        label_column: of the labels.
        classes: their names, in the order of the numbers that stand for them in the data.
        score_range: the least and the highest label, where it is a number to predict and not a class.
        metric_names: the figures to report, the main one first, the greater the better.
        compute_metrics: figures by name, of predictions and references (numbers of classes, scores; tags; texts by
            question); the kind's own function if None.
        highest: the best main figure that there can be: 100 of percentages; the kind's if None.
        max_seq_length: tokens after which a text is cut by default; the kind's if None.
        some_unanswered: of question answering: questions may have no answer, whatever these examples say.
        submission: the files that its leaderboard takes.
        group: a name for several tasks, which `--task_name` takes, too.

    Raises:
        UserError: metrics that the kind does not have, or that nobody computes.
    """

    name: str
    kind: type[LoadedTask]
    dataset_name: str | None = None
    dataset_config_name: str | None = None
    folder: str | None = None
    files_from: str | None = None
    max_train_samples: int | None = None
    validations: Mapping[str, str] = field(default_factory=lambda: {"validation": ""})
    text_columns: tuple[str, ...] = ()
    label_column: str | None = None
    classes: tuple[str, ...] = ()
    score_range: tuple[float, float] | None = None
    metric_names: tuple[str, ...] = ()
    compute_metrics: Callable[[Any, Any], Mapping[str, float]] | None = None
    highest: float | None = None
    max_seq_length: int | None = None
    some_unanswered: bool = False
    submission: Submission | None = None
    group: str | None = None

    @property
    def best_figure(self) -> float:
        return self.highest or self.kind.highest

    def __post_init__(self) -> None:
        if self.compute_metrics is not None and not self.metric_names:
            raise UserError(
                f"task {self.name!r}: name the figures of compute_metrics as metric_names, the main one first"
            )
        for name in self.metric_names if self.compute_metrics is None else ():
            if name not in self.kind.known_metrics:
                raise UserError(
                    f"task {self.name!r}: {self.kind.__name__} has no metric {name!r}, only "
                    f"{', '.join(self.kind.known_metrics)}: give compute_metrics"
                )
        endings = set(self.validations.values())
        if len(endings) < len(self.validations) or not all(name.startswith("validation") for name in self.validations):
            raise UserError(
                f"task {self.name!r}: validations={dict(self.validations)} must be splits whose names begin with "
                "'validation', each with another ending of its figures"
            )


class LoadedTask(ABC):
    """A task with its examples, checked: how they become rows, and what is measured. A subclass is a kind of head.

    Args:
        definition: what the task is.
        args: what was said of its examples, which goes before what the definition says.
        tables: `train`, the validation splits, and those to predict.
        sources: where each of the tables came from; unknown if not given.
        checkpoint: the configuration of a model that is used as it is, which says what its classes are.

    Attributes:
        auto: what opens a checkpoint with this head.
        pipeline_tag: the Hub's name of the kind of task.
        known_metrics: the figures that this kind has; but for `usual_metrics`, they must be asked for.
        first_split: the one that says which columns and classes there are: `train`, where there is one.
        validations, tests: the splits that are there, the main one first; the labels of `tests` are not looked at.
        classes: the names of the classes or tags; none of a score or an answer.
        by_class: of each validation set, after its last evaluation, precision, recall, F1 and the number of examples
            (`support`) of each class, or kind of span.
    """

    auto: ClassVar[Any]
    pipeline_tag: ClassVar[str]
    known_metrics: ClassVar[tuple[str, ...]]
    max_seq_length: int = 128
    highest: ClassVar[float] = 1.0

    def __init__(
        self,
        definition: Task,
        args: ExampleArguments,
        tables: DatasetDict,
        sources: Mapping[str, Source] | None = None,
        checkpoint: PreTrainedConfig | None = None,
    ):
        self.definition, self.name, self.args, self.tables = definition, definition.name, args, tables
        self.sources = sources or {split: Source(len(table), len(table)) for split, table in tables.items()}
        self.checkpoint = checkpoint
        self.first_split = next(iter(tables))
        self.validations = [split for split in tables if split.startswith("validation")]
        self.tests = [split for split in tables if split.startswith("test")]
        self.classes: list[str] = []
        self.by_class: dict[str, dict[str, dict[str, float]]] = {}
        self.label_column = args.label_column_name or definition.label_column or "label"
        self.max_seq_length = definition.max_seq_length or self.max_seq_length

    @property
    def usual_metrics(self) -> tuple[str, ...]:
        """The figures of a task that does not name its own, the main one first."""
        return self.known_metrics

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All figures but the loss."""
        return self.definition.metric_names or self.usual_metrics

    @property
    def main_metric(self) -> str:
        return self.metric_names[0]

    @property
    def checkpoint_classes(self) -> list[str]:
        """The names of the classes of a model that is used as it is, in its order."""
        names = getattr(self.checkpoint, "id2label", None) or {}
        return [str(name) for _, name in sorted(names.items())]

    def check_arguments(self, args: TrainingArguments) -> None:
        """That the training arguments make sense for the task.

        Raises:
            UserError: they do not.
        """
        if args.label_smoothing_factor and not self.smooths_labels:
            raise UserError(
                f"label_smoothing_factor={args.label_smoothing_factor:g} is of tasks with one class out of several, "
                f"which {self.name} is not here: leave it out"
            )
        if weights := getattr(args, "class_weights", None):
            self.class_weights(weights)

    @property
    def smooths_labels(self) -> bool:
        """Whether label smoothing has a meaning: each label is one class out of several."""
        return bool(self.classes)

    def class_counts(self) -> Counter[str]:
        """How often training has each class; none where a label is not one class out of several."""
        return Counter()

    def class_weights(self, asked: str) -> list[float]:
        """What the loss of each class is multiplied by, in the order of the head's.

        Args:
            asked: `balanced`, by which all classes weigh the same however many examples they have, or weights by name
                as JSON; a class that is not named weighs 1.

        Raises:
            UserError: the task has no classes, not these, or the weights are no numbers above 0.
        """
        if not (counts := self.class_counts()):
            raise UserError(f"class_weights are of tasks with one class out of several, which {self.name} is not here")
        fields = self.model_fields["id2label"]
        names = [fields[i] for i in range(len(fields))]
        if asked == "balanced":
            mean = counts.total() / len(counts)
            return [mean / counts[name] if counts[name] else 1.0 for name in names]
        try:
            weights = {name: float(weight) for name, weight in json.loads(asked).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f'class_weights={asked!r} must be balanced, or like {{"{names[0]}": 2}}') from error
        for name, weight in weights.items():
            if name not in names or not 0 < weight < math.inf:
                raise UserError(
                    f"class_weights: {name!r}: {weight:g} is no weight above 0 of one of {', '.join(names)}"
                )
        return [weights.get(name, 1.0) for name in names]

    @property
    def labelled(self) -> dict[str, Dataset]:
        """The tables that have labels: all but those to predict."""
        return {split: table for split, table in self.tables.items() if split not in self.tests}

    def suffix(self, split: str) -> str:
        """What the names of a validation split's figures end in."""
        return self.definition.validations[split]

    @staticmethod
    def set_name(split: str) -> str:
        """A validation split's short name: `matched` of `validation_matched`."""
        return split.removeprefix("validation").lstrip("_") or split

    @property
    @abstractmethod
    def model_fields(self) -> dict[str, Any]:
        """Fields of the configuration that make the head fit the task."""

    @property
    def usage(self) -> str:
        """Python for people that uses the fine-tuned checkpoint `CHECKPOINT`: transformers' pipeline of this kind."""
        return (
            "from transformers import pipeline\n\n"
            f'model = pipeline("{self.pipeline_tag}", model="CHECKPOINT")\nprint(model("a sentence"))'
        )

    @abstractmethod
    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        """Rows of ids and, but for a split to predict, labels, at most `length` tokens each."""

    @abstractmethod
    def metrics(self, predicted: EvalPrediction, split: str | None = None) -> dict[str, float]:
        """The figures of an evaluation of `split`, by default the main validation set."""

    @property
    @abstractmethod
    def sample(self) -> tuple[Any, Any]:
        """Predictions and references such as `compute_metrics` gets, to try it with."""

    def asked_figures(self, found: Mapping[str, float]) -> dict[str, float]:
        """Of the figures that were found those that the task names, or all if it names none."""
        asked = self.definition.metric_names or tuple(found)
        return {name: found[name] for name in asked if name in found}

    @abstractmethod
    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """Writes what the model says of a split to predict."""

    def adopt(self, config: PreTrainedConfig, trains: bool) -> None:  # noqa: B027
        """Takes over the order of the classes of a checkpoint that was fine-tuned on the same ones.

        Raises:
            UserError: it names other classes, and is not to be trained.
        """

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        """That the tokenizer and the length will do.

        Raises:
            UserError: they will not.
        """
        if tokenizer.pad_token is None:
            raise UserError(f"the tokenizer {tokenizer.name_or_path!r} has no pad_token: batches cannot be made")
        if compute := self.definition.compute_metrics:  # tried now, not after the training
            given = compute(*self.sample)
            if lacking := [name for name in self.metric_names if name not in given]:
                raise UserError(
                    f"task {self.name!r}: its compute_metrics gives {', '.join(given)}, and no {lacking[0]!r} as "
                    "metric_names has"
                )

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        return DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)

    def save_predictions(self, folder: Path) -> None:
        """Writes what was predicted in the last evaluation, where the task has a format for it; of classes
        `figures_by_class.json`: precision, recall and F1 of each, by validation set, and of two classes which one
        `f1` is of."""
        if self.by_class:
            found = {"positive_class": self.positive_class, **self.by_class}
            write_json(folder / "figures_by_class.json", found, indent=1, ensure_ascii=False)

    @property
    def positive_class(self) -> str | None:
        """The class that `f1` is of, where it is of one."""
        return None

    def describe(self) -> str:
        """One line for people."""
        counts = ", ".join(f"{len(table):,} {split}" for split, table in self.tables.items())
        return f"{self.name}: {counts}" + ("" if self.validations else ", none to evaluate on")

    def digest(self) -> str:
        """Stands for the examples, wherever their files lie: how many the first split has, and a hash of all."""
        found = hashlib.sha256()
        for split, table in self.tables.items():
            found.update(split.encode())
            for batch in table.with_format("arrow").iter(10_000):
                found.update(repr(batch.to_pydict()).encode())
        return f"{len(self.tables[self.first_split]):,}, {found.hexdigest()[:12]}"

    def map(self, split: str, encode: Callable[..., Any], with_indices: bool = False) -> Dataset:
        """`encode` over a split's columns, whose own are dropped."""
        table, workers = self.tables[split], self.args.preprocessing_num_workers
        return map_once(
            table,
            encode,
            batched=True,
            remove_columns=table.column_names,
            num_proc=min(workers, len(table)) if workers else None,
            desc=f"Tokenizing {self.name} {split}",
            with_indices=with_indices,
        )


TASKS: Registry[Task] = Registry("task", "task_name")
"""All tasks by name."""

register_task = TASKS.register
"""Makes a task known: to `--task_name`, to soups' `--score`, and to tables and cards."""


def find_task(name: str) -> Task:
    """The task of a name.

    Raises:
        UserError: there is none; the message names the nearest one, which may be a group.
    """
    return TASKS.find(name, also=task_groups())


def task_groups() -> dict[str, list[str]]:
    """The names of the tasks of each group, by its name."""
    groups: dict[str, list[str]] = {}
    for task in TASKS.values():
        if task.group is not None:
            groups.setdefault(task.group, []).append(task.name)
    return groups
