"""``transformers-mcl tokenizer``, from the words of the command to the files it writes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from transformers_mcl.cli.main import main
from transformers_mcl.data import check_tokenizer, load_tokenizer

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
    assert train("--train_file", text, "--vocab_size", 110, "--output_dir", output) == 0
    out = capsys.readouterr().out
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert files(output) == ["tokenizer.json", "tokenizer_config.json"]
    assert tokenizer.is_fast
    assert len(tokenizer) == 110
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.tokenize("The cook")[0] == "The"

    # 5 % of 20 documents are held out, the same ones that `pretrain` holds out, and are what it is measured on.
    plan, result = out.split("Wrote ")
    assert "documents   19; 1 more are held out" in plan
    assert "110 entries" in plan
    assert str(text) in plan
    assert result.startswith(f"{output}: 110 entries\n")
    held_out, lost, *examples, last = result.splitlines()[1:]
    example, pieces = examples[:2]
    assert example.startswith("  The cook cooked the meal number")
    assert pieces.strip().replace(" | ", "") == example.replace(" ", "")
    assert held_out.split()[3:6] == ["tokens", "a", "word,"] and lost.split()[:2] == ["lost", "0.000%"]
    following = shlex.split(last)
    assert following[1:6] == ["transformers-mcl", "pretrain", "--train_file", str(text), "--tokenizer_name"]
    assert following[6:] == [str(output), *"--preset mini --max_hours 1 --output_dir my-pair".split()]


def test_arguments_reach_the_training(text: Path, tmp_path: Path) -> None:
    words = ["--train_file", text, "--vocab_size", 500, "--output_dir"]
    assert train(*words, tmp_path / "cased") == 0
    assert train(*words, tmp_path / "frequent", "--min_frequency", "25") == 0
    assert train(*words, tmp_path / "uncased", "--lowercase") == 0
    names = ("cased", "frequent", "uncased")
    cased, frequent, uncased = (AutoTokenizer.from_pretrained(tmp_path / name) for name in names)
    assert len(frequent) < len(cased) < 500
    assert uncased.tokenize("THÉRÈSE") == ["thérèse"]
    assert cased.tokenize("Thérèse") == ["Thérèse"]
    assert train(*words, tmp_path / "plain", "--lowercase", "--strip_accents", "true", "--model", "bpe") == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "plain").tokenize("THÉRÈSE") == ["▁therese"]
    assert train(*words, tmp_path / "half", "--unicode_normalizer", "nfkc") == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "half").tokenize("ＴＨ") == cased.tokenize("TH")


def test_a_sample_of_the_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "sorted.txt"
    text.write_text("\n".join([*["aa"] * 500, *["bb"] * 500]), encoding="utf-8")
    words = ["--train_file", text, "--max_train_documents", 20, "--vocab_size", 11, "--output_dir"]
    assert train(*words, tmp_path / "a") == train(*words, tmp_path / "b") == 0
    assert "documents   20, a sample of 950; 50 more are held out" in capsys.readouterr().out
    vocabularies = [AutoTokenizer.from_pretrained(tmp_path / name).get_vocab() for name in "ab"]
    assert {"aa", "bb"} <= vocabularies[0].keys()  # from all over the text
    assert vocabularies[0] == vocabularies[1]


def test_shows_ten_examples_that_a_terminal_can_bear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    lines = [f"{number} plain \x1b[31mred\x07 and \u202eback \u0e01\u0e34 " * 5 for number in range(100)]
    text.write_text("\n".join([*lines, "\u0fff"]), encoding="utf-8")
    assert (
        train("--train_file", text, "--validation_file", text, "--vocab_size", 300, "--output_dir", tmp_path / "t")
        == 0
    )
    result = capsys.readouterr().out.split("Wrote ")[1]
    assert result.isprintable() or all(line.isprintable() for line in result.splitlines())
    assert "\\x1b" in result and "\\u202e" in result
    assert len(result.splitlines()) == 3 + 2 * 10 + 1


def test_says_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("ab ab\nab", encoding="utf-8")
    (tmp_path / "held_out.txt").write_text("ab ба ab", encoding="utf-8")
    files = ["--train_file", tmp_path / "text.txt", "--validation_file", tmp_path / "held_out.txt"]
    assert train(*files, "--vocab_size", 80, "--output_dir", tmp_path / "t") == 0
    result = capsys.readouterr().out
    assert "1.33 tokens a word, 0.667 a character" in result
    assert "33.333% of the characters are unknown, such as 'б' (U+0431), 'а' (U+0430)" in result
    assert "    ab | [UNK] | [UNK] | ab\n" in result


def test_completes_the_tokenizer_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").mkdir()
    backend = Tokenizer(WordLevel({"the": 0, "cook": 1, "[UNK]": 7}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.save(str(tmp_path / "old" / "tokenizer.json"))
    pretrain = ["pretrain", "--tokenizer_name", str(tmp_path / "old"), "--output_dir", str(tmp_path / "run")]
    assert main([*pretrain, "--use_cpu", "true"]) == 2
    said = capsys.readouterr().err
    command = shlex.split(said.split("`")[1].replace("NEW", str(tmp_path / "new")))
    assert main(command[1:]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Wrote {tmp_path}/new: 12 entries, for a model of 12 embeddings\n")
    tokenizer = load_tokenizer(str(tmp_path / "new"))
    check_tokenizer(tokenizer)
    assert tokenizer("the cook").tokens() == ["[CLS]", "the", "cook", "[SEP]"]
    assert tokenizer.convert_tokens_to_ids(["the", "cook", "[UNK]"]) == [0, 1, 7]


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
    assert refusal(capsys, *output, "--train_file", text, "--vocab_size", "0").startswith(
        "vocab_size=0 must be at least 1"
    )
    assert refusal(capsys, *output, "--train_file", text, "--min_frequency", "0").startswith(
        "min_frequency=0 must be at least 1"
    )
    assert refusal(capsys, *output, "--train_file", text, "--seed", "-1").startswith("seed=-1 must be from 0 to")
    said = refusal(capsys, *output, "--train_file", text, "--max_train_documents", "0")
    assert said.startswith("max_train_documents=0 must be at least 1")
    for alone in (["--tokenizer_name", "x"], ["--add_special_tokens", "true"]):
        assert refusal(capsys, *output, *alone).startswith(
            "tokenizer_name and add_special_tokens true belong together"
        )
    assert "model" in refusal(capsys, *output, "--train_file", text, "--model", "sentencepiece")
    said = refusal(capsys, "--train_file", text, "--output_dir", text / "new")
    assert said == f"output_dir '{text}/new': cannot write to '{text}': it is a file; choose another\n"
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_no_part_of_a_tokenizer(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--train_file", text, "--output_dir", tmp_path / "new", "--vocab_size"]
    assert train(*words, 7) == 2
    assert "vocab_size is 7" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

    def full(self: PreTrainedTokenizerFast, folder: str) -> None:
        (Path(folder) / "tokenizer.json").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", full)
    assert train(*words, 80) == 2
    assert "the disk is full: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
