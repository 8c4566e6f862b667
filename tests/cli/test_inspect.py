from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertTokenizer

from tests.families import demo_tokenizer, tiny_pair
from tests.inspection.test_page import data_of
from transformers_mcl import MclConfig, MclForPreTraining, MclForSequenceClassification
from transformers_mcl.cli.main import main
from transformers_mcl.data.shipped import shipped_pair
from transformers_mcl.inspection import inspect_text, page_frame, render

TEXT = "the chef cooked the meal"
ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef cooked meal é".split()
    return BertTokenizer(vocab={word: i for i, word in enumerate(words)}, strip_accents=False)


@pytest.fixture(scope="module")
def config(tokenizer: BertTokenizer) -> MclConfig:
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    return MclConfig.tiny(vocab_size=len(tokenizer), num_hidden_layers=1, generator_num_hidden_layers=1, **ids)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: BertTokenizer, config: MclConfig) -> Path:
    path = tmp_path_factory.mktemp("pair")
    torch.manual_seed(0)
    MclForPreTraining(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def inspect(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["inspect", "--model_name_or_path", str(checkpoint), "--text", TEXT, *arguments]) == 0
        out, err = capsys.readouterr()
        assert err == "", "a picture, and nothing else"
        return out

    return run


def test_prints_the_picture_plain_when_not_on_a_terminal(
    inspect: Callable[..., str], checkpoint: Path, tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    pair = MclForPreTraining.from_pretrained(checkpoint)
    assert inspect() == render(inspect_text(pair, tokenizer, TEXT), color=False, width=70) + "\n"


def test_the_pair_inside_the_package_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--text", "The old man walked slowly down the street.", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["courses"]) == ["rtd", "std", "itd"]
    pair = MclForPreTraining.from_pretrained(shipped_pair())
    tokenizer = AutoTokenizer.from_pretrained(shipped_pair())
    assert shown == inspect_text(pair, tokenizer, shown["text"], seed=42).to_dict()


def test_json(inspect: Callable[..., str], checkpoint: Path, tokenizer: BertTokenizer) -> None:
    pair = MclForPreTraining.from_pretrained(checkpoint)
    expected = inspect_text(pair, tokenizer, TEXT, seed=7, courses=["std"]).to_dict()
    assert json.loads(inspect("--json", "--seed", "7", "--courses", "std")) == expected


@pytest.mark.parametrize(("ratio", "course"), [("mask_ratio", "rtd"), ("swap_ratio", "std"), ("insert_ratio", "itd")])
def test_ratios(inspect: Callable[..., str], ratio: str, course: str) -> None:
    courses = json.loads(inspect("--json", f"--{ratio}", "0.5"))["courses"]
    operated = {name: sum(courses[name]["operated"]) for name in courses}
    assert operated == {"rtd": 1, "std": 2, "itd": 1} | {course: 3}


@pytest.mark.parametrize(
    ("terminal", "environment", "arguments", "colored"),
    [
        (True, {}, [], True),
        (True, {"NO_COLOR": "1"}, [], False),
        (True, {"NO_COLOR": ""}, [], True),
        (True, {"TERM": "dumb"}, [], False),
        (True, {}, ["--color", "never"], False),
        (False, {}, ["--color", "always"], True),
        (True, {"NO_COLOR": "1"}, ["--color", "always"], True),
    ],
)
def test_colors(
    inspect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    environment: dict[str, str],
    arguments: list[str],
    colored: bool,
) -> None:
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    if "NO_COLOR" not in environment:
        monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert (ESCAPE in inspect(*arguments)) == colored


def test_a_terminal_without_unicode(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["inspect", "--model_name_or_path", str(checkpoint), "--text", "é chef"]) == 0
    rows = [line.split() for line in written.getvalue().decode("ascii").splitlines()]
    assert ["x", "[CLS]", "\\xe9", "chef", "[SEP]"] in rows


@pytest.fixture
def broken(checkpoint: Path, tokenizer: BertTokenizer, config: MclConfig, tmp_path: Path) -> Path:
    """Directories that hold no pair, or not all of it."""
    for name in ("empty", "no-weights", "other", "classifier", "no-tokenizer", "electra"):
        (tmp_path / name).mkdir()
        if name not in ("empty", "no-tokenizer"):
            tokenizer.save_pretrained(tmp_path / name)
    config.save_pretrained(tmp_path / "no-weights")
    BertConfig().save_pretrained(tmp_path / "other")
    MclForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    for file in ("config.json", "model.safetensors"):
        (tmp_path / "no-tokenizer" / file).symlink_to(checkpoint / file)
    electra = MclConfig.from_dict({**config.to_dict(), "loss_weights": {"mlm": 1.0, "rtd": 50.0}})
    MclForPreTraining(electra).save_pretrained(tmp_path / "electra")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("missing", [], ["model_name_or_path", "missing", "no directory"]),
        ("empty", [], ["model_name_or_path", "empty'", "without a checkpoint"]),
        ("no-weights", [], ["model_name_or_path", "no-weights", "has no weights"]),
        ("other", [], ["model_name_or_path", "other", "'bert'", "pretrain"]),
        ("classifier", [], ["model_name_or_path", "classifier", "MclForSequenceClassification", "generator"]),
        ("no-tokenizer", [], ["no-tokenizer", "without a tokenizer"]),
        ("electra", ["--courses", "std"], ["'std'", "only rtd"]),
        ("electra", ["--courses", "rdt"], ["there is no 'rdt'", "rtd, std, itd"]),
        ("electra", ["--mask_ratio", "1.5"], ["mask_ratio=1.5"]),
        ("electra", ["--seed", "-1"], ["seed=-1"]),
        ("electra", ["--color", "red"], ["--color", "'red'"]),
        ("missing", ["--text", " "], ["text ' ' is empty"]),
        ("missing", ["--threshold", "1.5"], ["threshold=1.5", "above 0 and below 1"]),
        ("missing", ["--threshold", "nan"], ["threshold=nan"]),
        ("missing", ["--html", "."], ["html: '.'", "is a folder"]),
        ("missing", ["--html", f"{__file__}/page.html"], ["html: ", "cannot be written: Not a directory"]),
        ("missing", ["--compare_with", "other"], ["compare_with", "--html FILE"]),
        ("classifier", ["--html", "never.html"], ["MclForSequenceClassification", "generator"]),
    ],
)
def test_mistakes_are_one_line(
    broken: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: list[str], words: list[str]
) -> None:
    capsys.readouterr()
    assert main(["inspect", "--model_name_or_path", str(broken / name), "--text", TEXT, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("transformers-mcl inspect: error: ") and err.count("\n") == 1
    assert [word for word in words if word not in err] == []


def test_a_page_of_one_pair_or_two(
    inspect: Callable[..., str], checkpoint: Path, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "page.html"
    assert inspect("--html", str(page), "--threshold", "0.3") == f"{page}: open it in a browser\n"
    pair = MclForPreTraining.from_pretrained(checkpoint)
    expected = inspect_text(pair, tokenizer, TEXT, threshold=0.3, thresholds=True)
    assert data_of(page.read_text())["frames"] == [page_frame({str(checkpoint): [expected]})]
    assert data_of(page.read_text())["threshold"] == 0.3
    other = tmp_path / "other"
    pair.save_pretrained(other)
    tokenizer.save_pretrained(other)
    said = json.loads(inspect("--html", str(page), "--compare_with", str(other), "--json"))
    panels = data_of(page.read_text())["frames"][0]["panels"]
    assert [panel["model"] for panel in panels] == [str(checkpoint), str(other)]
    assert panels[0]["inspections"] == panels[1]["inspections"]
    assert said == inspect_text(pair, tokenizer, TEXT, thresholds=True).to_dict()


def test_a_threshold_decides_the_picture(inspect: Callable[..., str]) -> None:
    picture = inspect("--threshold", "0.01", "--mask_ratio", "0.9")
    assert picture.startswith("Note: D calls a token replaced above a probability of 0.01; ")
    assert "pos4" in picture.partition("Signs")[0]


def test_a_pair_of_another_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_pair("modernbert", generator_shares="gdes").save_pretrained(tmp_path)
    demo_tokenizer().save_pretrained(tmp_path)
    words = f"inspect --model_name_or_path {tmp_path} --json --mask_ratio 0.5 --text".split()
    assert main([*words, "the chef cooked a meal"]) == 0
    rtd = json.loads(capsys.readouterr().out)["courses"]["rtd"]
    assert sum(rtd["operated"]) > 1 and rtd["generator_says_again"] is not None
