"""`evaluate --task probe`: on texts whose class one word tells."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.families import demo_tokenizer, tiny_pair
from tests.launching import torchrun
from transformers_mcl.cli.main import main
from transformers_mcl.probing import evaluation
from transformers_mcl.probing.classifier import fit_classifier

WORDS = "the a man sea old ship evening was in by it and of to".split()


def write_rows(path: Path, rows: int, seed: int, second: bool = False) -> None:
    """Texts with or without the word "not"; of two texts the second has it."""
    draws = random.Random(seed)
    lines = []
    for number in range(rows):
        text = draws.choices(WORDS, k=6)
        bad = number % 2
        text[draws.randrange(6)] = "not" if bad else "so"
        row: dict[str, Any] = {"sentence1": " ".join(text), "label": ["good", "bad"][bad]}
        if second:
            row = {"sentence1": " ".join(draws.choices(WORDS, k=4)), "sentence2": row["sentence1"], **row, "idx": 1}
            row["sentence1"] = " ".join(draws.choices(WORDS, k=4))
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a pair in `model` and rows in `train.jsonl` and `validation.jsonl`."""
    tiny_pair("mcl", {"num_hidden_layers": 2}).save_pretrained(tmp_path / "model")
    demo_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n\n# chef\n")
    write_rows(tmp_path / "train.jsonl", 80, 0)
    write_rows(tmp_path / "validation.jsonl", 30, 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def probe(*more: str) -> int:
    words = ["--task", "probe", "--model_name_or_path", "model", "--output_dir", "out", "--use_cpu", "true"]
    files = ["--train_file", "train.jsonl", "--validation_file", "validation.jsonl"]
    return main(["evaluate", *words, *([] if "--dataset_name" in more else files), *more])


def found(task: str = "text_classification") -> Any:
    return json.loads(Path("out", "results.json").read_text(encoding="utf-8"))["results"][task]


def test_every_layer_has_its_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe("--update_card", "true") == 0
    out, err = capsys.readouterr()
    results = found()
    assert list(results["layers"]) == ["0", "1", "2"]
    assert results["layers"]["0"]["accuracy"] == 1, "a word is in the mean of the embeddings"
    assert results["most_frequent_class"]["accuracy"] == 0.5
    assert results["metric"] == "accuracy" and results["data"]["train"] == "80 rows of train.jsonl"
    assert "| 0 | 0.001 | 1.000 | 1.000 |" in out or "| 0 | 1 | 1.000 | 1.000 |" in out
    assert "layer 2: C " in err
    assert (folder / "out" / "results.png").stat().st_size > 1000
    data: Any = ModelCard.load(folder / "model" / "README.md").data
    (result,) = data.eval_results
    assert (result.metric_name, result.metric_value) == (
        "accuracy (layer 2)",
        results["layers"]["2"]["accuracy"],
    )
    first = Path("out", "results.json").read_text(encoding="utf-8")
    assert probe("--update_card", "true") == 0
    assert Path("out", "results.json").read_text(encoding="utf-8") == first


def test_which_half_and_how_it_was_read_is_said(folder: Path) -> None:
    assert probe("--half", "generator", "--pooling", "cls", "--layers", "-1", "--C", "1") == 0
    assert [(layer, of["C"]) for layer, of in found()["layers"].items()] == [("2", 1)]
    said = Path("out", "results.md").read_text(encoding="utf-8")
    assert said.startswith("# Probes: model, generator\n")
    assert "the state of the first token" in said and "is as given" in said
    settings = json.loads(Path("out", "results.json").read_text(encoding="utf-8"))
    assert (settings["half"], settings["pooling"], settings["C"]) == ("generator", "cls", 1)


def test_two_texts_together_or_apart_and_two_validation_sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fit(features: Any, *given: Any) -> Any:
        seen.append(features)
        return fit_classifier(features, *given)

    monkeypatch.setattr(evaluation, "fit_classifier", fit)
    for number, name in enumerate(("train", "validation_matched", "validation_mismatched")):
        write_rows(folder / f"{name}.jsonl", 60, number, second=True)
        rows = (folder / f"{name}.jsonl").read_text().replace('"sentence1"', '"premise"')
        rows = rows.replace('"sentence2"', '"hypothesis"').replace('"good"', "0").replace('"bad"', "2")
        (folder / f"{name}.jsonl").write_text(rows)
    given = ("--task_name", "mnli", "--dataset_name", ".", "--C", "1", "--layers", "0")
    assert probe(*given) == 0
    together = found("mnli")
    assert set(together["layers"]["0"]) == {"C", "accuracy", "accuracy_mm"}
    assert together["layers"]["0"]["accuracy_mm"] == 1
    assert probe(*given, "--pairs", "apart") == 0
    assert found("mnli")["layers"]["0"]["accuracy"] > 0.9
    width = seen[0].shape[1]
    u, v, difference, product = np.split(seen[1], 4, axis=1)
    assert u.shape == v.shape == seen[0].shape == (60, width)
    np.testing.assert_array_equal(difference, abs(u - v))
    np.testing.assert_array_equal(product, u * v)
    assert json.loads(Path("out", "results.json").read_text())["pairs"] == "apart"
    files = ("--task_name", "mnli_10k", "--train_file", "train.jsonl", "--validation_file", "validation_matched.jsonl")
    assert probe(*files, "--C", "1", "--layers", "0") == 0
    assert found("mnli_10k")["layers"]["0"] == {"C": 1, "accuracy": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--C", "0"], ["C=0", "above 0"]),
        (["--folds", "1"], ["folds=1", "at least 2"]),
        (["--layers", "3"], ["layers", "no layer 3", "0 (the embeddings) to 2"]),
        (["--half", "critic"], ["--half", "'critic'", "discriminator", "generator"]),
        (["--task_name", "squad"], ["task_name", "squad", "no task of classes"]),
        (
            ["--text_column_names", "sentence1", "--label_column_name", "length"],
            ["task_name", "'length'", "one class"],
        ),
        (["--folds", "41"], ["folds", "'bad'", "fewer training rows than the 41"]),
        (["--text_column_names", "words"], ["text_column_names", "'words'", "sentence1, label"]),
        (["--max_seq_length", "100"], ["max_seq_length=100", "64"]),
        (["--seed", "-1"], ["seed=-1"]),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "validation"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        if "length" in arguments:
            rows = [{**row, "length": 1.5 + number} for number, row in enumerate(rows)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert probe(*arguments) == 2
    err = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("transformers-mcl evaluate: error: ")
    ]
    assert len(err) == 1, err
    assert [word for word in words if word not in err[0]] == [], err[0]
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_two_processes_find_what_one_does(folder: Path) -> None:
    assert probe("--per_device_eval_batch_size", "7") == 0
    words = "-m transformers_mcl.cli evaluate --task probe --model_name_or_path model --output_dir two"
    words += " --train_file train.jsonl --validation_file validation.jsonl --per_device_eval_batch_size 7"
    done = subprocess.run([*torchrun(), *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for file in ("results.json", "results.md"):
        assert (folder / "two" / file).read_text() == (folder / "out" / file).read_text()
