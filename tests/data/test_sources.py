"""Folders are read as what they are: a data set by its splits, anything else whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from transformers_mcl.data import DataArguments, load_corpus
from transformers_mcl.data.shards import find_shards
from transformers_mcl.data.sources import find_sources, find_validation_files, name_sources
from transformers_mcl.errors import UserError

CARD = "---\nlicense: mit\n---\n# Texts\n\nOnly people read this.\n"
CONFIGS = """---
configs:
- config_name: first
  default: true
  data_files:
  - split: train
    path: one/*.jsonl
  - split: dev
    path: two/*.jsonl
- config_name: second
  data_files: two/*.jsonl
---
"""


def clone(folder: Path, validation: str = "validation", card: str | None = CARD) -> Path:
    """What `git clone` makes of a data set of the Hub."""
    (folder / "data").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    (folder / "LICENSE").write_text("You may.\n")
    if card is not None:
        (folder / "README.md").write_text(card)
    for name, texts in {
        "train-00000-of-00002": ["one", "two"],
        "train-00001-of-00002": ["three"],
        f"{validation}-00000-of-00001": ["four"],
        "test-00000-of-00001": ["five"],
    }.items():
        pq.write_table(pa.table({"text": texts}), folder / "data" / f"{name}.parquet")
    return folder


def given(argument: str, path: Path) -> DataArguments:
    """With a folder as `train_file` or as `dataset_name`."""
    values: dict[str, Any] = {argument: [str(path)]}
    return DataArguments(**values)


def names(args: DataArguments) -> dict[str, list[str]]:
    [source] = find_sources(args)
    return {split: [Path(path).name for path in paths] for split, paths in source.files.items()}


@pytest.mark.parametrize("argument", ["train_file", "dataset_name"])
@pytest.mark.parametrize("validation", ["validation", "valid", "dev", "val"])
@pytest.mark.parametrize("card", [CARD, None])
def test_a_clone_of_a_data_set(tmp_path: Path, argument: str, validation: str, card: str | None) -> None:
    folder = clone(tmp_path / "texts", validation, card)
    args = given(argument, folder)
    corpus = load_corpus(args, cache_dir=str(tmp_path / "cache"))
    assert {split: list(table["text"]) for split, table in corpus.items()} == {
        "train": ["one", "two", "three"],
        "validation": ["four"],
    }
    shards = find_shards(args)
    assert {split: sorted({Path(shard.path).name for shard in found}) for split, found in shards.items()} == names(
        args
    )


def test_a_card_says_what_is_in_which_split(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "README.md").write_text(CONFIGS)
    expected = {"train": ["one.jsonl"], "validation": ["two.jsonl"]}
    assert names(DataArguments(train_file=[str(tmp_path)])) == expected
    assert names(DataArguments(dataset_name=[str(tmp_path)])) == expected
    second = DataArguments(dataset_name=[str(tmp_path)], dataset_config_name=["second"])
    assert names(second) == {"train": ["two.jsonl"]}
    with pytest.raises(UserError, match="dataset_name: '.*' cannot be read as a dataset: .*third"):
        find_sources(DataArguments(dataset_name=[str(tmp_path)], dataset_config_name=["third"]))


PLAIN: list[tuple[list[str], list[str]]] = [
    (["a.txt", "deep/b.jsonl", "README.md", "LICENSE", "deep/License.txt", ".git/HEAD"], ["a.txt", "b.jsonl"]),
    (["a.txt", "the test.txt"], ["a.txt", "the test.txt"]),  # one name of a split is no layout
    (["train.txt", "more.txt"], ["more.txt", "train.txt"]),
    (["constraint.txt", "latest.txt", "a.md"], ["a.md", "constraint.txt", "latest.txt"]),
    (["license.jsonl", "readme-notes.csv"], ["license.jsonl", "readme-notes.csv"]),
]
LAID_OUT: list[tuple[list[str], dict[str, list[str]]]] = [
    (["train.txt", "dev.txt", "README.md"], {"train": ["train.txt"], "validation": ["dev.txt"]}),
    (["train/1.txt", "train/2.txt", "test/1.txt"], {"train": ["1.txt", "2.txt"]}),
    (
        ["en-train.jsonl.gz", "en-valid.jsonl.gz"],
        {"train": ["en-train.jsonl.gz"], "validation": ["en-valid.jsonl.gz"]},
    ),
]


def write(folder: Path, files: list[str]) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n")


@pytest.mark.parametrize(("files", "read"), PLAIN)
def test_a_plain_folder_is_read_whole(tmp_path: Path, files: list[str], read: list[str]) -> None:
    write(tmp_path, files)
    assert names(DataArguments(train_file=[str(tmp_path)])) == {"train": read}


@pytest.mark.parametrize(("files", "read"), LAID_OUT)
def test_names_of_splits_lay_out_a_folder(tmp_path: Path, files: list[str], read: dict[str, list[str]]) -> None:
    write(tmp_path, files)
    assert names(DataArguments(train_file=[str(tmp_path)])) == read


@pytest.mark.parametrize("argument", ["train_file", "dataset_name"])
def test_what_save_to_disk_wrote(tmp_path: Path, argument: str) -> None:
    table = Dataset.from_dict({"text": ["one", "two"]})
    table.save_to_disk(tmp_path / "one")
    DatasetDict(train=table, dev=table, test=table).save_to_disk(tmp_path / "three")
    DatasetDict(corpus=table, test=table).save_to_disk(tmp_path / "without")
    assert list(names(given(argument, tmp_path / "one"))) == ["train"]
    assert list(names(given(argument, tmp_path / "three"))) == ["train", "validation"]
    with pytest.raises(UserError, match=f"^{argument}: '.*without' has no split 'train', only corpus, test$"):
        find_sources(given(argument, tmp_path / "without"))


def test_held_out_text_is_a_data_set_s_validation_split(tmp_path: Path) -> None:
    folder = clone(tmp_path / "texts", "dev")
    args = DataArguments(train_file=["a.txt"], validation_file=[str(folder)])
    assert [Path(path).name for path in find_validation_files(args)] == ["dev-00000-of-00001.parquet"]
    (folder / "data" / "dev-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="^validation_file: '.*texts' has no split 'validation', only train, test$"):
        find_validation_files(args)


def test_several_items_are_a_source_each_where_they_have_weights(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    folder = clone(tmp_path / "texts")
    paths = [str(tmp_path / "a.txt"), str(folder)]
    [together] = find_sources(DataArguments(train_file=paths))
    assert {split: len(files) for split, files in together.files.items()} == {"train": 3, "validation": 1}
    args = DataArguments(train_file=paths, dataset_name=["some/name"], mixing_weights=[2, 1, 1])
    assert [(source.name, len(source.files)) for source in find_sources(args)] == [
        (paths[0], 1),
        (paths[1], 2),
        ("some/name", 0),
    ]
    assert name_sources(args) == f"0.5 {paths[0]}, 0.25 {paths[1]}, 0.25 some/name"
    plain = DataArguments(train_file=["a"], dataset_name=["b/c"])
    assert name_sources(plain) == "a, b/c"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    clone(tmp_path / "pointers")
    [pointer, *_] = sorted((tmp_path / "pointers" / "data").glob("train*"))
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "about").mkdir()
    (tmp_path / "about" / "README.md").write_text("Nothing else is here.\n")
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "README.md").write_text(CARD)
    for name, message in {
        "pointers": r"'.*train-00000-of-00002\.parquet' only points to a file of Git LFS: run `git lfs pull`",
        "about": "the directory '.*about' holds no files of text",
        "card": "'.*card' cannot be read as a dataset: .*[Nn]o.*data files",
    }.items():
        with pytest.raises(UserError, match=f"^train_file: {message}") as caught:
            find_sources(DataArguments(train_file=[str(tmp_path / name)]))
        assert "\n" not in str(caught.value)
