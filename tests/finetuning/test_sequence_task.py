"""Labels by name, whatever a file calls them; what a task takes over from a checkpoint; what data it refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from transformers import BertConfig, BertTokenizer, EvalPrediction

from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import SequenceTask, find_task
from transformers_mcl.finetuning.example_arguments import ExampleArguments


def table(labels: list[Any], names: list[str] | None = None) -> Dataset:
    rows = [{"sentence": f"film {i}", "label": label} for i, label in enumerate(labels)]
    if names is None:
        return Dataset.from_list(rows)
    return Dataset.from_list(rows, Features({"sentence": Value("string"), "label": ClassLabel(names=names)}))


def sequence(train: Dataset, validation: Dataset, name: str = "text_classification") -> SequenceTask:
    return SequenceTask(find_task(name), ExampleArguments(), DatasetDict(train=train, validation=validation))


@pytest.mark.parametrize(
    ("train", "validation", "classes", "ids"),
    [
        (table(["b", "a"]), table(["a", "b"]), ["a", "b"], [0, 1]),
        (table([10, 9]), table([9, 10]), ["9", "10"], [0, 1]),  # in the order of numbers
        (table(["1", "x"]), table([1, 1]), ["1", "x"], [0, 0]),  # a file where all labels look like numbers
        (table([True, False]), table([False, True]), ["False", "True"], [0, 1]),
        (table([0, 1], ["neg", "pos"]), table([0, 1], ["pos", "neg"]), ["neg", "pos"], [1, 0]),
        (table([0, 1], ["neg", "pos"]), table(["pos", "neg"]), ["neg", "pos"], [1, 0]),
        (table([0, 1], ["neg", "pos"]), table([1, 0]), ["neg", "pos"], [1, 0]),
        (table(["neg", "pos"]), table([1, 0], ["neg", "pos"]), ["neg", "pos"], [1, 0]),
    ],
)
def test_labels_are_matched_by_name(
    train: Dataset, validation: Dataset, classes: list[str], ids: list[int], tokenizer: BertTokenizer
) -> None:
    task = sequence(train, validation)
    assert task.classes == classes
    assert list(task.encode("validation", tokenizer, 8)["labels"]) == ids


def test_glue_counts_its_labels_or_names_them(tokenizer: BertTokenizer) -> None:
    task = sequence(table(["acceptable", "unacceptable"]), table([0, 1]), "cola")
    assert list(task.encode("train", tokenizer, 8)["labels"]) == [1, 0]
    assert list(task.encode("validation", tokenizer, 8)["labels"]) == [0, 1]
    unnamed = sequence(table([0, 1], ["0", "1"]), table([1, 0], ["acceptable", "unacceptable"]), "cola")
    assert list(unnamed.encode("train", tokenizer, 8)["labels"]) == [0, 1]
    assert list(unnamed.encode("validation", tokenizer, 8)["labels"]) == [0, 1]


def test_the_order_of_a_checkpoints_classes_is_kept(tokenizer: BertTokenizer) -> None:
    task = sequence(table(["a", "b"]), table(["a", "b", "b"]))
    task.adopt(BertConfig(id2label={0: "B", 1: "a"}), trains=True)
    assert task.model_fields["label2id"] == {"b": 0, "a": 1}
    ids = list(task.encode("validation", tokenizer, 8)["labels"])
    assert ids == [1, 0, 0]
    logits = np.eye(2)[[1, 0, 1]]  # a, b, a: of the second class one of two is found
    figures = task.metrics(EvalPrediction(logits, np.array(ids)))
    assert figures == pytest.approx({"accuracy": 2 / 3, "f1": 2 / 3, "macro_f1": 2 / 3})


@pytest.mark.parametrize(
    ("name", "train", "validation", "says"),
    [
        ("text_classification", ["a", ""], ["a"], "train data has a row without a label"),
        ("text_classification", ["a", "b"], [""], "holds '', not one of a, b, the labels in training"),
        ("text_classification", ["a", "b"], [None], "holds None, not one of a, b"),
        ("text_classification", ["a", "a"], ["a"], "one label only, 'a'"),
        ("cola", [0, 1], [-1], "holds -1, not one of unacceptable, acceptable"),
        ("regression", [0.5, 1.5], [float("nan")], "holds nan, not a number"),
        ("regression", [0.5, 1.5], [float("inf")], "holds inf, not a number"),
        ("regression", ["a", "b"], ["1"], "holds 'a', not a number"),
        ("stsb", [0.0, 5.0], [5.1], "holds 5.1, not a number from 0 to 5"),
    ],
)
def test_labels_that_are_none(name: str, train: list[Any], validation: list[Any], says: str) -> None:
    def rows(values: list[Any]) -> Dataset:
        return Dataset.from_list([{"sentence": "a", "sentence1": "a", "sentence2": "b", "label": v} for v in values])

    with pytest.raises(UserError, match=re.escape(says)):
        sequence(rows(train), rows(validation), name)
