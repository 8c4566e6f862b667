from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from transformers_mcl import UserError
from transformers_mcl.evaluation.minimal_pairs import data as module
from transformers_mcl.evaluation.minimal_pairs.data import Pair, PairsArguments, load_pairs, sample_pairs

ROWS = [
    {"sentence_good": "a", "sentence_bad": "b", "field": "syntax/semantics", "linguistics_term": "x", "UID": "u"},
    {"sentence_good": "c", "sentence_bad": "d", "field": "syntax", "linguistics_term": "y", "UID": "v"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    table = Dataset.from_list(rows)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".csv":
        table.to_csv(path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "place"),
    [("p.jsonl", "line 2"), ("p.jsonl.gz", "line 2"), ("p.csv", "line 3"), ("p.parquet", "row 2")],
)
def test_files(name: str, place: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, ROWS)
    first, second = load_pairs(PairsArguments(pairs_file=[path]))
    assert first[:5] == ("a", "b", "u", "syntax_semantics", "x")
    assert second == Pair("c", "d", "v", "syntax", "y", f"{path!r}, {place}")


def test_columns_by_other_names_and_none(tmp_path: Path) -> None:
    rows = [{"yes": "a", "no": "b", "kind": 3}]
    columns = {"sentence_good_column": "yes", "sentence_bad_column": "no"}
    args = PairsArguments(pairs_file=[write(tmp_path / "mine.jsonl", rows)], **columns)  # type: ignore[arg-type]
    assert load_pairs(args)[0][:5] == ("a", "b", "mine", None, None), "a file is a paradigm where no column says so"
    args.paradigm_column = args.field_column = args.linguistics_term_column = "kind"
    assert load_pairs(args)[0][:5] == ("a", "b", "3", "3", "3")


def test_a_sample_is_a_share_or_a_number_of_each_paradigm() -> None:
    pairs = [Pair(f"{paradigm} {i}", "", paradigm) for i in range(50) for paradigm in ("a", "b", "c")][:-20]
    for limit, expected in (
        (0.1, [4, 4, 4]),
        (0.5, [22, 22, 22]),
        (7, [7, 7, 7]),
        (1, [1, 1, 1]),
        (45, [44, 43, 43]),
        (0.001, [1, 1, 1]),
    ):
        sample = sample_pairs(pairs, limit)
        assert list(Counter(pair.paradigm for pair in sample).values()) == expected
        assert sample == sample_pairs(pairs, limit), "the same every time"
        assert len(set(sample)) == len(sample)
    drawn = [pair.good for pair in sample_pairs(pairs, 7) if pair.paradigm == "b"]
    assert drawn == [pair.good for pair in sample_pairs([pair for pair in pairs if pair.paradigm == "b"], 7)]
    assert drawn != [pair.good for pair in sample_pairs(pairs, 7, seed=1) if pair.paradigm == "b"]
    assert drawn != [f"b {i}" for i in range(7)], "not the first ones"
    numbers = [int(text[2:]) for text in drawn]
    assert numbers == sorted(numbers)


def test_blimp_comes_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_dataset_config_names", lambda name: ["second", "first"])
    monkeypatch.setattr(
        module, "load_dataset", lambda name, config, split, cache_dir: Dataset.from_list([ROWS[config == "second"]])
    )
    assert [pair[:3] for pair in load_pairs(PairsArguments())] == [("a", "b", "u"), ("c", "d", "v")]
    assert load_pairs(PairsArguments())[1].place == "row 1 of nyu-mll/blimp, second"


def test_without_the_hub() -> None:
    with pytest.raises(UserError, match=r"^the Hub gave no nyu-mll/blimp: .*--pairs_file$"):
        load_pairs(PairsArguments())


@pytest.mark.parametrize(
    ("name", "content", "columns", "words"),
    [
        ("p.jsonl", b'{"good": "a", "bad": "b"}\n', {}, ["sentence_good_column", "'sentence_good'", "only good, bad"]),
        ("p.csv", b"sentence_good,bad\na,b\n", {}, ["sentence_bad_column", "only sentence_good, bad"]),
        (
            "p.csv",
            b"sentence_good,sentence_bad\na,b\n",
            {"paradigm_column": "UID"},
            ["paradigm_column", "'UID'", "only sentence_good, sentence_bad"],
        ),
        ("p.jsonl", b'{"sentence_good": "a", "sentence_bad": "b"}\n{"sentence_', {}, ["p.jsonl", "line 2"]),
        ("p.jsonl.gz", b"no gzip", {}, ["p.jsonl.gz", "damaged"]),
        ("p.parquet", b"no parquet", {}, ["p.parquet", "not parquet"]),
        ("p.txt", b"a\tb\n", {}, ["p.txt", "JSON"]),
        ("p.csv", b"sentence_good,sentence_bad\n", {}, ["p.csv", "no pairs"]),
        ("p.csv", b"sentence_good,sentence_bad\na,b\n,b\n", {}, ["line 3", "sentence_good", "not a sentence"]),
    ],
)
def test_bad_files_are_one_line(
    name: str, content: bytes, columns: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_pairs(PairsArguments(pairs_file=[str(tmp_path / name)], **columns))
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("limit", [0, -1, 1.5, float("nan"), float("inf")])
def test_bad_limits(limit: float) -> None:
    with pytest.raises(UserError, match="limit="):
        PairsArguments(limit=limit)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pairs_file: no such file"):
        load_pairs(PairsArguments(pairs_file=[str(tmp_path / "x.jsonl")]))
