"""Tags: where they are among the tokens, and what comes back out of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import List as ListOf
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, EvalPrediction, PreTrainedTokenizerFast

from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import TokenTask, find_task
from transformers_mcl.finetuning.example_arguments import ExampleArguments


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


def test_only_the_first_token_of_a_word_is_tagged(tokenizer: BertTokenizer) -> None:
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


def test_tags_that_training_never_had() -> None:
    rows = [{"tokens": ["a"], "ner_tags": ["O"]}], [{"tokens": ["a"], "ner_tags": ["B-X"]}]
    tables = DatasetDict(train=Dataset.from_list(rows[0]), validation=Dataset.from_list(rows[1]))
    with pytest.raises(ValueError, match="holds 'B-X', which training never had, only O"):
        TokenTask(find_task("token_classification"), ExampleArguments(), tables)
