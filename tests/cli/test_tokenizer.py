"""``transformers-mcl tokenizer``, from the words of the command to the files it writes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertTokenizer

from transformers_mcl.cli.main import main

LINES = [f"The cook cooked the meal number {number}, and Thérèse ate it." for number in range(20)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text of meals.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


def train(*words: object) -> int:
    return main(["tokenizer", *map(str, words)])


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert train(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("transformers-mcl tokenizer: error: ")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_writes_a_tokenizer_and_says_what_it_did(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "tokenizer"
    assert train("--train_file", text, "--vocab_size", 80, "--output_dir", output) == 0
    out = capsys.readouterr().out
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert files(output) == ["tokenizer.json", "tokenizer_config.json"]
    assert tokenizer.is_fast
    assert len(tokenizer) == 80
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.tokenize("The cook")[0] == "The"

    # 5 % of 20 documents are held out, the same ones that `pretrain` holds out, and are no part of the vocabulary.
    plan, result = out.split("Wrote ")
    assert "documents   19; 1 more are held out" in plan
    assert "80 entries" in plan
    assert str(text) in plan
    assert result.startswith(f"{output}: 80 entries\n")
    example, pieces = result.splitlines()[1:3]
    assert example.strip().startswith("The cook cooked the meal number")
    assert pieces.split() == tokenizer.tokenize(example)
    following = shlex.split(result.splitlines()[3])
    assert following[1:6] == ["transformers-mcl", "pretrain", "--train_file", str(text), "--tokenizer_name"]
    assert following[6] == str(output)


def test_arguments_reach_the_training(text: Path, tmp_path: Path) -> None:
    words = ["--train_file", text, "--vocab_size", 500, "--output_dir"]
    assert train(*words, tmp_path / "cased") == 0
    assert train(*words, tmp_path / "frequent", "--min_frequency", "25") == 0
    assert train(*words, tmp_path / "uncased", "--lowercase") == 0
    names = ("cased", "frequent", "uncased")
    cased, frequent, uncased = (AutoTokenizer.from_pretrained(tmp_path / name) for name in names)
    assert len(frequent) < len(cased) < 500
    assert uncased.tokenize("THÉRÈSE") == ["therese"]
    assert cased.tokenize("THÉRÈSE") == ["[UNK]"]


def test_json_lines_of_another_column_and_a_directory_named_as_dataset(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = [json.dumps({"body": line, "text": "zzz"}) for line in LINES]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words = ["--text_column", "body", "--vocab_size", 80, "--output_dir"]
    assert train("--train_file", tmp_path / "data" / "train.jsonl", *words, tmp_path / "a") == 0
    assert train("--dataset_name", tmp_path / "data", *words, tmp_path / "b") == 0
    vocabularies = [AutoTokenizer.from_pretrained(tmp_path / name).get_vocab() for name in "ab"]
    assert vocabularies[0] == vocabularies[1]
    assert "z" not in vocabularies[0]


def test_a_directory_in_use_is_refused_before_any_work(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "tokenizer.json").write_text("mine")
    (tmp_path / "used" / "notes").write_text("mine")
    words = ["--train_file", text, "--vocab_size", 80, "--output_dir", tmp_path / "used"]
    said = refusal(capsys, *words)
    assert said == (
        f"output_dir '{tmp_path}/used' is not empty: choose another, or write into it with --overwrite_output_dir\n"
    )
    assert (tmp_path / "used" / "tokenizer.json").read_text() == "mine"

    assert train(*words, "--overwrite_output_dir") == 0
    assert len(AutoTokenizer.from_pretrained(tmp_path / "used")) == 80
    assert files(tmp_path / "used") == ["notes", "tokenizer.json", "tokenizer_config.json"]


def test_mistakes(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output_dir", tmp_path / "new"]
    assert refusal(capsys, "--train_file", text).startswith("missing --output_dir")
    assert refusal(capsys, *output) == "no training text: give train_file or dataset_name\n"
    said = refusal(capsys, *output, "--train_file", tmp_path / "text of meal.txt")
    assert said.endswith(f"did you mean '{text}'?\n")
    assert refusal(capsys, *output, "--train_file", text, "--vocab_size", "0").startswith("vocab_size is 0: ")
    assert refusal(capsys, *output, "--train_file", text, "--min_frequency", "0").startswith("min_frequency is 0: ")
    said = refusal(capsys, "--train_file", text, "--output_dir", text / "new")
    assert said == f"output_dir '{text}/new': cannot write to '{text}'; choose another\n"
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_no_part_of_a_tokenizer(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--train_file", text, "--output_dir", tmp_path / "new", "--vocab_size"]
    assert train(*words, 7) == 2
    assert "vocab_size is 7" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

    def full(self: BertTokenizer, folder: str) -> None:
        (Path(folder) / "tokenizer.json").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(BertTokenizer, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        train(*words, 80)
    assert files(tmp_path / "new") == []
