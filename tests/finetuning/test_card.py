"""What the card of a fine-tuned model says to people and to the Hub: of data, only what was loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from tests.markup import NASTY, look
from transformers_mcl.cli.main import main
from transformers_mcl.data import tables
from transformers_mcl.finetuning import SequenceTask, find_task
from transformers_mcl.finetuning.card import FinetunedCard
from transformers_mcl.finetuning.example_arguments import ExampleArguments
from transformers_mcl.finetuning.results import summarize_runs
from transformers_mcl.finetuning.source import Source

from .conftest import make_reviews


def run(seed: int, **metrics: float) -> dict[str, Any]:
    figures = {"task": "mnli", "main_metric": "accuracy", "settings": {}, "steps": 12, "seconds": 3.2}
    return {**figures, "seed": seed, "metrics": metrics}


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    """Of MNLI, the best of two seeds."""
    table = Dataset.from_list([{"premise": "a", "hypothesis": "b", "label": i} for i in range(3)])
    splits = ["train", "validation_matched", "validation_mismatched"]
    sources = {split: Source(9, 9, "nyu-mll/glue", "mnli", split) for split in splits}
    task = SequenceTask(find_task("mnli"), ExampleArguments(), DatasetDict(dict.fromkeys(splits, table)), sources)
    runs = [run(seed, accuracy=0.5 + seed / 10, accuracy_mm=0.4, loss=1.0) for seed in (0, 1)]
    FinetunedCard(
        name="my-mnli",
        base_model="google/electra-small-discriminator",
        model_type="electra",
        task=task,
        result=runs[1],
        entries=summarize_runs(runs),
        recipe={"dataset_name": "/home/ada/glue", "learning_rate": 2e-5, "train_file": ["~/a.csv"]},
        versions={"torch": "2"},
        language=["en"],
        license="mit",
    ).save(tmp_path)
    return ModelCard.load(tmp_path / "README.md")


def test_the_results_are_metadata(card: ModelCard) -> None:
    data: Any = card.data
    found = [(r.dataset_split, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found[0] == ("validation_matched", "accuracy", "accuracy", 0.6)
    assert ("validation_matched", "accuracy", "accuracy (median of 2 seeds)", 0.55) in found
    assert ("validation_mismatched", "accuracy", "accuracy_mm", 0.4) in found
    assert len(found) == 4  # of either set the model's, and the median of all; no loss
    assert {(r.dataset_type, r.dataset_config, r.task_type) for r in data.eval_results} == {
        ("nyu-mll/glue", "mnli", "text-classification")
    }
    assert data.base_model == "google/electra-small-discriminator"
    assert data.datasets == ["nyu-mll/glue"]
    assert (data.language, data.license) == (["en"], "mit")


def test_the_text_names_no_folder_and_says_what_was_chosen(card: ModelCard) -> None:
    assert "/home" not in card.content and "~" not in card.content
    for words in (
        "Of 2 runs this is the one with the highest accuracy",
        "| mnli | **accuracy** | 0.5500 | 0.5500 ± 0.0707 | 0.5000 | 0.6000 | 2 |",
        "| accuracy | 0.6000 |",
        'model({"text": "one sentence", "text_pair": "and another"})',
        "- Steps: 12, in 0:00:03",
        "learning_rate: 2.0e-05",
        "![The course of training](curves.png)",
    ):
        assert words in card.text
    assert "import transformers_mcl" not in card.text and "pip install transformers`" in card.text
    tokens = MarkdownIt().enable("table").parse(card.text)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    subjects = ["How to use it", "Results", "This model", "All runs", "How it was trained", "Citation"]
    assert headings == ["my-mnli", *subjects]
    (bibtex,) = [token.content for token in tokens if token.type == "fence" and token.info == "bibtex"]
    assert bibtex.count("@") == 1  # no pair, which the paper is of


@pytest.mark.parametrize("word", NASTY)
def test_words_of_files_and_users_are_no_markup(word: str, tmp_path: Path) -> None:
    def card(word: str) -> ModelCard:
        table = Dataset.from_list([{word.strip(): "a", "label": f"{word} {i % 2}"} for i in range(4)])
        arguments = ExampleArguments(text_column_names=word) if "," not in word else ExampleArguments()
        sources = {split: Source(4, 4, files=(word,)) for split in ("train", "validation")}
        splits = DatasetDict(dict.fromkeys(sources, table))
        task = SequenceTask(find_task("text_classification"), arguments, splits, sources)
        one: dict[str, Any] = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2.0}
        result = {**run(0, accuracy=0.5), "task": task.name, "by_class": {"validation": {word: one, f"{word} b": one}}}
        runs = [result, {**run(1, accuracy=0.4), "task": task.name, "settings": {"run_name": word}}]
        about: dict[str, Any] = {"base_model": word, "model_type": "mcl", "versions": {"torch": "2"}, "license": word}
        more: dict[str, Any] = {"recipe": {"run_name": word, word: [word]}, "entries": summarize_runs(runs)}
        FinetunedCard(name=word, task=task, result=result, **about, **more).save(tmp_path)
        return ModelCard.load(tmp_path / "README.md")

    assert look(card(word)) == look(card("word"))


Finetuned = Callable[..., Any]


@pytest.fixture
def finetuned(command: Callable[..., list[str]], tmp_path: Path) -> Finetuned:
    """Fine-tunes for a step and returns the card."""

    def run(*words: str) -> Any:
        assert main(command("--max_steps", "1", *words)) == 0
        return ModelCard.load(tmp_path / "out" / "README.md")

    return run


def datasets_of(card: Any) -> set[tuple[Any, ...]]:
    """Type, name, configuration and split of the data that the Hub's metadata name."""
    return {(r.dataset_type, r.dataset_name, r.dataset_config, r.dataset_split) for r in card.data.eval_results}


def test_files_of_ones_own_under_the_name_of_a_glue_task(finetuned: Finetuned, write: Any) -> None:
    files = [
        "--train_file",
        write("a.jsonl", make_reviews(9, 0)),
        "--validation_file",
        write("b.jsonl", make_reviews(7, 1)),
    ]
    card = finetuned("--task_name", "sst2", *files, "--language", "en", "--license", "mit")
    assert card.data.datasets is None
    assert (card.data.language, card.data.license) == (["en"], "mit")
    assert datasets_of(card) == {("files", "b.jsonl", "b.jsonl", None)}
    assert "nyu-mll" not in card.content
    assert "fine-tuned on 9 rows of a.jsonl, for the task sst2" in card.text
    assert "Of this model, on 7 rows of b.jsonl:" in card.text
    table = card.text.partition("### By class\n\n")[2].splitlines()
    assert table[0] == "| class | precision | recall | f1 | support |"
    assert [(row.split(" | ")[0], row.split(" | ")[-1]) for row in table[2:4]] == [
        ("| negative", "4 |"),
        ("| positive", "3 |"),
    ]


def test_some_of_the_rows_of_files(finetuned: Finetuned, write: Any) -> None:
    files = [
        "--train_file",
        write("a.jsonl", make_reviews(9, 0)),
        "--validation_file",
        write("b.jsonl", make_reviews(7, 1)),
    ]
    card = finetuned(*files, "--max_train_samples", "8", "--max_eval_samples", "5")
    assert datasets_of(card) == {("files", "b.jsonl, the first 5 of 7 rows", "b.jsonl", None)}
    assert "fine-tuned on the first 8 of 9 rows of a.jsonl, for the task text_classification" in card.text
    assert "Of this model, on the first 5 of 7 rows of b.jsonl:" in card.text
    assert "text_classification: 8 train, 5 validation" in card.text


def test_a_folder(finetuned: Finetuned, glue_folder: str) -> None:
    card = finetuned("--task_name", "mnli", "--dataset_name", glue_folder)
    assert card.data.datasets is None
    files = [f"mnli/validation_{which}.jsonl" for which in ("matched", "mismatched")]
    assert datasets_of(card) == {("files", file, file, None) for file in files}
    assert {r.metric_name: r.dataset_name for r in card.data.eval_results} == {
        "accuracy": "mnli/validation_matched.jsonl",
        "accuracy_mm": "mnli/validation_mismatched.jsonl",
    }
    assert "fine-tuned on 12 rows of mnli/train.jsonl" in card.text


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What is asked of the Hub, which has reviews under any name."""
    asked: list[tuple[str, str | None]] = []

    def load(name: str, config: str | None, **rest: Any) -> DatasetDict:
        asked.append((name, config))
        rows = {"train": make_reviews(9, 0), "validation": make_reviews(7, 1), "test": make_reviews(3, 2)}
        return DatasetDict({split: Dataset.from_list(of) for split, of in rows.items()})

    monkeypatch.setattr(tables, "load_dataset", load)
    return asked


def test_the_hub_and_how_much_of_it(finetuned: Finetuned, hub: list[Any]) -> None:
    card = finetuned("--task_name", "sst2")
    assert card.data.datasets == ["nyu-mll/glue"]
    assert datasets_of(card) == {("nyu-mll/glue", "sst2", "sst2", "validation")}
    assert "fine-tuned on 9 rows of sst2 of nyu-mll/glue, split train" in card.text
    card = finetuned("--task_name", "sst2", "--max_eval_samples", "5", "--overwrite_output_dir", "true")
    assert datasets_of(card) == {("nyu-mll/glue", "sst2", "sst2", "validation[:5]")}
    card = finetuned("--dataset_name", "ada/reviews", "--dataset_config_name", "en", "--overwrite_output_dir", "true")
    assert card.data.datasets == ["ada/reviews"]
    assert datasets_of(card) == {("ada/reviews", "ada/reviews", "en", "validation")}
    card = finetuned("--dataset_name", "ada/reviews", "--task_name", "sst2", "--overwrite_output_dir", "true")
    assert "nyu-mll" not in card.content and card.data.datasets == ["ada/reviews"]
    assert hub == [("nyu-mll/glue", "sst2"), ("nyu-mll/glue", "sst2"), ("ada/reviews", "en"), ("ada/reviews", "sst2")]


def test_answers_and_tags(finetuned: Finetuned, write: Any) -> None:
    bob = {"text": ["bob"], "answer_start": [0]}
    squad = write("q.jsonl", [{"question": "who ?", "context": "bob was in rome", "answers": bob}] * 2)
    card = finetuned("--task_name", "squad", "--train_file", squad, "--validation_file", squad, "--doc_stride", "4")
    assert card.data.datasets is None and "rajpurkar" not in card.content
    assert datasets_of(card) == {("files", "q.jsonl", "q.jsonl", None)}
    tags = write("tags.jsonl", [{"tokens": ["anna", "lives"], "ner_tags": ["B-PER", "O"]}] * 4)
    files = ["--train_file", tags, "--validation_file", tags, "--max_eval_samples", "3"]
    card = finetuned("--task_name", "token_classification", *files, "--overwrite_output_dir", "true")
    assert datasets_of(card) == {("files", "tags.jsonl, the first 3 of 4 rows", "tags.jsonl", None)}
    assert "fine-tuned on 4 rows of tags.jsonl" in card.text
