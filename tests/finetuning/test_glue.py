"""GLUE's nine tasks: the columns and labels of the Hub's data set, and the figures of the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from transformers import EvalPrediction
from transformers.trainer_utils import PredictionOutput

from transformers_mcl.finetuning import SequenceTask, find_task
from transformers_mcl.finetuning.example_arguments import ExampleArguments
from transformers_mcl.finetuning.task import TASKS, task_groups


def test_nine_tasks_with_the_columns_of_the_hub() -> None:
    names = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    assert task_groups() == {"glue": names}
    assert {(TASKS[name].dataset_name, TASKS[name].dataset_config_name) for name in names} == {
        ("nyu-mll/glue", name) for name in names
    }
    assert TASKS["qqp"].text_columns == ("question1", "question2")
    assert TASKS["rte"].classes == ("entailment", "not_entailment")
    assert TASKS["wnli"].classes == ("not_entailment", "entailment")
    assert TASKS["mnli"].validations == {"validation_matched": "", "validation_mismatched": "_mm"}


@pytest.mark.parametrize(
    ("name", "labels", "wanted"),
    [
        ("sst2", [0, 1], {"accuracy": 0.75}),
        ("mrpc", [0, 1], {"accuracy": 0.75, "f1": 0.8}),
        ("cola", [0, 1], {"matthews_correlation": 1 / np.sqrt(3)}),
        ("mnli", [0, 1, 2], {"accuracy": 0.75}),
    ],
)
def test_the_figures_of_classes(name: str, labels: list[int], wanted: dict[str, float]) -> None:
    figures = loaded(name, labels).metrics(EvalPrediction(np.eye(len(labels))[[1, 0, 1, 1]], np.array([1, 0, 0, 1])))
    assert figures == pytest.approx(wanted)
    assert list(figures) == list(wanted)


def test_the_figures_of_scores() -> None:
    given, true = np.array([[1.0], [2.0], [4.0], [3.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    figures = loaded("stsb", [0, 5]).metrics(EvalPrediction(given, true))
    assert figures == pytest.approx({"spearmanr": 0.8, "pearson": 0.8})  # 1 - 6 * 2 / (4 * 15)


@pytest.mark.parametrize(
    ("name", "split", "logits", "file", "answers"),
    [
        ("sst2", "test", np.eye(2), "SST-2.tsv", ["0", "1"]),
        ("rte", "test", np.eye(2), "RTE.tsv", ["entailment", "not_entailment"]),
        ("mnli", "test_mismatched", np.eye(3)[:2], "MNLI-mm.tsv", ["entailment", "neutral"]),
        ("stsb", "test", np.array([[-0.5], [5.25]]), "STS-B.tsv", ["0.000", "5.000"]),
    ],
)
def test_what_the_leaderboard_takes(
    name: str, split: str, logits: np.ndarray, file: str, answers: list[str], tmp_path: Path
) -> None:
    task = loaded(name, [0, 5] if name == "stsb" else list(range(logits.shape[1])))
    task.save_predicted(split, PredictionOutput(logits, None, {}), tmp_path)
    lines = (tmp_path / file).read_text().splitlines()
    assert lines == ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(answers))]


def loaded(name: str, labels: list[Any]) -> SequenceTask:
    table = Dataset.from_list([{**dict.fromkeys(TASKS[name].text_columns, "a"), "label": label} for label in labels])
    return SequenceTask(find_task(name), ExampleArguments(), DatasetDict(train=table, validation=table))
