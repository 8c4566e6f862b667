"""The example of a file of names: what is tagged, and that `finetune` reads what lies beside the program."""

from __future__ import annotations

from pathlib import Path

from names import make

from transformers_mcl.data.tables import read_table


def test_names_are_tagged_by_the_lists() -> None:
    words = make.words_of("Mr. Sherlock Holmes's rooms are in Upper Baker Street, not on the Isle of Dogs.")
    assert [f"{word}/{tag}" for word, tag in zip(words, make.tags_of(words), strict=True) if tag != "O"] == [
        *("Sherlock/B-PER", "Holmes/I-PER", "Baker/B-LOC", "Street/I-LOC"),
        *("Isle/B-LOC", "of/I-LOC", "Dogs/I-LOC"),
    ]


def test_sentences_with_a_name_and_some_without() -> None:
    text = "'Is it you, Mr. Small?' Holmes asked him. It rained. " + "Nobody said a single word. " * 20
    found = list(make.sentences([{"title": "The Sign of Four / Doyle", "text": text}], ("The Sign of Four",)))
    assert [sentence.count("\n") for sentence in found] == [10, 4, 6, 6]
    assert "Small B-PER\n" in found[0]


def test_the_files_beside_the_program() -> None:
    folder = Path(make.__file__).parent
    tables = [read_table([str(folder / f"{split}.conll.gz")], "train_file") for split in ("train", "validation")]
    assert [len(table) for table in tables] == [1100, 366]
    for table in tables:
        tags = {tag for row in table["ner_tags"] for tag in row}
        assert tags == {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
