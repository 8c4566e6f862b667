"""Tags: where they are among the tokens, and what comes back out of logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import List as ListOf
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, EvalPrediction, PreTrainedTokenizerFast
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import TokenTask, find_task
from transformers_mcl.finetuning.example_arguments import ExampleArguments
from transformers_mcl.finetuning.token_task import _chosen_tokens


def tags(rows: list[list[Any]], names: list[str] | None = None) -> Dataset:
    words = [{"tokens": ["film"] * len(row), "ner_tags": row} for row in rows]
    kind = ListOf(ClassLabel(names=names)) if names else None
    features = Features({"tokens": ListOf(Value("string")), "ner_tags": kind}) if kind else None
    return Dataset.from_list(words, features)


def test_tags_are_matched_by_name_and_some_are_none(tokenizer: BertTokenizer) -> None:
    tables = DatasetDict(train=tags([[0, 1]], ["O", "B-X"]), validation=tags([[0, 1]], ["B-X", "O"]))
    task = TokenTask(find_task("token_classification"), ExampleArguments(), tables)
    assert list(task.encode("validation", tokenizer, 8)["labels"]) == [[-100, 1, 0, -100]]
    tables = DatasetDict(train=tags([[3, -100, 4], []]), validation=tags([[4, 3, 4]]))
    task = TokenTask(find_task("token_classification"), ExampleArguments(), tables)
    assert task.classes == ["3", "4"]
    assert list(task.encode("train", tokenizer, 8)["labels"]) == [[-100, 0, -100, 1, -100], [-100, -100]]
    with pytest.raises(UserError, match="without nulls"):
        TokenTask(find_task("token_classification"), ExampleArguments(), DatasetDict(train=tags([["O", None]])))
    with pytest.raises(UserError, match="has no tag"):
        TokenTask(find_task("token_classification"), ExampleArguments(), DatasetDict(train=tags([[]])))


def test_tokenizers_that_will_not_do() -> None:
    task = TokenTask(find_task("token_classification"), ExampleArguments(), DatasetDict(train=tags([["O", "B-X"]])))
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    with pytest.raises(UserError, match="has no pad_token"):
        task.check(PreTrainedTokenizerFast(tokenizer_object=backend), 8)
    with pytest.raises(UserError, match="add_prefix_space=True"):
        task.check(PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]"), 8)


def test_only_the_first_token_of_a_word_is_tagged(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    row = {"tokens": ["anna", "12", "rome"], "ner_tags": ["B-PER", "O", "B-LOC"]}
    table = Dataset.from_list([row])
    task = TokenTask(find_task("token_classification"), ExampleArguments(), DatasetDict(train=table, validation=table))
    encoded = task.encode("train", tokenizer, 16)[0]
    assert task.classes == ["B-LOC", "B-PER", "O"]
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"])[2:4] == ["1", "##2"]
    assert encoded["labels"] == [-100, 1, 2, -100, 0, -100]
    task.encode("validation", tokenizer, 16)
    logits = np.zeros((1, 6, 3))
    logits[0, [1, 2, 4], [1, 2, 2]] = 1
    figures = task.metrics(EvalPrediction(logits, np.array([encoded["labels"]])))
    assert figures == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "accuracy": 2 / 3})
    task.save_predictions(tmp_path)
    found = json.loads((tmp_path / "figures_by_class.json").read_text())
    assert {kind: (of["f1"], of["support"]) for kind, of in found["validation"].items()} == {
        "PER": (1, 1),
        "LOC": (0, 1),
    }


def test_tags_that_training_never_had() -> None:
    rows = [{"tokens": ["a"], "ner_tags": ["O"]}], [{"tokens": ["a"], "ner_tags": ["B-X"]}]
    tables = DatasetDict(train=Dataset.from_list(rows[0]), validation=Dataset.from_list(rows[1]))
    with pytest.raises(ValueError, match="holds 'B-X', which training never had, only O"):
        TokenTask(find_task("token_classification"), ExampleArguments(), tables)


def one_row(words: list[str], tags: list[str], **args: Any) -> TokenTask:
    table = Dataset.from_list(
        [{"tokens": words, "ner_tags": tags}, {"tokens": ["anna", "film"], "ner_tags": ["B-PER", "O"]}]
    )
    return TokenTask(
        find_task("token_classification"),
        ExampleArguments(**args),
        DatasetDict(train=table, validation=table, test=table),
    )


def right_logits(task: TokenTask, split: str, rows: Dataset, ids: dict[int, int]) -> np.ndarray:
    """Logits that say of every token the class that its id stands for."""
    width = max(map(len, rows["input_ids"]))
    logits = np.zeros((len(rows), width, len(task.classes)))
    for piece, row in enumerate(rows["input_ids"]):
        for place, token in enumerate(row):
            logits[piece, place, ids.get(token, 0)] = 1
    return logits


@pytest.mark.parametrize(
    ("words", "length"),
    [
        (["anna", "\u200b", "", "lives", "\x00", "bob"], 16),
        (["anna", "lives", "in", "rome", "12", "bob"] * 9, 8),
        (["123456789123456789", "anna", "lives"], 8),  # a word longer than a row
        (["", "\u200b"], 8),
        ([], 8),
    ],
)
def test_every_word_has_one_tag(
    words: list[str], length: int, tokenizer: BertTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also words without a token, and those of rows longer than fits; the figures are over all of them."""
    tags = [{"anna": "B-PER", "bob": "B-PER"}.get(word, "O") for word in words]
    task = one_row(words, tags)
    logger = logging.get_logger("transformers_mcl.finetuning.token_task")
    logger.addHandler(caplog.handler)
    try:
        rows = {split: task.encode(split, tokenizer, length) for split in task.tables}
    finally:
        logger.removeHandler(caplog.handler)
    assert max(len(row) for row in rows["test"]["input_ids"]) <= length
    people = {tokenizer.vocab[name]: task.classes.index("B-PER") for name in ("anna", "bob")}
    for split in ("train", "validation"):  # each word is learnt from once
        assert sum(label >= 0 for row in rows[split]["labels"] for label in row) == 2 + sum(
            bool(tokenizer.tokenize(word)) for word in words
        )
    logits = right_logits(task, "test", rows["test"], {token: task.classes.index("O") for token in range(44)} | people)
    task.save_predicted("test", PredictionOutput(logits, None, {}), tmp_path)
    assert [line.split() for line in (tmp_path / "predictions.txt").read_text().splitlines()] == [tags, ["B-PER", "O"]]
    likely = [json.loads(line) for line in (tmp_path / "predicted_probabilities.jsonl").open()]
    assert [value is None for value in likely[0]] == [not tokenizer.tokenize(word) for word in words]
    figures = task.metrics(EvalPrediction(logits, np.zeros(0)))
    assert (figures["accuracy"], figures["f1"]) == (1, 1)
    assert ("are longer than max_seq_length" in caplog.text) == (sum(len(tokenizer.tokenize(w)) for w in words) > 6)
    assert ("makes nothing of" in caplog.text) == any(not tokenizer.tokenize(word) for word in words)


def test_what_f1_means_is_decided_by_the_classes(tokenizer: BertTokenizer) -> None:
    table = Dataset.from_list([{"tokens": ["anna", "lives", "film"], "ner_tags": ["B-PER", "O", "MISC"]}])
    plain = table.select_columns("tokens").add_column("ner_tags", [["B-PER", "O", "O"]])
    task = TokenTask(find_task("token_classification"), ExampleArguments(), DatasetDict(train=table, validation=plain))
    assert not task.spans and task.describe().endswith("3 tags (ner_tags), mean F1 of the tags")
    task.encode("validation", tokenizer, 8)
    for stray in (task.classes.index("O"), task.classes.index("MISC")):  # tags of the third word
        logits = np.eye(3)[[[0, task.classes.index("B-PER"), task.classes.index("O"), stray, 0]]]
        figures = task.metrics(EvalPrediction(logits, np.zeros(0)))
        assert figures["f1"] == pytest.approx(1 if stray == task.classes.index("O") else (1 + 2 / 3) / 2)
    assert one_row(["film"], ["O"]).spans and one_row(["film"], ["O"]).describe().endswith("F1 of spans")


def test_figures_of_each_kind_of_span_or_tag(tokenizer: BertTokenizer, tmp_path: Path) -> None:
    words, wanted = ["anna", "bob", "rome", "film"], ["B-PER", "I-PER", "B-LOC", "O"]
    given = ["B-PER", "O", "B-LOC", "B-LOC"]

    def figures(names: dict[str, str]) -> dict[str, dict[str, float]]:
        task = one_row(words, [names.get(tag, tag) for tag in wanted])
        rows = task.encode("validation", tokenizer, 16)
        ids: Any = tokenizer.convert_tokens_to_ids(words)
        answers = {one: task.classes.index(names.get(tag, tag)) for one, tag in zip(ids, given, strict=True)}
        task.metrics(EvalPrediction(right_logits(task, "validation", rows, answers), np.zeros(0)))
        task.save_predictions(tmp_path)
        found: dict[str, Any] = json.loads((tmp_path / "figures_by_class.json").read_text())
        assert found == {"positive_class": None, "validation": task.by_class["validation"]}
        return task.by_class["validation"]

    spans = figures({})
    # In a second row anna and film stand alone.
    assert spans["PER"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert spans["LOC"] == pytest.approx({"precision": 1 / 3, "recall": 1, "f1": 0.5, "support": 1})
    tags_of = figures({"I-PER": "PERSON"})  # which is no part of a span
    assert set(tags_of) == {"B-PER", "PERSON", "B-LOC", "O"}
    assert tags_of["B-LOC"] == pytest.approx({"precision": 1 / 3, "recall": 1, "f1": 0.5, "support": 1})
    assert tags_of["PERSON"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_all_tokens_of_a_word_may_be_learnt_from(tokenizer: BertTokenizer) -> None:
    words, tags = ["12", "film", "12"], ["B-X", "O", "B-Y"]
    table = Dataset.from_list([{"tokens": [*words, "anna"], "ner_tags": [*tags, "I-X"]}])
    args = ExampleArguments(label_all_tokens=True)
    task = TokenTask(find_task("token_classification"), args, DatasetDict(train=table, validation=table))
    x, inside, y, outside = map(task.classes.index, ("B-X", "I-X", "B-Y", "O"))
    assert list(task.encode("train", tokenizer, 16)["labels"]) == [[-100, x, inside, outside, y, y, inside, -100]]
    assert list(task.encode("validation", tokenizer, 16)["labels"]) == [
        [-100, x, -100, outside, y, -100, inside, -100]
    ]


@pytest.mark.parametrize(
    ("pieces", "chosen"),
    [
        ([[None, 0, 1, 1, None], [None, 1, 1, 2, None]], [{1, 2}, {3}]),  # word 1 begins in the first piece
        ([[None, 0, 1, 2, 3, None], [None, 2, 3, 4, 5, None]], [{1, 2, 3}, {2, 3, 4}]),  # more stands around 3 there
    ],
)
def test_a_word_is_read_where_most_stands_around_it(pieces: list[list[int | None]], chosen: list[set[int]]) -> None:
    assert _chosen_tokens(pieces, [0, 0]) == chosen
