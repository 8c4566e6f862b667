"""What a head says of a text: one class out of several, any number of them, or a score."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, softmax
from transformers import PreTrainedConfig

from ..evaluation.metrics import classification_metrics, multilabel_metrics, regression_metrics
from .labels import model_order

__all__ = ["LabelKind", "OneClass", "Score", "SeveralClasses"]

Namer = Callable[[Any], str]


class LabelKind(ABC):
    """What the labels of a task are, and what a head for them gives.

    Attributes:
        known: the figures there are.
        usual: those that are reported where a task names none.
        noun: what the labels are called in messages.
        classes: their names; none of scores.
    """

    known: ClassVar[tuple[str, ...]]
    noun: ClassVar[str]
    classes: Sequence[str] = ()

    @property
    @abstractmethod
    def usual(self) -> tuple[str, ...]:
        """The figures that are reported where a task names none, the main one first."""

    @property
    @abstractmethod
    def model_fields(self) -> dict[str, Any]:
        """Fields of the configuration that make the head fit."""

    def adopt(self, config: PreTrainedConfig, argument: str) -> None:  # noqa: B027
        """Takes over the order of a checkpoint's classes; see `model_order`."""

    @abstractmethod
    def faulty(self, label: Any, name: Namer) -> bool:
        """Whether a label is none of these."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What a label must be, for messages."""

    @abstractmethod
    def encode(self, label: Any, name: Namer) -> Any:
        """The label as the head's loss takes it."""

    @abstractmethod
    def answers(self, logits: np.ndarray) -> np.ndarray:
        """What the head's logits say, `(examples, ...)`."""

    @abstractmethod
    def references(self, encoded: np.ndarray) -> np.ndarray:
        """The same of labels that were encoded."""

    @abstractmethod
    def figures(self, answers: np.ndarray, references: np.ndarray) -> Mapping[str, float]:
        """All that are known."""

    @abstractmethod
    def written(self, answer: Any) -> str:
        """An answer in a file of predictions."""

    def probabilities(self, logits: np.ndarray) -> np.ndarray | None:
        """Of the classes in the order of their names, `(examples, classes)`; None of scores."""
        return None

    @property
    @abstractmethod
    def sample(self) -> np.ndarray:
        """Answers such as `answers` gives."""

    def __str__(self) -> str:
        return f"{len(self.classes)} {self.noun}"


class OneClass(LabelKind):
    """One class out of several. Answers are numbers of `classes`, whatever the order of the head's."""

    known = ("accuracy", "f1", "macro_f1", "matthews_correlation")
    noun = "classes"

    def __init__(self, classes: Sequence[str]):
        self.classes, self.order = classes, list(range(len(classes)))

    @property
    def usual(self) -> tuple[str, ...]:
        return ("accuracy", "f1", "macro_f1") if len(self.classes) == 2 else ("accuracy", "f1")

    @property
    def model_fields(self) -> dict[str, Any]:
        names = {i: self.classes[which] for i, which in enumerate(self.order)}
        ids = {name: i for i, name in names.items()}
        return {"id2label": names, "label2id": ids, "problem_type": "single_label_classification"}

    def adopt(self, config: PreTrainedConfig, argument: str) -> None:
        self.order = model_order(self.classes, config, argument)

    def faulty(self, label: Any, name: Namer) -> bool:
        return name(label) not in self.classes

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(self.classes[:20])}"

    def encode(self, label: Any, name: Namer) -> int:
        return self.order.index(self.classes.index(name(label)))

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return self.references(np.argmax(logits, -1))

    def references(self, encoded: np.ndarray) -> np.ndarray:
        return np.array(self.order)[encoded]

    def figures(self, answers: np.ndarray, references: np.ndarray) -> Mapping[str, float]:
        return classification_metrics(answers, references, len(self.classes))

    def written(self, answer: Any) -> str:
        return self.classes[answer]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits.astype(float), -1)[:, np.argsort(self.order)]

    @property
    def sample(self) -> np.ndarray:
        return np.arange(len(self.classes))

    def __str__(self) -> str:
        f1 = f"that of {self.classes[1]!r}" if len(self.classes) == 2 else "the mean over them"
        return f"{len(self.classes)} classes (F1 is {f1})"


class SeveralClasses(LabelKind):
    """Any number of classes, each by itself: those whose probability is above one half. Answers are 0 and 1,
    `(examples, classes)`."""

    known = ("micro_f1", "macro_f1", "accuracy")
    noun = "classes, any number of them a text"

    def __init__(self, classes: Sequence[str]):
        self.classes = classes

    @property
    def usual(self) -> tuple[str, ...]:
        return self.known

    @property
    def model_fields(self) -> dict[str, Any]:
        ids = {name: i for i, name in enumerate(self.classes)}
        return {
            "id2label": dict(enumerate(self.classes)),
            "label2id": ids,
            "problem_type": "multi_label_classification",
        }

    def adopt(self, config: PreTrainedConfig, argument: str) -> None:
        self.classes = [self.classes[which] for which in model_order(self.classes, config, argument)]

    def faulty(self, label: Any, name: Namer) -> bool:
        return not isinstance(label, list) or not {name(each) for each in label} <= set(self.classes)

    @property
    def wanted(self) -> str:
        return f"a list of {', '.join(self.classes[:20])}"

    def encode(self, label: Any, name: Namer) -> list[float]:
        given = {name(each) for each in label}
        return [float(each in given) for each in self.classes]

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return (logits > 0).astype(int)

    def references(self, encoded: np.ndarray) -> np.ndarray:
        return encoded.astype(int)

    def figures(self, answers: np.ndarray, references: np.ndarray) -> Mapping[str, float]:
        return multilabel_metrics(answers, references)

    def written(self, answer: Any) -> str:
        names = [name for name, given in zip(self.classes, answer, strict=True) if given]
        return json.dumps(names, ensure_ascii=False)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(expit(logits.astype(float)))

    @property
    def sample(self) -> np.ndarray:
        return np.eye(len(self.classes), dtype=int)


class Score(LabelKind):
    """A number."""

    known = ("spearmanr", "pearson", "mse")
    noun = "scores"

    def __init__(self, least: float, most: float):
        self.least, self.most = least, most

    @property
    def usual(self) -> tuple[str, ...]:
        return self.known

    @property
    def model_fields(self) -> dict[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def faulty(self, label: Any, name: Namer) -> bool:
        try:
            score = float(label)
        except (TypeError, ValueError):
            return True
        return not (math.isfinite(score) and self.least <= score <= self.most)

    @property
    def wanted(self) -> str:
        return "a number" if math.isinf(self.most - self.least) else f"a number from {self.least} to {self.most}"

    def encode(self, label: Any, name: Namer) -> float:
        return float(label)

    def answers(self, logits: np.ndarray) -> np.ndarray:
        return np.squeeze(logits, -1)

    def references(self, encoded: np.ndarray) -> np.ndarray:
        return encoded

    def figures(self, answers: np.ndarray, references: np.ndarray) -> Mapping[str, float]:
        return regression_metrics(answers, references)

    def written(self, answer: Any) -> str:
        return f"{answer:.3f}"

    @property
    def sample(self) -> np.ndarray:
        return np.arange(2.0)

    def __str__(self) -> str:
        return "a score"
