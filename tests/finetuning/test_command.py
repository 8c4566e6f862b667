"""The command whole: what it learns, leaves, skips and refuses."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    Trainer,
    pipeline,
)

from transformers_mcl import MclConfig, MclForMaskedLM, MclForPreTraining, MclForSequenceClassification
from transformers_mcl.cli.main import main

Command = Callable[..., list[str]]
Write = Callable[..., str]
Refused = Callable[[list[str]], str]
Reviews = Callable[[int, int], list[dict[str, Any]]]


def results(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
    return found


def test_a_task_is_learnt_and_leaves_a_model(
    command: Command,
    glue_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    rates: list[list[float]] = []
    train = Trainer.train

    def watch(self: Any, *args: Any, **kwargs: Any) -> Any:
        done = train(self, *args, **kwargs)
        rates.append(sorted({group["initial_lr"] for group in self.optimizer.param_groups}))
        return done

    monkeypatch.setattr(Trainer, "train", watch)
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--num_train_epochs", "12")
    words += ["--eval_strategy", "epoch", "--logging_steps", "4"]
    assert main([*words, "--learning_rate", "5e-3", "--layerwise_learning_rate_decay", "0.9"]) == 0
    said, bars = capfd.readouterr()
    assert re.search(r"^eval (\d+)/\1  loss [\d.e-]+  accuracy 1$", said, re.MULTILINE) and "{" not in said
    assert "it/s" not in bars and "examples/s" not in bars
    (entry,) = results(tmp_path)["summary"]
    assert entry["metrics"]["accuracy"]["median"] == 1
    out = tmp_path / "out"
    assert not [path for path in out.iterdir() if path.suffix in (".bin", ".pt", ".tmp")]
    classify = pipeline("text-classification", model=str(out), device="cpu")
    assert [found["label"] for found in classify(["film was good", "plot was bad"])] == [
        "positive",
        "negative",
    ]
    # Embeddings, two layers and, above the place of the encoder's own head, the task's.
    assert rates == [pytest.approx([5e-3 * 0.9**power for power in (4, 3, 2, 0)])]
    card = ModelCard.load(out / "README.md")
    assert card.data.eval_results[0].metric_value == 1
    assert card.data.eval_results[0].dataset_name == "sst2/validation.jsonl"
    assert str(tmp_path) not in card.content
    assert main([*words, "--learning_rate", "5e-3", "--layerwise_learning_rate_decay", "0.9"]) == 0


def test_a_killed_sweep_goes_on(
    command: Command,
    glue_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("sweep: {learning_rate: [1e-3, 2e-3]}\ntask_name: [sst2, cola]\nnum_seeds: 2\n")
    words = command("--config", str(recipe), "--dataset_name", glue_folder, "--max_train_samples", "8")
    trained: list[str] = []
    train = Trainer.train

    def stop_at_fourth(self: Any, *args: Any, **kwargs: Any) -> Any:
        trained.append(f"{self.args.seed} {self.args.learning_rate}")
        if len(trained) == 4:
            raise KeyboardInterrupt
        return train(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train", stop_at_fourth)
    assert main(words) == 130
    assert len(results(tmp_path)["runs"]) == 3
    assert main(words) == 0
    assert trained[:4] == ["42 0.001", "43 0.001", "42 0.002", "43 0.002"]
    assert trained[4:] == ["43 0.002", *trained[:4]]  # the one that was cut off, then the other task
    summary = results(tmp_path)["summary"]
    assert [(entry["task"], entry["settings"]["learning_rate"]) for entry in summary] == [
        ("sst2", 1e-3), ("sst2", 2e-3), ("cola", 1e-3), ("cola", 2e-3),
    ]  # fmt: skip
    assert all(entry["seeds"] == [42, 43] for entry in summary)
    kept = [path.parent for path in (tmp_path / "out").rglob("model.safetensors")]
    assert sorted(kept) == [tmp_path / "out" / task / "best" for task in ("cola", "sst2")]
    assert "weight_decay not given, which is now 0.2" in refused([*words, "--weight_decay", "0.2"])


def test_the_best_of_a_sweep_stays_the_best_when_the_sweep_grows(
    command: Command, glue_folder: str, tmp_path: Path
) -> None:
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--num_train_epochs", "8", "--sweep")
    assert main([*words, '{"learning_rate": [5e-3, 1e-9]}']) == 0
    assert main([*words, '{"learning_rate": [1e-8, 5e-3, 1e-9]}']) == 0  # the new one comes first
    best = tmp_path / "out" / "sst2" / "best"
    assert "learning_rate: 0.005" in (best / "recipe.yaml").read_text()
    card = ModelCard.load(best / "README.md")
    assert "Of 3 runs this is the one with the highest accuracy" in card.text
    assert "| sst2 | **accuracy** | 1.0000 | 1.0000 | 1.0000 | 1.0000 | 1 | learning_rate 0.005 |" in card.text
    assert (best / "results.png").exists() and (best / "curves.png").exists()
    classify = pipeline("text-classification", model=str(best), device="cpu")
    assert classify("film was good")[0]["label"] == "positive"


def test_other_data_or_weights_are_another_run(
    command: Command,
    bert: str,
    write: Write,
    tmp_path: Path,
    refused: Refused,
    reviews: Reviews,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, train = tmp_path / "model", write("train.jsonl", reviews(8, 0))
    shutil.copytree(bert, model)
    words = command("--train_file", train, "--validation_file", train, "--model_name_or_path", str(model))
    assert main(words) == 0
    moved = tmp_path / "moved"
    model.rename(moved)
    again = [*words, "--model_name_or_path", str(moved)]
    assert main(again) == 0
    assert "done already" in capsys.readouterr().out
    write("train.jsonl", reviews(8, 1))
    assert re.search(r"of a run with data 8, \w+, which is now 8, \w+: choose", refused(again))
    write("train.jsonl", reviews(8, 0))
    other: Any = BertModel.from_pretrained(moved)
    other.encoder.layer[0].output.dense.bias.data[0] += 1
    other.save_pretrained(moved)
    assert "of a run with weights of the model" in refused(again)


def test_one_step_has_one_gradient(command: Command, glue_folder: str, tmp_path: Path) -> None:
    weights = []
    for batch, accumulated in ((8, 1), (2, 4)):
        words = ["--per_device_train_batch_size", str(batch), "--gradient_accumulation_steps", str(accumulated)]
        words += ["--max_steps", "2", "--learning_rate", "1e-2", "--max_grad_norm", "0", "--optim", "sgd"]
        out = tmp_path / f"{batch}"
        words += ["--task_name", "sst2", "--dataset_name", glue_folder, "--output_dir", str(out)]
        assert main(command(*words)) == 0
        weights.append(AutoModelForSequenceClassification.from_pretrained(out).state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)


def test_both_validation_sets_of_mnli(command: Command, glue_folder: str, tmp_path: Path) -> None:
    assert main(command("--task_name", "mnli", "--dataset_name", glue_folder)) == 0
    metrics = results(tmp_path)["summary"][0]["metrics"]
    assert {"accuracy", "accuracy_mm", "loss", "loss_mm"} == set(metrics)


def test_the_best_checkpoint_is_by_the_main_metric(
    command: Command, glue_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []
    train = Trainer.train

    def watch(self: Any, *args: Any, **kwargs: Any) -> Any:
        chosen.append((self.args.metric_for_best_model, self.args.greater_is_better))
        done = train(self, *args, **kwargs)
        assert self.state.best_model_checkpoint
        return done

    monkeypatch.setattr(Trainer, "train", watch)
    best = ["--load_best_model_at_end", "true", "--eval_strategy", "epoch", "--save_strategy", "epoch"]
    words = command("--task_name", "mnli", "--dataset_name", glue_folder, *best)
    for metric in ([], ["--metric_for_best_model", "loss"], ["--metric_for_best_model", "accuracy_mm"]):
        assert main([*words, *metric, "--overwrite_output_dir", "true"]) == 0
    assert chosen == [("matched_accuracy", True), ("matched_loss", False), ("mismatched_accuracy", True)]


def test_a_run_that_diverges_says_so(
    command: Command, glue_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--learning_rate", "1e38", "--max_grad_norm", "0", "--optim", "sgd", "--num_train_epochs", "3"]
    assert main(command("--task_name", "sst2", "--dataset_name", glue_folder, *words)) == 2
    captured = capsys.readouterr()
    assert "it diverged" in captured.out
    assert "sst2: 1 of 1 runs diverged" in (tmp_path / "out" / "results.md").read_text()
    assert "every run of sst2 diverged, and none is the best" in captured.err
    (entry,) = results(tmp_path)["summary"]
    assert (entry["diverged"], entry["best"], entry["metrics"]) == (1, False, {})
    assert not (tmp_path / "out" / "config.json").exists()


def test_unlabelled_examples_are_predicted(command: Command, write: Write, tmp_path: Path, reviews: Reviews) -> None:
    train, tests = write("train.jsonl", reviews(48, 0)), reviews(10, 3)
    unlabelled = write("test.jsonl", [{"sentence": row["sentence"], "label": -1} for row in tests])
    files = [
        "--train_file",
        train,
        "--validation_file",
        train,
        "--test_file",
        unlabelled,
        "--max_predict_samples",
        "9",
    ]
    words = command("--task_name", "sst2", *files, "--num_train_epochs", "12", "--learning_rate", "5e-3")
    assert main(words) == 0
    lines = (tmp_path / "out" / "predict_results_sst2.txt").read_text().splitlines()
    names = ["negative", "positive"]
    assert lines == ["index\tprediction", *(f"{i}\t{names[row['label']]}" for i, row in enumerate(tests[:9]))]


def test_a_file_is_predicted_beside_a_data_set(
    command: Command, glue_folder: str, write: Write, tmp_path: Path, reviews: Reviews
) -> None:
    tests = ["--test_file", write("mine.jsonl", reviews(2, 5))]
    assert main(command("--task_name", "sst2", "--dataset_name", glue_folder, *tests, "--max_steps", "1")) == 0
    assert len((tmp_path / "out" / "predict_results_sst2.txt").read_text().splitlines()) == 1 + 2


def test_a_pair_pre_trained_by_us(command: Command, tokenizer: Any, write: Write, tmp_path: Path) -> None:
    """Regression from CSV, its encoder the discriminator's."""
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "embedding_size": 16}
    shape |= {"generator_hidden_size": 16, "generator_num_hidden_layers": 1, "generator_intermediate_size": 16}
    pair = MclForPreTraining(MclConfig.tiny(vocab_size=len(tokenizer), mask_token_id=4, **shape))
    pair.save_pretrained(tmp_path / "pair")
    tokenizer.save_pretrained(tmp_path / "pair")
    rows = "text,other,label\n" + "".join(f"the film {i},fine,{i / 2}\n" for i in range(8))
    with gzip.open(tmp_path / "rows.csv.gz", "wt") as file:
        file.write(rows)
    files = ["--train_file", str(tmp_path / "rows.csv.gz"), "--validation_file", str(tmp_path / "rows.csv.gz")]
    words = command(*files, "--model_name_or_path", str(tmp_path / "pair"), "--learning_rate", "0")
    assert main([*words, "--lr_scheduler_type", "constant"]) == 0
    assert {"spearmanr", "pearson", "mse"} <= set(results(tmp_path)["summary"][0]["metrics"])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert isinstance(model, MclForSequenceClassification)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    key = "embeddings.word_embeddings.weight"
    assert torch.equal(model.electra.state_dict()[key], pair.electra.state_dict()[key])


def test_what_is_refused(
    command: Command,
    bert: str,
    glue_folder: str,
    tokenizer: Any,
    write: Write,
    tmp_path: Path,
    refused: Refused,
) -> None:
    assert "unknown task 'colla'; did you mean cola? the tasks are cola, sst2" in refused(
        command("--task_name", "colla")
    )
    assert re.search(r"'nyu-mll/glue' \(rte\) cannot be had here.*--train_file and --validation_file", refused(
        command("--task_name", "rte")
    ))  # fmt: skip
    train = write("train.jsonl", [{"text": "good", "kind": "x"}, {"text": "bad", "kind": "y"}])
    new = write("new.jsonl", [{"text": "good", "kind": "z"}])
    files = ["--train_file", train, "--validation_file", new]
    assert "no column 'label', only text, kind" in refused(command(*files))
    assert "holds 'z', not one of x, y, the labels in training" in refused(
        command(*files, "--label_column_name", "kind")
    )
    assert "no column 'txt', only text, kind" in refused(
        command(*files, "--label_column_name", "kind", "--text_column_names", "txt")
    )
    sst2 = ["--task_name", "sst2", "--dataset_name", glue_folder]
    assert "max_seq_length=99 is more than the 64" in refused(command(*sst2, "--max_seq_length", "99"))
    assert "sweep: 'lr' is no training argument" in refused(command(*sst2, "--sweep", '{"lr": [1]}'))
    rows = [{"question": "who", "context": "bob", "answers": {"text": ["bob"], "answer_start": [0]}}]
    squad = [
        "--task_name",
        "squad",
        "--train_file",
        (rows_file := write("q.jsonl", rows)),
        "--validation_file",
        rows_file,
    ]
    smoothed = ["--label_smoothing_factor", "0.1"]
    assert "label_smoothing_factor=0.1 is of tasks with one class out of several" in refused(
        command(*squad, "--doc_stride", "4", *smoothed)
    )
    assert "has no train.jsonl" in refused(command("--task_name", "rte", "--dataset_name", glue_folder))
    sweep = [*sst2, "--sweep"]
    assert "learning_rate cannot be 'abc': its default is 2e-05" in refused(
        command(*sweep, '{"learning_rate": [1e-3, "abc"]}')
    )
    assert "cannot be 1.5" in refused(command(*sweep, '{"per_device_train_batch_size": [1.5]}'))
    best = ["--load_best_model_at_end", "true", "--eval_strategy", "epoch", "--save_strategy"]
    assert "needs --save_strategy epoch" in refused(command(*sst2, *best, "no"))
    assert "='acc' is none of sst2: give one of accuracy, loss" in refused(
        command(*sst2, *best, "epoch", "--metric_for_best_model", "acc")
    )
    assert "has no head for sst2" in refused(command(*sst2, "--do_train", "false"))
    classifier = str(tmp_path / "classifier")
    shape = BertConfig.from_pretrained(bert, id2label={0: "good", 1: "bad"})
    BertForSequenceClassification(shape).save_pretrained(classifier)
    tokenizer.save_pretrained(classifier)
    assert "has the classes good, bad, but the data have negative, positive" in refused(
        command(*sst2, "--do_train", "false", "--model_name_or_path", classifier)
    )
    assert "is of one run, and these are 2" in refused(
        command(*sst2, "--num_seeds", "2", "--resume_from_checkpoint", "checkpoint-3")
    )
    config = MclConfig.tiny(vocab_size=len(tokenizer), num_hidden_layers=1, generator_num_hidden_layers=1)
    MclForMaskedLM(config).save_pretrained(tmp_path / "generator")
    tokenizer.save_pretrained(tmp_path / "generator")
    line = refused(command(*sst2, "--model_name_or_path", str(tmp_path / "generator")))
    assert "a generator alone" in line
    assert "of another shape than mnli needs: give --ignore_mismatched_sizes" in refused(
        command("--task_name", "mnli", "--dataset_name", glue_folder, "--model_name_or_path", classifier)
    )
    assert "no_such" in refused(command(*sst2, "--model_name_or_path", str(tmp_path / "no_such")))
    assert not (tmp_path / "out").exists()
