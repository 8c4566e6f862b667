"""Where examples come from: splits by any of their usual names, or made; which are needed for what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from transformers_mcl.cli.main import main
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import find_task
from transformers_mcl.finetuning.arguments import TaskArguments
from transformers_mcl.finetuning.loading import Wanted, load_task

from .conftest import make_reviews

Command = Callable[..., list[str]]
TASK = find_task("text_classification")


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_the_usual_names_of_splits(name: str, write: Any, tmp_path: Path) -> None:
    for split, count in {"train": 8, f"{name}-v2.0": 4, "test": 2}.items():
        write(f"data/{split}.jsonl", make_reviews(count, 0))
    task = load_task(TASK, TaskArguments(dataset_name=str(tmp_path / "data")), Wanted(predict=True))
    assert {split: len(table) for split, table in task.tables.items()} == {"train": 8, "validation": 4, "test": 2}
    assert task.sources["validation"].place == f"data/{name}-v2.0.jsonl"


def test_both_sets_of_mnli_by_other_names(write: Any, tmp_path: Path) -> None:
    rows = [{"premise": "film", "hypothesis": "plot", "label": i % 3} for i in range(6)]
    for split in ("train", "dev_matched", "dev_mismatched"):
        write(f"mnli/{split}.jsonl", rows)
    task = load_task(find_task("mnli"), TaskArguments(dataset_name=str(tmp_path / "mnli")))
    assert task.validations == ["validation_matched", "validation_mismatched"]


def test_one_set_of_mnli_is_the_matched_one(write: Any, tmp_path: Path) -> None:
    for split, count in {"train": 6, "dev": 3, "test": 2}.items():
        rows = [{"premise": "film", "hypothesis": "plot", "label": i % 3} for i in range(count)]
        write(f"mnli/{split}.jsonl", rows)
    task = load_task(find_task("mnli"), TaskArguments(dataset_name=str(tmp_path)), Wanted(predict=True))
    assert {split: len(table) for split, table in task.tables.items()} == {
        "train": 6,
        "validation_matched": 3,
        "test_matched": 2,
    }


@pytest.mark.parametrize("as_repository", [False, True])
def test_folders_that_datasets_reads(as_repository: bool, tmp_path: Path) -> None:
    splits = {"train": make_reviews(8, 0), "dev" if not as_repository else "validation": make_reviews(4, 1)}
    if as_repository:
        for split, rows in splits.items():
            Dataset.from_list(rows).to_parquet(tmp_path / "data" / "data" / f"{split}-00000-of-00001.parquet")
    else:
        DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()}).save_to_disk(tmp_path / "data")
    task = load_task(TASK, TaskArguments(dataset_name=str(tmp_path / "data")))
    assert {split: len(table) for split, table in task.tables.items()} == {"train": 8, "validation": 4}
    assert task.sources["train"].place == "data, split train"
    assert str(tmp_path) not in str(task.sources)


def test_a_validation_set_is_kept_of_the_training_rows(write: Any, tmp_path: Path) -> None:
    rows = [{"text": f"film {i}", "label": "ab"[i % 10 == 0]} for i in range(40)]
    args = TaskArguments(train_file=[write("train.jsonl", rows)], validation_split_percentage=25)
    task, again, other = (load_task(TASK, args, Wanted(seed=seed)) for seed in (1, 1, 2))
    kept, same, others = (set(each.tables["validation"]["text"]) for each in (task, again, other))
    assert kept == same != others
    assert Counter(task.tables["validation"]["label"]) == {"a": 9, "b": 1}  # each class's share
    assert not kept & set(task.tables["train"]["text"])
    assert len(task.tables["train"]) == 30
    assert task.sources["validation"].place == "train.jsonl (25 %)"
    scores = [{"text": f"film {i}", "label": i / 2} for i in range(10)]
    args = TaskArguments(train_file=[write("scores.jsonl", scores)], validation_split_percentage=30)
    assert len(load_task(TASK, args).tables["validation"]) == 3
    with pytest.raises(UserError, match="must be above 0 and below 100"):
        TaskArguments(validation_split_percentage=100)


def test_without_a_validation_set_nothing_is_evaluated(
    command: Command, write: Any, tmp_path: Path, refused: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command("--train_file", write("train.jsonl", make_reviews(8, 0)))
    assert "no validation data for text_classification" in refused([*words, "--do_eval", "true"])
    assert "sweep: text_classification has no examples to choose by" in refused(
        [*words, "--sweep", '{"learning_rate": [1e-3]}']
    )
    assert main([*words, "--eval_strategy", "epoch"]) == 0
    assert "none to evaluate on" in capsys.readouterr().out
    (run,) = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    assert (run["metrics"], run["steps"]) == ({}, 1)
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert main([*words, "--eval_strategy", "epoch"]) == 0
    assert "done already" in capsys.readouterr().out


def test_a_model_predicts_or_is_evaluated_without_training_data(
    command: Command, glue_folder: str, write: Any, tmp_path: Path, refused: Any
) -> None:
    learnt = ["--task_name", "sst2", "--dataset_name", glue_folder, "--num_train_epochs", "12"]
    assert main(command(*learnt, "--learning_rate", "5e-3")) == 0
    rows, model = make_reviews(6, 5), str(tmp_path / "out")
    names = ["negative", "positive"]
    test = write("test.jsonl", [{"sentence": row["sentence"]} for row in rows])
    untrained = ["--model_name_or_path", model, "--do_train", "false"]
    predicts = [*untrained, "--do_predict", "true", "--output_dir", str(tmp_path / "predicted")]
    assert "do_predict needs the examples to predict" in refused(command(*predicts, "--validation_file", test))
    assert main(command(*predicts, "--test_file", test)) == 0
    lines = (tmp_path / "predicted" / "predict_results_text_classification.txt").read_text().splitlines()
    assert lines[1:] == [f"{i}\t{names[row['label']]}" for i, row in enumerate(rows)]
    found = [json.loads(line) for line in (tmp_path / "predicted").glob("*.jsonl").__next__().open()]
    assert [max(row, key=row.get) for row in found] == [names[row["label"]] for row in rows]
    assert all(sum(row.values()) == pytest.approx(1) for row in found)
    assert not (tmp_path / "predicted" / "model.safetensors").exists()
    only_one = write("dev.jsonl", [{"sentence": row["sentence"], "label": "positive"} for row in rows if row["label"]])
    evaluates = [*untrained, "--do_eval", "true", "--output_dir", str(tmp_path / "evaluated")]
    assert main(command(*evaluates, "--validation_file", only_one)) == 0
    (run,) = json.loads((tmp_path / "evaluated" / "results.json").read_text())["runs"]
    assert (run["metrics"]["accuracy"], run["steps"]) == (1, 0)
    assert "nothing to do" in refused(command(*untrained, "--do_eval", "false"))


@pytest.mark.parametrize(
    "layout",
    [
        {"train": "data/mnli/train.jsonl", "validation": "data/mnli/validation.jsonl"},
        {"train": "data/mnli_10k/train.json", "validation": "data/mnli_10k/dev.json", "GLUE's": "data/mnli/dev.json"},
        {"train": "data/mnli.train.jsonl", "validation": "data/mnli.valid.jsonl", "QQP's": "data/qqp.train.jsonl"},
        {"train": "data/train.jsonl", "validation": "data/validation.jsonl", "no split": "data/mnli.jsonl"},
    ],
)
def test_folders_of_the_tasks_with_ten_thousand_rows(layout: dict[str, str], write: Any, tmp_path: Path) -> None:
    for split, path in layout.items():
        write(path, [{"premise": split, "hypothesis": "film", "label": i % 3, "idx": i} for i in range(6)])
    task = load_task(find_task("mnli_10k"), TaskArguments(dataset_name=str(tmp_path / "data")))
    assert {split: table.unique("premise") for split, table in task.tables.items()} == {
        split: [split] for split in ("train", "validation")
    }
    assert task.classes == ["entailment", "neutral", "contradiction"]
    assert task.metric_names == ("accuracy",)
    assert task.suffix("validation") == ""


def test_a_task_of_ten_thousand_rows_takes_no_more(write: Any) -> None:
    row = {"question1": "who ?", "question2": "where ?"}
    file = write("train.jsonl", [{**row, "label": i % 2} for i in range(10_002)])
    given = [TaskArguments(train_file=[file], max_train_samples=most) for most in (None, 10_001, 4)]
    found = [load_task(find_task("qqp_10k"), args, Wanted(evaluate=False)) for args in given]
    assert [len(task.tables["train"]) for task in found] == [10_000, 10_001, 4]
    assert str(found[0].sources["train"]) == "the first 10,000 of 10,002 rows of train.jsonl"


@pytest.mark.parametrize("files", [(), ("train",), ("validation",)])
def test_where_files_come_from_is_said(files: tuple[str, ...], write: Any) -> None:
    rows = [{"question1": "who ?", "question2": "where ?", "label": i % 2} for i in range(4)]
    given: Any = {f"{split}_file": [write(f"{split}.jsonl", rows)] for split in files}
    with pytest.raises(UserError, match=r"data for qqp_10k: give --.*; its files are qqp\.train\.jsonl and .*osf\.io"):
        load_task(find_task("qqp_10k"), TaskArguments(**given))
