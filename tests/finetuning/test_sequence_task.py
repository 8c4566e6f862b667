"""Labels by name, whatever a file calls them; what a task takes over from a checkpoint; what data it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import List as ListOf
from transformers import BertConfig, BertTokenizer, EvalPrediction
from transformers.trainer_utils import PredictionOutput

from transformers_mcl.cli.main import main
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import SequenceTask, find_task
from transformers_mcl.finetuning.arguments import TaskArguments
from transformers_mcl.finetuning.example_arguments import ExampleArguments
from transformers_mcl.finetuning.loading import load_task


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
    sure = task.labels.probabilities(np.array([[9.0, 0]]))  # of the head's first class, b
    assert sure is not None and sure[0].argmax() == task.classes.index("b")


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


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (["", "text", "author"], ["text"]),
        (["author", "sentence"], ["sentence"]),
        (["text", "sentence1", "sentence2"], ["sentence1", "sentence2"]),
        (["", "id", "review"], ["review"]),
        (["Unnamed: 0", "review"], ["review"]),
        (["premise", "hypothesis"], "which column of the train data is the text, of premise, hypothesis?"),
        (["", "Unnamed: 0"], "text_column_names: one or two columns, not 0; the train data have"),
    ],
)
def test_the_column_of_the_text(columns: list[str], taken: list[str] | str) -> None:
    train = Dataset.from_list([{**{name: f"{name} {i}" for name in columns}, "label": i} for i in range(2)])
    if isinstance(taken, list):
        assert sequence(train, train).columns == taken
    else:
        with pytest.raises(UserError, match=re.escape(taken)):
            sequence(train, train)


def test_csv_with_the_index_of_pandas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",text,author,label\nx,good film,Ann,1\ny,bad film,Bob,0\n")
    args = TaskArguments(train_file=[str(tmp_path / "a.csv")], validation_file=[str(tmp_path / "a.csv")])
    task: Any = load_task(find_task("text_classification"), args)
    assert task.columns == ["text"]
    assert task.describe().endswith("text to 2 classes (F1 is that of '1'), column 'label'")


def several(labels: list[Any], features: Any = None) -> SequenceTask:
    rows = [{"text": f"film {i}", "labels": label} for i, label in enumerate(labels)]
    train = Dataset.from_list(rows, features and Features({"text": Value("string"), "labels": features}))
    return SequenceTask(
        find_task("text_classification"), ExampleArguments(), DatasetDict(train=train, validation=train, test=train)
    )


def test_labels_that_are_lists_are_any_number_of_classes(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    task = several([["sad", "long"], [], ["fun"], ["sad"]])
    assert task.classes == ["fun", "long", "sad"]
    assert task.model_fields["problem_type"] == "multi_label_classification"
    task.adopt(BertConfig(id2label={0: "sad", 1: "fun", 2: "long"}), trains=True)
    rows = task.encode("validation", tokenizer, 8)
    assert list(rows["labels"]) == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    logits = np.array([[2.0, -1, 3], [-1, -1, -1], [-1, 0, -1], [1, -1, 1]])  # 0 is one half: not above it
    figures = task.metrics(EvalPrediction(logits, np.array(rows["labels"])))
    # 3 of 4 found, 1 of 4 given wrong; of fun none is found, of long one too many is given.
    assert figures == pytest.approx({"micro_f1": 3 / 4, "macro_f1": (0 + 2 / 3 + 1) / 3, "accuracy": 2 / 4})
    task.save_predicted("test", PredictionOutput(logits, None, {}), tmp_path)
    lines = (tmp_path / "predict_results_text_classification.txt").read_text().splitlines()
    assert lines[1:] == ['0\t["sad", "long"]', "1\t[]", "2\t[]", '3\t["sad", "long"]']
    found = json.loads((tmp_path / "predict_probabilities_text_classification.jsonl").read_text().splitlines()[2])
    assert found["fun"] == 0.5
    assert several([[0, 1], [1]], ListOf(ClassLabel(names=["a", "b"]))).classes == ["a", "b"]
    with pytest.raises(UserError, match="row without a label|holds"):
        several([["a", None], ["b"]])


def test_a_head_of_any_number_of_classes_learns(command: Any, write: Any, tmp_path: Path) -> None:
    rows = [
        {"text": f"{a} {b}", "labels": [w for w in (a, b) if w != "the"]}
        for a in ("good", "the")
        for b in ("film", "the")
    ]
    files = write("rows.jsonl", rows * 8)
    words = command("--train_file", files, "--validation_file", files, "--learning_rate", "5e-3")
    assert main([*words, "--num_train_epochs", "40"]) == 0
    (entry,) = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    assert (entry["main_metric"], entry["metrics"]["micro_f1"]["median"]) == ("micro_f1", 1)


def test_long_texts_are_read_in_pieces(tokenizer: BertTokenizer) -> None:
    rows = [{"text": "good " + "film " * 20, "label": "a"}, {"text": "bad", "label": "b"}]
    table = Dataset.from_list(rows)
    args = ExampleArguments(doc_stride=2)
    task = SequenceTask(find_task("text_classification"), args, DatasetDict(train=table, validation=table))
    task.check(tokenizer, 8)
    encoded = task.encode("validation", tokenizer, 8)
    assert list(encoded["labels"]) == [0] * 5 + [1]
    logits = np.array([[9.0, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]])  # their mean says a
    figures = task.metrics(EvalPrediction(logits, np.array(encoded["labels"])))
    assert figures["accuracy"] == 1
    with pytest.raises(UserError, match="doc_stride=2 must be below 2"):
        task.check(tokenizer, 4)


def test_figures_of_each_class(tmp_path: Path) -> None:
    task = sequence(table(["no", "yes"]), table(["no", "yes", "yes", "no"]))
    assert "F1 is that of 'yes'" in task.describe()
    task.metrics(EvalPrediction(np.eye(2)[[0, 1, 0, 0]], np.array([0, 1, 1, 0])))
    task.save_predictions(tmp_path)
    found = json.loads((tmp_path / "figures_by_class.json").read_text())
    assert found["positive_class"] == "yes"
    assert found["validation"]["yes"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2})
    assert found["validation"]["no"] == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8, "support": 2})
    sets = several([["a"], ["b"], ["a", "b"]])
    sets.metrics(EvalPrediction(np.array([[1, -1], [-1, 1], [-1, 1]]), np.array([[1, 0], [0, 1], [1, 1]])))
    assert sets.by_class["validation"]["a"] == pytest.approx(
        {"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2}
    )


def test_f1_is_over_the_same_classes_whatever_is_predicted() -> None:
    task = sequence(table(["a", "b", "c"]), table(["a", "b", "b"]))
    given, labels = ([0, 1, 1], [2, 1, 1]), np.array([0, 1, 1])
    perfect, stray = (task.metrics(EvalPrediction(np.eye(3)[ids], labels)) for ids in given)
    assert (perfect["f1"], stray["f1"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("theirs", "labels", "classes"),
    [
        (["no", "Yes"], ["yes"], ["no", "yes"]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], [2, 0], ["0", "1", "2"]),
        (["no", "yes"], ["perhaps"], ["perhaps"]),  # which `adopt` refuses
    ],
)
def test_a_model_that_is_used_as_it_is_says_its_classes(
    theirs: list[str], labels: list[Any], classes: list[str]
) -> None:
    """Of which an evaluation may have a part only."""
    config = BertConfig(id2label=dict(enumerate(theirs)))
    config.name_or_path = "a model"
    tables = DatasetDict(validation=table(labels))
    task = SequenceTask(find_task("text_classification"), ExampleArguments(), tables, checkpoint=config)
    assert task.classes == classes
    if "perhaps" in labels:
        with pytest.raises(UserError, match="has the classes no, yes, but the data have perhaps"):
            task.adopt(config, trains=False)
    else:
        task.adopt(config, trains=False)
        assert task.model_fields["id2label"] == dict(enumerate(classes))
