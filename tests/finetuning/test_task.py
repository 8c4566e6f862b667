"""Tasks from outside the package: registered with one call, they are as those that come with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from sklearn.metrics import balanced_accuracy_score

from transformers_mcl import UserError
from transformers_mcl.cli.main import main
from transformers_mcl.finetuning import QuestionAnsweringTask, SequenceTask, Task, TokenTask, find_task, register_task
from transformers_mcl.finetuning.arguments import TaskArguments
from transformers_mcl.finetuning.loading import load_task
from transformers_mcl.finetuning.task import TASKS, task_groups

Command = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(before)


@pytest.fixture
def boolq(write: Any, tmp_path: Path) -> str:
    """Register a task like BoolQ, questions on a passage whose answers are true or false; a folder with its files."""
    register_task(
        Task(
            "boolq_like",
            SequenceTask,
            dataset_name="google/boolq",
            text_columns=("question", "passage"),
            label_column="answer",
            classes=("no", "yes"),
        )
    )
    for split, count in {"train": 24, "validation": 8, "test": 4}.items():
        rows = [
            {
                "question": "who was in rome ?",
                "passage": f"{'bob' if i % 2 else 'the film'} was",
                "answer": bool(i % 2),
            }
            for i in range(count)
        ]
        write(f"boolq/{split}.jsonl", rows)
    return str(tmp_path / "boolq")


def test_a_task_like_boolq(command: Command, boolq: str, tmp_path: Path) -> None:
    words = command("--task_name", "boolq-like", "--dataset_name", boolq, "--do_predict", "true")
    assert main([*words, "--num_train_epochs", "12", "--learning_rate", "1e-2"]) == 0
    out = tmp_path / "out"
    (entry,) = json.loads((out / "results.json").read_text())["summary"]
    assert (entry["task"], entry["main_metric"]) == ("boolq_like", "accuracy")
    assert entry["metrics"]["accuracy"]["median"] == 1
    assert "| boolq_like | **accuracy** | 1.0000 |" in (out / "results.md").read_text()
    card = ModelCard.load(out / "README.md")
    data: Any = card.data
    assert {(r.dataset_name, r.metric_name) for r in data.eval_results} == {
        ("boolq/validation.jsonl", "accuracy"),
        ("boolq/validation.jsonl", "f1"),
        ("boolq/validation.jsonl", "macro_f1"),
    }
    assert "fine-tuned on 24 rows of boolq/train.jsonl, for the task boolq_like" in card.text
    assert '{"text": "one sentence", "text_pair": "and another"}' in card.text
    assert json.loads((out / "config.json").read_text())["id2label"] == {"0": "no", "1": "yes"}
    answers = (out / "predict_results_boolq_like.txt").read_text().splitlines()[1:]
    assert answers == ["0\tno", "1\tyes", "2\tno", "3\tyes"]


def test_figures_of_ones_own(command: Command, boolq: str, tmp_path: Path) -> None:
    def balanced(predictions: Any, references: Any) -> dict[str, float]:
        return {"balanced_accuracy": 100 * balanced_accuracy_score(references, predictions)}

    own: dict[str, Any] = {"text_columns": ("passage",), "label_column": "answer", "classes": ("no", "yes")}
    own |= {"metric_names": ("balanced_accuracy",), "highest": 100, "max_seq_length": 5}
    task = register_task(Task("balanced", SequenceTask, compute_metrics=balanced, **own))
    loaded = load_task(task, TaskArguments(dataset_name=boolq))
    assert (loaded.max_seq_length, task.best_figure, loaded.main_metric) == (5, 100, "balanced_accuracy")
    words = command("--task_name", "balanced", "--dataset_name", boolq)
    assert main([*words, "--num_train_epochs", "12", "--learning_rate", "1e-2"]) == 0
    (entry,) = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    assert entry["metrics"]["balanced_accuracy"]["median"] == 100
    assert set(entry["metrics"]) == {"balanced_accuracy", "loss"}


def test_figures_that_nobody_computes_are_refused_before_training(
    command: Command, boolq: str, refused: Callable[[list[str]], str], tmp_path: Path
) -> None:
    register_task(
        Task(
            "nothing",
            SequenceTask,
            text_columns=("passage",),
            label_column="answer",
            metric_names=("recall",),
            compute_metrics=lambda given, true: {"precision": 1.0},
        )
    )
    line = refused(command("--task_name", "nothing", "--dataset_name", boolq))
    assert "task 'nothing': its compute_metrics gives precision, and no 'recall' as metric_names has" in line
    assert not (tmp_path / "out").exists()


def test_figures_that_the_labels_do_not_have_are_refused(command: Command, write: Any, refused: Any) -> None:
    register_task(Task("grades", SequenceTask, metric_names=("f1",)))
    rows = write("grades.jsonl", [{"text": "film", "label": 0.5}, {"text": "plot", "label": 1.5}])
    line = refused(command("--task_name", "grades", "--train_file", rows, "--validation_file", rows))
    assert "task 'grades': column 'label' holds scores, which have no 'f1'" in line


def test_answers_and_tags_have_the_figures_that_are_asked_for(command: Command, write: Any, tmp_path: Path) -> None:
    register_task(Task("whole_answers", QuestionAnsweringTask, metric_names=("exact",)))
    register_task(Task("sure_tags", TokenTask, metric_names=("precision",)))
    bob = {"text": ["bob"], "answer_start": [0]}
    write("data/whole_answers/train.jsonl", [{"question": "who ?", "context": "bob was in rome", "answers": bob}])
    write("data/sure_tags/train.jsonl", [{"tokens": ["anna", "lives"], "ner_tags": ["B-PER", "O"]}])
    for task in ("whole_answers", "sure_tags"):
        shutil.copy(tmp_path / "data" / task / "train.jsonl", tmp_path / "data" / task / "validation.jsonl")
    words = ["--task_name", "whole_answers", "sure_tags", "--dataset_name", str(tmp_path / "data"), "--max_steps", "1"]
    assert main(command(*words, "--doc_stride", "4")) == 0
    summary = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    assert [list(entry["metrics"]) for entry in summary] == [["exact", "loss"], ["precision", "loss"]]


def test_numbers_of_tags_and_several_tasks_of_one_group(command: Command, write: Any, tmp_path: Path) -> None:
    for name in ("people", "places"):
        register_task(Task(name, TokenTask, classes=("O", f"B-{name}"), label_column="kinds", group="names"))
        for split in ("train", "validation"):
            rows = [{"tokens": ["anna", "lives"], "kinds": [1, 0]}] * 8
            write(f"names/{name}/{split}.jsonl", rows)
    assert TaskArguments(task_name=["names"]).task_name == ["people", "places"]
    words = ["--task_name", "names", "--dataset_name", str(tmp_path / "names"), "--num_train_epochs", "9"]
    assert main(command(*words, "--learning_rate", "1e-2")) == 0
    summary = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    assert [(entry["task"], entry["metrics"]["f1"]["median"]) for entry in summary] == [("people", 1), ("places", 1)]


def test_unknown_names_are_answered_with_the_nearest(refused: Callable[[list[str]], str], command: Command) -> None:
    assert "task_name: unknown task 'sst_3'; did you mean sst2? the tasks are cola, sst2," in refused(
        command("--task_name", "sst-3")
    )
    with pytest.raises(UserError, match=r"task_name: unknown task 'gleu'; did you mean glue\?"):
        TaskArguments(task_name=["gleu"])
    with pytest.raises(UserError, match=r"unknown task 'squat'; did you mean squad\? .*, squad_v2, glue$"):
        find_task("squat")


def test_what_is_no_task() -> None:
    with pytest.raises(UserError, match="task 'cola' is there already"):
        register_task(Task("cola", SequenceTask))
    with pytest.raises(UserError, match="task 'BoolQ': a name is of small letters"):
        register_task(Task("BoolQ", SequenceTask))
    with pytest.raises(UserError, match="SequenceTask has no metric 'recall', only accuracy, f1,"):
        Task("mine", SequenceTask, metric_names=("recall",))
    with pytest.raises(UserError, match="name the figures of compute_metrics as metric_names"):
        Task("mine", SequenceTask, compute_metrics=lambda given, true: {})
    with pytest.raises(UserError, match="each with another ending of its figures"):
        Task("mine", QuestionAnsweringTask, validations={"validation_a": "", "validation_b": ""})
    task = register_task(Task("cola", SequenceTask, classes=("a", "b")), replace=True)
    assert find_task("cola") is task and "cola" not in task_groups()["glue"]
