"""Answers: where they are among the tokens, what comes back out of logits, and the command on them and on tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from transformers import BertTokenizer, EvalPrediction
from transformers.utils import logging

from transformers_mcl.cli.main import main
from transformers_mcl.data.tables import read_table
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import QuestionAnsweringTask, find_task
from transformers_mcl.finetuning.example_arguments import ExampleArguments

CONTEXT = "anna lives in rome . bob lives in paris . anna wrote a film . bob was in a bad film"


def question(text: str, *answers: str) -> dict[str, Any]:
    found = {"text": list(answers), "answer_start": [CONTEXT.index(answer) for answer in answers]}
    return {"id": text, "question": text, "context": CONTEXT, "answers": found}


ROWS = [
    question("who lives in paris ?", "bob"),
    question("who wrote ?", "anna wrote", "anna"),
    question("who was good ?"),
    question("a film ?", "a bad film"),
]


@pytest.fixture
def squad() -> QuestionAnsweringTask:
    table = Dataset.from_list(ROWS)
    return QuestionAnsweringTask(
        find_task("squad_v2"), ExampleArguments(doc_stride=4), DatasetDict(train=table, validation=table)
    )


def test_answers_are_found_among_the_tokens_of_pieces(squad: QuestionAnsweringTask, tokenizer: BertTokenizer) -> None:
    rows = squad.encode("validation", tokenizer, 16)
    assert len(rows) > len(ROWS)
    assert max(map(len, rows["input_ids"])) <= 16
    seen = set()
    for row, number in zip(rows, squad.features["validation"]["example"], strict=True):
        start, end = row["start_positions"], row["end_positions"]
        if start:
            answer = tokenizer.decode(row["input_ids"][start : end + 1])
            assert answer == ROWS[number]["answers"]["text"][0]
            seen.add(number)
        else:
            assert end == 0
    assert seen == {0, 1, 3}  # 2 has no answer


def predicted(logits: Any) -> EvalPrediction:
    return EvalPrediction(tuple(logits), np.zeros(0))


def test_perfect_logits_have_perfect_figures(squad: QuestionAnsweringTask, tokenizer: BertTokenizer) -> None:
    rows = squad.encode("validation", tokenizer, 16)
    logits = np.zeros((2, len(rows), 20), np.float32)
    for i, name in enumerate(("start_positions", "end_positions")):
        where = np.array(rows[name])
        logits[i, np.arange(len(rows)), where] = np.where(where > 0, 9, 1)
    figures = squad.metrics(predicted(logits))
    assert (figures["exact"], figures["f1"], figures["NoAns_total"]) == (100, 100, 1)
    assert (figures["best_exact"], figures["best_f1"]) == (100, 100)
    assert squad.predictions["predictions"]["who was good ?"] == ""
    squad.args.null_score_diff_threshold = 100.0
    assert squad.metrics(predicted(logits))["NoAns_exact"] == 0


def test_the_command_answers_and_tags(command: Callable[..., list[str]], write: Any, tmp_path: Path) -> None:
    squad = write("squad.jsonl", ROWS)
    words = ["--train_file", squad, "--validation_file", squad, "--doc_stride", "4", "--task_name", "squad_v2"]
    assert main(command(*words)) == 0
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert list(predictions) == [row["id"] for row in ROWS]
    tags = write("tags.jsonl", [{"tokens": ["anna", "lives"], "ner_tags": ["B-PER", "O"]}] * 4)
    words = ["--train_file", tags, "--validation_file", tags, "--task_name", "token-classification"]
    assert main(command(*words, "--output_dir", str(tmp_path / "tags"))) == 0
    (entry,) = json.loads((tmp_path / "tags" / "results.json").read_text())["summary"]
    assert {"f1", "precision", "recall", "accuracy"} <= set(entry["metrics"])


def test_the_files_of_squads_authors(tmp_path: Path) -> None:
    qas = [{"id": row["id"], "question": row["question"], "is_impossible": not row["answers"]["text"]} for row in ROWS]
    for qa, row in zip(qas, ROWS, strict=True):
        answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        qa["answers"] = [{"text": text, "answer_start": start} for text, start in answers]
    published = {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
    (tmp_path / "dev-v2.0.json").write_text(json.dumps(published))
    assert read_table([str(tmp_path / "dev-v2.0.json")], "validation_file").to_list() == ROWS


def test_what_is_refused(
    squad: QuestionAnsweringTask, tokenizer: BertTokenizer, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="doc_stride=4 must be below 4, .*max_seq_length=10 leaves"):
        squad.check(tokenizer, 10)
    slow: Any = SimpleNamespace(is_fast=False, name_or_path="slow", pad_token="[PAD]")
    with pytest.raises(ValueError, match="needs a fast tokenizer"):
        squad.check(slow, 16)
    text = Dataset.from_list([{"question": "who", "context": "bob", "answers": "bob"}])
    with pytest.raises(ValueError, match="'answers' of the train data must hold"):
        QuestionAnsweringTask(find_task("squad"), ExampleArguments(), DatasetDict(train=text, validation=text))


def table_of(*answers: dict[str, Any], ids: str = "01") -> DatasetDict:
    rows = [
        {"id": i, "question": "who", "context": "bob was", "answers": a} for i, a in zip(ids, answers, strict=False)
    ]
    return DatasetDict(train=Dataset.from_list(rows), validation=Dataset.from_list(rows))


def test_answers_that_are_none(caplog: pytest.LogCaptureFixture) -> None:
    bob: dict[str, Any] = {"text": ["bob"], "answer_start": [0]}
    with pytest.raises(UserError, match="must hold"):
        QuestionAnsweringTask(find_task("squad"), ExampleArguments(), table_of({"text": ["bob"]}))
    with pytest.raises(UserError, match="the same id twice"):
        QuestionAnsweringTask(find_task("squad"), ExampleArguments(), table_of(bob, bob, ids="00"))
    assert QuestionAnsweringTask(find_task("squad_v2"), ExampleArguments(), table_of(bob)).with_negative
    assert not QuestionAnsweringTask(find_task("squad"), ExampleArguments(), table_of(bob)).with_negative
    logger = logging.get_logger("transformers_mcl.finetuning.question_answering_task")
    logger.addHandler(caplog.handler)
    try:
        QuestionAnsweringTask(
            find_task("squad"), ExampleArguments(), table_of(bob, {"text": ["bob"], "answer_start": [1]})
        )
    finally:
        logger.removeHandler(caplog.handler)
    assert "1 of the 2 train questions have an answer that does not stand" in caplog.text
    assert "row 2" in caplog.text


def test_an_answer_without_text_is_none(tokenizer: BertTokenizer) -> None:
    bob: dict[str, Any] = {"text": ["bob"], "answer_start": [0]}
    blank: dict[str, Any] = {"text": ["", " "], "answer_start": [0, 3]}
    task = QuestionAnsweringTask(find_task("question_answering"), ExampleArguments(), table_of(bob, blank))
    assert task.with_negative and "some questions have no answer" in task.describe()
    assert list(task.tables["validation"]["answers"]) == [bob, {"text": [], "answer_start": []}]
    task.args.doc_stride = 4
    rows = task.encode("validation", tokenizer, 16)
    assert list(rows["start_positions"]) == [3, 0]
    logits = np.zeros((2, 2, len(rows[0]["input_ids"])), np.float32)
    logits[:, 0, 3] = logits[:, 1, 0] = 9
    figures = task.metrics(predicted(logits))
    assert (figures["NoAns_total"], figures["HasAns_total"], figures["exact"]) == (1, 1, 100)


def test_a_question_longer_than_fits_is_cut(tokenizer: BertTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    table = Dataset.from_list([*ROWS, {**ROWS[0], "id": "long", "question": "who lives " * 40 + "in paris ?"}])
    task = QuestionAnsweringTask(
        find_task("squad_v2"), ExampleArguments(doc_stride=4), DatasetDict(train=table, validation=table)
    )
    logger = logging.get_logger("transformers_mcl.finetuning.question_answering_task")
    logger.addHandler(caplog.handler)
    try:
        task.check(tokenizer, 16)
    finally:
        logger.removeHandler(caplog.handler)
    assert "1 of the 5 validation questions are longer than the 8 tokens" in caplog.text
    assert "the first in row 5: their ends are cut off" in caplog.text
    rows = task.encode("validation", tokenizer, 16)
    assert max(map(len, rows["input_ids"])) <= 16
    assert set(task.features["validation"]["example"]) == {0, 1, 2, 3, 4}
    last = rows[task.features["validation"]["example"].index(4)]["input_ids"]
    assert tokenizer.decode(last[1:9]) == "who lives who lives who lives who lives"
