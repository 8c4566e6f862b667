"""`evaluate --task choices`: rows as users have them, and BabyLM's entity tracking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.families import demo_tokenizer, tiny_pair
from transformers_mcl.cli.main import main
from transformers_mcl.evaluation.choices import ChoicesArguments, load_choices

ROWS: list[dict[str, Any]] = [
    {"context": "The ship went", "options": ["down in the sea.", "up."], "label": 1},
    {"context": "", "options": ["It is.", "It is.", "So it is."], "label": 0},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a pair in `model` and two choices in `rows.jsonl`."""
    tiny_pair("mcl").save_pretrained(tmp_path / "model")
    demo_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n\n# chef\n")
    write(tmp_path / "rows.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def choose(*more: str) -> int:
    words = ["--task", "choices", "--model_name_or_path", "model", "--output_dir", "out", "--use_cpu", "true"]
    return main(["evaluate", *words, *([] if "--choices_file" in more else ["--choices_file", "rows.jsonl"]), *more])


def found() -> Any:
    return json.loads(Path("out", "results.json").read_text(encoding="utf-8"))


def test_ties_are_counted_both_ways(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose("--update_card", "true") == 0
    results = found()
    assert list(results["results"]) == ["generator", "discriminator"]
    assert results["chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    for summary in results["results"].values():
        everything = summary["all"]["all"]
        assert (everything["choices"], everything["ties"]) in ((2, 1), (2, 0))
        share = everything["correct"] + everything["ties"]
        assert everything["accuracy"] == everything["correct"] / 2 and everything["accuracy_with_ties"] == share / 2
    out = capsys.readouterr().out
    assert "| choices |" in out and "with ties" in out and "the sum over its tokens. " in out
    assert Path("out", "results.png").exists()
    data: Any = ModelCard.load(folder / "model" / "README.md").data
    assert [result.metric_args["normalization"] for result in data.eval_results] == ["sum", "sum"]


def test_entity_tracking_of_babylm(folder: Path) -> None:
    rows = [
        {"input_prefix": "Box 0 has the ship, Box 0 has", "options": [" the ship.", " the sea."], "numops": n}
        for n in (0, 0, 2)
    ]
    write(folder / "regular.jsonl", rows)
    names = ["--context_column", "input_prefix", "--right_option", "0", "--group_column", "numops"]
    assert (
        choose("--choices_file", "regular.jsonl", *names, "--normalization", "characters", "--scorer", "generator")
        == 0
    )
    groups = found()["results"]["generator"]["paradigm"]
    assert {name: group["choices"] for name, group in groups.items()} == {"0": 2, "2": 1}
    assert found()["normalization"] == "characters"
    assert "divided by the option's characters" in Path("out", "results.md").read_text(encoding="utf-8")


def test_a_sample_of_each_group(folder: Path) -> None:
    rows = [{**ROWS[0], "context": f"{n}"} for n in range(10)]
    write(folder / "a.jsonl", rows)
    write(folder / "b.jsonl", rows)
    some = [load_choices(ChoicesArguments(["a.jsonl", "b.jsonl"], limit=3, seed=seed)) for seed in (1, 1, 2)]
    assert [choice.paradigm for choice in some[0]] == ["a"] * 3 + ["b"] * 3
    assert some[0] == some[1] != some[2]
    assert some[0][0].place.startswith("'") and "a.jsonl', line " in some[0][0].place


@pytest.mark.parametrize(
    ("row", "arguments", "words"),
    [
        ({"label": 2}, [], ["line 3", "label holds 2", "2 options"]),
        ({"label": "1"}, [], ["line 3", "label holds '1'"]),
        ({"options": ["one"]}, [], ["line 3", "options holds ['one']"]),
        ({"options": "a or b"}, [], ["line 3", "options holds 'a or b'", "a list of two"]),
        ({"options": ["a", ""]}, [], ["line 3", "options holds ['a', '']"]),
        ({"context": None}, [], ["line 3", "context holds None"]),
        ({}, ["--label_column", "answer"], ["no column 'answer'", "label_column", "context, options, label"]),
        ({}, ["--group_column", "kind"], ["no column 'kind'", "group_column"]),
        ({}, ["--right_option", "-1"], ["right_option=-1"]),
        ({}, ["--right_option", "2"], ["2 options"]),
        ({}, ["--choices_file", "row.jsonl"], ["choices_file", "'row.jsonl'", "did you mean 'rows.jsonl'"]),
        ({}, ["--normalization", "mean"], ["--normalization", "'mean'", "tokens"]),
        ({}, ["--limit", "2.5"], ["limit=2.5"]),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, row: dict[str, Any], arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "rows.jsonl", [*ROWS, {**ROWS[0], **row}])
    capsys.readouterr()
    assert choose(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("transformers-mcl evaluate: error: ") and error.count("\n") == 1
    assert [word for word in words if word not in error] == [], error
    assert not (folder / "out").exists()
