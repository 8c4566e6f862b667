"""A tag for every word of a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput

from ..errors import UserError
from ..evaluation.tagging import tagging_metrics
from .labels import check_column, class_namer, model_order
from .task import LoadedTask

__all__ = ["TokenTask", "need_fast"]

_IGNORED = -100


class TokenTask(LoadedTask):
    """A tag for every word: named entities, parts of speech. A word's first token stands for it; -100 is no tag."""

    auto = AutoModelForTokenClassification
    pipeline_tag = "token-classification"
    known_metrics = ("f1", "precision", "recall", "accuracy")

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        columns = self.tables["train"].column_names
        if not (self.args.label_column_name or self.definition.label_column):
            usual = [column for column in ("ner_tags", "labels", "tags") if column in columns]
            self.label_column = next(iter(usual), "ner_tags")
        self.words_column = self.args.text_column_names or next(iter(self.definition.text_columns), "tokens")
        for split, table in self.tables.items():
            check_column(table, self.words_column, split, "text_column_names")
        for split, table in self.labelled.items():
            check_column(table, self.label_column, split, "label_column_name")
            for words, tags in zip(table[self.words_column], table[self.label_column], strict=True):
                lists = isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags)
                if not lists or None in words or None in tags:
                    raise UserError(
                        f"columns {self.words_column!r} and {self.label_column!r} of the {split} data must hold lists "
                        f"of equal length without nulls, not {str(words)[:60]!r} and {str(tags)[:60]!r}"
                    )
        self.classes = self._classes()

    def _namer(self, split: str) -> Callable[[Any], str]:
        """From a tag of a split to the name of its class: a task or a training set may count them."""
        features = [getattr(self.tables[s].features[self.label_column], "feature", None) for s in ("train", split)]
        return class_namer(
            features[1], features[0].names if isinstance(features[0], ClassLabel) else self.definition.classes
        )

    def _classes(self) -> list[str]:
        inner = getattr(self.tables["train"].features[self.label_column], "feature", None)
        names: dict[str, list[str]] = {}
        for split, table in self.labelled.items():
            tags = sorted({tag for tags in table[self.label_column] for tag in tags} - {_IGNORED})
            names[split] = [self._namer(split)(tag) for tag in tags]
        classes = list(inner.names) if isinstance(inner, ClassLabel) else names["train"]
        classes = list(self.definition.classes) or classes
        if not classes:
            raise UserError(f"column {self.label_column!r} of the train data has no tag")
        for split in self.validations:
            if new := [name for name in names[split] if name not in classes]:
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {new[0]!r}, which training never had, "
                    f"only {', '.join(sorted(classes)[:20])}"
                )
        return classes

    def adopt(self, config: PreTrainedConfig, trains: bool) -> None:
        order = model_order(self.classes, config, "" if trains else str(config.name_or_path))
        self.classes = [self.classes[which] for which in order]

    @property
    def model_fields(self) -> dict[str, Any]:
        return {
            "id2label": dict(enumerate(self.classes)),
            "label2id": {name: i for i, name in enumerate(self.classes)},
        }

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        super().check(tokenizer, length)
        need_fast(tokenizer, self.name)
        splitter = tokenizer.backend_tokenizer.pre_tokenizer
        if isinstance(splitter, ByteLevel) and not splitter.add_prefix_space:
            raise UserError(
                f"the tokenizer {tokenizer.name_or_path!r} tells words apart by the space before them: save it with "
                "add_prefix_space=True, and give it as --tokenizer_name"
            )

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        ids = self.model_fields["label2id"]
        name = (lambda _: "") if split in self.tests else self._namer(split)

        def rows(batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
            encoded = tokenizer(
                batch[self.words_column],
                is_split_into_words=True,
                truncation=True,
                max_length=length,
                padding="max_length" if self.args.pad_to_max_length else False,
            )
            words = [encoded.word_ids(i) for i in range(len(encoded["input_ids"]))]
            if split in self.tests:  # a label of 0 marks a word to tag
                numbers = [[0] * len(row) for row in batch[self.words_column]]
            else:
                numbers = [
                    [_IGNORED if tag == _IGNORED else ids[name(tag)] for tag in row]
                    for row in batch[self.label_column]
                ]
            return {**encoded, "labels": [_first_tokens(*pair) for pair in zip(words, numbers, strict=True)]}

        return self.map(split, rows)

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        return DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=multiple)

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        given = self._tags(predicted.predictions, predicted.label_ids)
        wanted = [[self.classes[tag] for tag in row[row != _IGNORED]] for row in np.asarray(predicted.label_ids)]
        return self.asked_figures((self.definition.compute_metrics or tagging_metrics)(given, wanted))

    @property
    def sample(self) -> tuple[Any, Any]:
        return [self.classes], [self.classes]

    def _tags(self, predictions: Any, labels: Any) -> list[list[str]]:
        """The likeliest tag of each word that has a label."""
        logits = predictions[0] if isinstance(predictions, tuple) else predictions
        best = zip(np.argmax(logits, -1), np.asarray(labels), strict=True)
        return [[self.classes[tag] for tag in row[label != _IGNORED]] for row, label in best]

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predictions.txt`, the tags of an example a line, as `run_ner.py` does."""
        tags = self._tags(predicted.predictions, predicted.label_ids)
        (folder / "predictions.txt").write_text("".join(f"{' '.join(row)}\n" for row in tags), encoding="utf-8")

    def describe(self) -> str:
        return f"{super().describe()}; {len(self.classes)} tags ({self.label_column})"


def _first_tokens(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The label of each word at its first token, nothing at all others."""
    befores = [None, *words]
    return [
        _IGNORED if word is None or word == before else labels[word]
        for word, before in zip(words, befores, strict=False)
    ]


def need_fast(tokenizer: PreTrainedTokenizerBase, task: str) -> None:
    """That the tokenizer can say which characters or words its tokens are.

    Raises:
        UserError: it cannot.
    """
    if not tokenizer.is_fast:
        raise UserError(f"{task} needs a fast tokenizer (tokenizer.json), which {tokenizer.name_or_path!r} has not")
