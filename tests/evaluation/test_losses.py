"""`evaluate --task losses`: what pre-training says of held-out text, said again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.families import save_encoder
from tests.small_text import write_text_and_tokenizer
from transformers_mcl.cli.main import main

SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text, a tokenizer made from it, and a pair pre-trained on it, in `run`."""
    folder = write_text_and_tokenizer(tmp_path_factory.mktemp("losses"))
    words = ["--train_file", str(folder / "text.txt"), "--tokenizer_name", str(folder / "tokenizer")]
    words += ["--preset", "tiny", "--config_overrides", SMALL, "--max_seq_length", "16", "--max_steps", "2"]
    words += ["--per_device_train_batch_size", "4", "--per_device_eval_batch_size", "20"]
    words += ["--eval_strategy", "no", "--eval_seed", "7"]
    words += ["--validation_split_percentage", "30", "--use_cpu", "true", "--output_dir", str(folder / "run")]
    assert main(["pretrain", *words]) == 0
    return folder


def losses(folder: Path, out: Path, *more: str, model: str = "run") -> int:
    words = ["--task", "losses", "--model_name_or_path", str(folder / model), "--output_dir", str(out)]
    return main(["evaluate", *words, "--use_cpu", "true", *more])


def results(out: Path) -> Any:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))["results"]


def test_they_are_those_of_pre_training(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ["--train_file", str(folder / "text.txt"), "--max_seq_length", "16", "--validation_split_percentage", "30"]
    same += ["--per_device_eval_batch_size", "20"]
    assert losses(folder, tmp_path / "a", *same, "--eval_seed", "7", "--update_card", "true") == 0
    out = capsys.readouterr().out
    reported = json.loads((folder / "run" / "eval_results.json").read_text())
    found = results(tmp_path / "a")
    figures = {n.removeprefix("eval_"): v for n, v in reported.items() if not n.endswith(("time", "per_second"))}
    figures.pop("epoch", None)
    assert {name: found[name] for name in figures} == figures and set(found) == set(figures)
    assert {"loss", "rtd_disc_auc", "slm_loss", "rtd_masked_lm_accuracy", "unigram_entropy"} <= set(found)
    assert out.startswith("# Losses: ") and "(chance)" in out and f"{found['rtd_disc_auc']:.3f}" in out
    data: Any = ModelCard.load(folder / "run" / "README.md").data
    assert {r.metric_type: r.metric_value for r in data.eval_results}["rtd_disc_auc"] == found["rtd_disc_auc"]
    # What is drawn depends on the seed alone.
    for name, seed in {"b": "7", "c": "8"}.items():
        assert losses(folder, tmp_path / name, *same, "--eval_seed", seed) == 0
    assert results(tmp_path / "b") == found != results(tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["results.json", "results.md"]


def test_a_text_of_its_own_is_judged_whole(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = ["--validation_file", str(folder / "text.txt"), "--max_seq_length", "16"]
    assert losses(folder, tmp_path, *words) == 0
    assert "stand in the training" not in capfd.readouterr().err + caplog.text
    said = json.loads((tmp_path / "results.json").read_text())
    assert said["held_out"].startswith("60 documents") and said["text"] == "text.txt"


def test_mistakes_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_encoder(tmp_path / "bert", "bert")
    capsys.readouterr()
    text = ["--validation_file", str(folder / "text.txt")]
    for model, more, words in (
        (str(tmp_path / "bert"), text, ["'bert' checkpoint", "need a pair"]),
        ("run", ["--validation_file", "no.txt"], ["validation_file", "'no.txt'"]),
        ("run", [*text, "--max_seq_length", "4000"], ["max_seq_length", "4000"]),
        ("run", [*text, "--eval_seed", "-1"], ["eval_seed=-1"]),
    ):
        assert losses(folder, tmp_path / "out", *more, model=model) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("transformers-mcl evaluate: error: ")
        assert [word for word in words if word not in error] == [], error
        assert not (tmp_path / "out").exists()
