from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import BertTokenizer

from tests.launching import torchrun
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.evaluate import evaluation_kinds
from transformers_mcl.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "zero_shot.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a pair in `model` and two pairs of sentences in `pairs.csv`."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef chefs cooks".split()
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    torch.manual_seed(0)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    config = MclConfig.tiny(vocab_size=len(words), num_hidden_layers=1, generator_num_hidden_layers=1, **ids)
    MclForPreTraining(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "pairs.csv").write_text("sentence_good,sentence_bad\nthe chef cooks,the chefs cooks\nThe,the\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*arguments: str) -> int:
    words = ["--task", "blimp", "--model_name_or_path", "model", "--output_dir", "out", "--use_cpu"]
    return main(["evaluate", *words, "--pairs_file", "pairs.csv", *arguments])


def test_prints_the_table_that_it_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate() == 0
    out, err = capsys.readouterr()
    table = (folder / "out" / "results.md").read_text()
    assert out.startswith(table)
    assert [line.split(" | ")[0] for line in table.splitlines() if "| 2 |" in line] == ["| all", "| pairs"]
    results = json.loads((folder / "out" / "results.json").read_text())["results"]
    assert {scorer: summary["all"]["all"]["ties"] for scorer, summary in results.items()} == {
        "generator": 1,
        "discriminator": 1,
    }
    assert "generator: 2 pairs, 7 rows" in err
    assert "row/s" in err, "a progress bar"


def test_two_processes_write_what_one_does(folder: Path) -> None:
    assert evaluate("--per_device_eval_batch_size", "2") == 0
    (folder / "two").mkdir()
    first = (folder / "out" / "scores.jsonl").read_text().splitlines()[0]
    (folder / "two" / "scores.jsonl").write_text(first + "\n")
    words = "-m transformers_mcl.cli evaluate --task blimp --model_name_or_path model --output_dir two"
    words += " --pairs_file pairs.csv --per_device_eval_batch_size 2"  # no --use_cpu: there is nothing else
    done = subprocess.run([*torchrun(), *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for file in ("scores.jsonl", "results.json", "results.md"):
        assert (folder / "two" / file).read_text() == (folder / "out" / file).read_text()
    assert done.stdout.count("# Minimal pairs: model") == 1
    assert done.stderr.count("generator: 1 of 1 paradigms stand in scores.jsonl") == 1
    assert done.stderr.count("discriminator: 2 pairs, 3 rows") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "glue"], ["--task", "'glue'", "blimp"]),
        (["--scorer", "critic"], ["--scorer", "'critic'", "generator", "discriminator", "both"]),
        (["--model_name_or_path", "modell"], ["'modell'", "did you mean 'model'?"]),
        (["--sentence_bad_column", "bad"], ["pairs.csv", "'bad'", "sentence_good, sentence_bad"]),
        (["--pairs_file", "pair.csv"], ["pairs_file", "'pair.csv'", "did you mean 'pairs.csv'?"]),
        (["--limit", "2.5"], ["limit=2.5"]),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert evaluate(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("transformers-mcl evaluate: error: ") and err.count("\n") == 1
    assert [word for word in words if word not in err] == []
    assert not (folder / "out").exists()


def test_the_commands_of_the_page() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = [command for command in commands if "evaluate" in command]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)
        words = words[words.index("evaluate") + 1 :]
        parse_arguments(evaluation_kinds("blimp"), words, prog="", description="")
