"""The Trainer of tasks: what concerns training's batches only, weights of classes, an early stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertTokenizer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from transformers_mcl.cli.main import main
from transformers_mcl.errors import UserError
from transformers_mcl.finetuning import SequenceTask, find_task
from transformers_mcl.finetuning.arguments import FinetuningArguments
from transformers_mcl.finetuning.example_arguments import ExampleArguments
from transformers_mcl.finetuning.trainer import TaskLinesCallback, TaskTrainer
from transformers_mcl.training import curves

from .conftest import make_reviews

Command = Callable[..., list[str]]


def results(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
    return found


def test_what_is_of_trainings_batches_is_not_of_evaluations(command: Command, write: Any, tmp_path: Path) -> None:
    """Fewer rows than a batch are all counted, and predictions stand in the order of their rows."""
    rows = make_reviews(9, 1)
    train, validation = write("train.jsonl", make_reviews(48, 0)), write("validation.jsonl", rows)
    long = [{"sentence": row["sentence"] + " the" * (i % 3)} for i, row in enumerate(rows)]
    words = command("--train_file", train, "--validation_file", validation, "--test_file", write("test.jsonl", long))
    batches = ["--dataloader_drop_last", "true", "--per_device_eval_batch_size", "16"]
    batches += ["--train_sampling_strategy", "group_by_length"]
    assert main([*words, *batches, "--learning_rate", "5e-3", "--num_train_epochs", "12"]) == 0
    (entry,) = results(tmp_path)["summary"]
    assert entry["metrics"]["accuracy"]["median"] == 1
    lines = (tmp_path / "out" / "predict_results_text_classification.txt").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == [str(row["label"]) for row in rows]


def weighted(asked: str, bert: str, tmp_path: Path, labels: str = "aaab") -> tuple[TaskTrainer, dict[str, Any]]:
    table = Dataset.from_list([{"text": f"film {i}", "label": label} for i, label in enumerate(labels)])
    task = SequenceTask(find_task("text_classification"), ExampleArguments(), DatasetDict(train=table))
    model = AutoModelForSequenceClassification.from_pretrained(bert, **task.model_fields)
    args = FinetuningArguments(str(tmp_path), use_cpu=True, eval_strategy="no", class_weights=asked, bf16=False)
    task.check_arguments(args)
    ids = torch.arange(5, 13).reshape(4, 2)
    return TaskTrainer(task, model, args), {"input_ids": ids, "labels": torch.tensor([0, 0, 0, 1])}


def test_weights_of_classes_are_of_training_only(bert: str, tmp_path: Path) -> None:
    trainer, batch = weighted("balanced", bert, tmp_path)
    model: Any = trainer.model
    assert trainer.task.class_weights("balanced") == pytest.approx([4 / 6, 2.0])
    with torch.no_grad():
        losses = nn.functional.cross_entropy(model(batch["input_ids"]).logits, batch["labels"], reduction="none")
    model.eval()
    assert trainer.compute_loss(model, batch).item() == pytest.approx(losses.mean().item())
    model.train()
    expected = float((losses * torch.tensor([4 / 6, 4 / 6, 4 / 6, 2])).sum() / 4)
    assert trainer.compute_loss(model, batch).item() == pytest.approx(expected)
    assert trainer.task.class_weights('{"b": 3}') == [1, 3]
    for wrong, says in (
        ('{"c": 3}', "'c': 3 is no"),
        ('{"a": 0}', "'a': 0 is no"),
        ("often", "must be balanced"),
    ):
        with pytest.raises(UserError, match=says):
            trainer.task.class_weights(wrong)


def test_what_is_no_class_out_of_several_has_no_weights_and_no_smoothing(tmp_path: Path) -> None:
    table = Dataset.from_list([{"text": "film", "label": 0.5}, {"text": "plot", "label": 1.5}])
    task = SequenceTask(find_task("text_classification"), ExampleArguments(), DatasetDict(train=table))
    for wrong in ({"label_smoothing_factor": 0.1}, {"class_weights": "balanced"}):
        args = FinetuningArguments(str(tmp_path), use_cpu=True, **wrong)
        with pytest.raises(UserError, match="of tasks with one class out of several"):
            task.check_arguments(args)


EXAMPLES: dict[str, dict[str, Any]] = {
    "text_classification": {"text": "the film was good", "label": "a"},
    "regression": {"text": "the film", "label": 0.5},
    "token_classification": {"tokens": ["anna", "in", "rome"], "ner_tags": ["B", "O", "B"]},
    "squad_v2": {"question": "who ?", "context": "bob was in rome", "answers": {"text": ["bob"], "answer_start": [0]}},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_loss_of_an_evaluation_is_the_mean_over_examples(
    name: str, bert: str, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    """Whatever number of them a batch has, and whatever it fills the shorter ones up with."""
    example, definition = EXAMPLES[name], find_task(name)
    longer = [column for column in ("text", "tokens", "ner_tags", "context") if column in example]
    rows = [{**example, **{column: example[column] * (1 + i % 3) for column in longer}} for i in range(7)]
    rows[0] |= {"label": "b" if name == "text_classification" else 1.5}
    table = Dataset.from_list(rows)
    stride = ExampleArguments(doc_stride=4 if name == "squad_v2" else None)
    task = definition.kind(definition, stride, DatasetDict(train=table, validation=table))
    torch.manual_seed(1)
    model = task.auto.from_pretrained(bert, **task.model_fields).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5)  # or all answers are about as likely
    losses = []
    for size in (1, 3, 7):
        args = FinetuningArguments(str(tmp_path), use_cpu=True, per_device_eval_batch_size=size, bf16=False)
        encoded = task.encode("validation", tokenizer, 32)
        trainer = TaskTrainer(task, model, args, eval_dataset=encoded, data_collator=task.collator(tokenizer, None))
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-5)
    with torch.no_grad():
        each = [model(**task.collator(tokenizer, None)([row])).loss.item() for row in encoded]
    if name == "token_classification":  # the mean is over tags
        each = [loss for loss, row in zip(each, rows, strict=True) for _ in row["tokens"]]
    assert losses[0] == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_what_gets_no_better_is_stopped(command: Command, glue_folder: str, refused: Any, tmp_path: Path) -> None:
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--early_stopping_patience", "2")
    assert "early_stopping_patience needs evaluations on the way" in refused(words)
    still = ["--eval_strategy", "epoch", "--learning_rate", "0", "--num_train_epochs", "9"]
    assert main([*words, *still, "--max_train_samples", "8"]) == 0
    assert results(tmp_path)["runs"][0]["steps"] == 3  # one that was the best so far, and two more


def test_one_epoch_has_a_point_in_the_picture(
    command: Command, glue_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    lines = curves._lines

    def watch(*given: Any) -> dict[str, Any]:
        drawn.append(lines(*given))
        return drawn[-1]

    monkeypatch.setattr(curves, "_lines", watch)
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--max_steps", "1")
    assert main([*words, "--eval_strategy", "epoch"]) == 0
    assert drawn and all(len(points) == 1 for found in drawn for prefix, points in found.items() if prefix == "eval_")


def test_a_line_of_one_of_several_validation_sets_is_of_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    args, lines = TrainingArguments(use_cpu=True), TaskLinesCallback()
    state, control = TrainerState(max_steps=10, global_step=5), TrainerControl()
    lines.on_train_begin(args, state, control)
    lines.on_log(args, state, control, {"loss": 0.25, "grad_norm": 1.0, "epoch": 1.0})
    lines.on_log(args, state, control, {"eval_matched_loss": 0.5, "eval_matched_accuracy": 0.75, "epoch": 1.0})
    shown = ["step  5/10  loss 0.25", "eval  5/10  matched_loss 0.5  matched_accuracy 0.75"]
    assert capsys.readouterr().out.splitlines() == shown
