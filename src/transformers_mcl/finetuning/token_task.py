"""A tag for every word of a text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from scipy.special import softmax
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from ..errors import UserError
from ..evaluation.metrics import figures_by_class
from ..evaluation.tagging import mark_spans, span_figures, tagging_metrics
from ..io import whole_file, write_text
from .labels import check_column, class_namer, model_order
from .task import LoadedTask

__all__ = ["TokenTask", "need_fast"]

logger = logging.get_logger(__name__)

_IGNORED = -100


class TokenTask(LoadedTask):
    """A tag for every word: named entities, parts of speech. A word's first token stands for it; -100 is no tag.

    A row longer than fits is read in pieces that share some tokens, and each of its words has its tag from the piece
    in which most stands around it. A word that the tokenizer makes nothing of has the tag `O`, or the commonest one.

    Attributes:
        spans: whether the tags mark spans, by the names of the classes: it says which F1 is reported.
    """

    auto = AutoModelForTokenClassification
    pipeline_tag = "token-classification"
    known_metrics = ("f1", "precision", "recall", "accuracy")

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        columns = self.tables[self.first_split].column_names
        if not (self.args.label_column_name or self.definition.label_column):
            usual = [column for column in ("ner_tags", "labels", "tags") if column in columns]
            self.label_column = next(iter(usual), "ner_tags")
        self.words_column = self.args.text_column_names or next(iter(self.definition.text_columns), "tokens")
        for split, table in self.tables.items():
            check_column(table, self.words_column, split, "text_column_names")
        for split, table in self.labelled.items():
            check_column(table, self.label_column, split, "label_column_name")
            self._check_rows(split, table)
        self.classes = self._classes()
        self.spans = mark_spans(self.classes)
        self.places: dict[
            str, Dataset
        ] = {}  # of each split's pieces: the example, and the word of each labelled token

    def _check_rows(self, split: str, table: Dataset) -> None:
        for words, tags in zip(table[self.words_column], table[self.label_column], strict=True):
            lists = isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags)
            if not lists or None in words or None in tags:
                raise UserError(
                    f"columns {self.words_column!r} and {self.label_column!r} of the {split} data must hold lists "
                    f"of equal length without nulls, not {str(words)[:60]!r} and {str(tags)[:60]!r}"
                )

    def _namer(self, split: str) -> Callable[[Any], str]:
        """From a tag of a split to the name of its class: a task or a training set may count them."""
        first, feature = (
            getattr(self.tables[which].features[self.label_column], "feature", None)
            for which in (self.first_split, split)
        )
        return class_namer(feature, first.names if isinstance(first, ClassLabel) else self.definition.classes)

    def _classes(self) -> list[str]:
        names = {}
        for split, table in self.labelled.items():
            tags = sorted({tag for tags in table[self.label_column] for tag in tags} - {_IGNORED})
            names[split] = [self._namer(split)(tag) for tag in tags]
        classes = list(self.definition.classes) or self._first_classes(names.get(self.first_split))
        if not classes:
            raise UserError(f"column {self.label_column!r} of the {self.first_split} data has no tag")
        for split in self.validations:
            if new := [name for name in names[split] if name not in classes]:
                who = "the model does not have" if self.checkpoint else "training never had"
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {new[0]!r}, which {who}, "
                    f"only {', '.join(sorted(classes)[:20])}"
                )
        return classes

    def _first_classes(self, found: list[str] | None) -> list[str]:
        """Of the first split, whose tags are `found`; or, where it has no others, those of the model that is used."""
        theirs = self.checkpoint_classes
        if found is None or (theirs and set(found) <= set(theirs)):
            return theirs
        inner = getattr(self.tables[self.first_split].features[self.label_column], "feature", None)
        return list(inner.names) if isinstance(inner, ClassLabel) else found

    def class_counts(self) -> Counter[str]:
        name, tags = self._namer("train"), self.tables["train"][self.label_column]
        return Counter(name(tag) for row in tags for tag in row if tag != _IGNORED)

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
        room = length - tokenizer.num_special_tokens_to_add()
        if self._stride(length) >= room:
            raise UserError(
                f"doc_stride={self._stride(length)} must be below {max(room, 1)}, which is what max_seq_length="
                f"{length} leaves of a text beside special tokens"
            )

    def _stride(self, length: int) -> int:
        return length // 4 if self.args.doc_stride is None else self.args.doc_stride

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        tags = self._numbers(split)
        inside = self._continued() if self.args.label_all_tokens and split == "train" else None

        def pieces(batch: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, Any]:
            encoded = tokenizer(
                batch[self.words_column],
                is_split_into_words=True,
                truncation=True,
                max_length=length,
                stride=self._stride(length),
                return_overflowing_tokens=True,
                padding="max_length" if self.args.pad_to_max_length else False,
            )
            examples = encoded.pop("overflow_to_sample_mapping")
            words = [encoded.word_ids(i) for i in range(len(examples))]
            chosen = _chosen_tokens(words, examples)
            labels = []
            for example, row, first in zip(examples, words, chosen, strict=True):
                numbers = tags(batch, example)
                labels.append([numbers[row[i]] if i in first else _IGNORED for i in range(len(row))])
                if inside is not None:
                    _continue_labels(labels[-1], row, inside)
            places = [[row[i] for i in sorted(first)] for row, first in zip(words, chosen, strict=True)]
            tokens = [sorted(first) for first in chosen]
            rows = {"example": [indices[example] for example in examples], "words": places, "tokens": tokens}
            return {**encoded, **rows, "labels": labels}

        table = self.map(split, pieces, with_indices=True)
        own = ["example", "words", "tokens"]
        self.places[split] = table.select_columns(own)
        self._say_pieces(split, length)
        return table.remove_columns(own)

    def _numbers(self, split: str) -> Callable[[Mapping[str, Sequence[Any]], int], list[int]]:
        """What gives the numbers of the tags of an example in a batch; of those to predict 0, which marks words."""
        if split in self.tests:
            return lambda batch, example: [0] * len(batch[self.words_column][example])
        ids, name = self.model_fields["label2id"], self._namer(split)
        return lambda batch, example: [
            _IGNORED if tag == _IGNORED else ids[name(tag)] for tag in batch[self.label_column][example]
        ]

    def _continued(self) -> list[int]:
        """For each class that of a word's further tokens: `I-X` of `B-X`, where there is such a class."""
        ids = self.model_fields["label2id"]
        return [ids.get(f"I-{name[2:]}" if name.startswith("B-") else name, i) for i, name in enumerate(self.classes)]

    def _say_pieces(self, split: str, length: int) -> None:
        places = self.places[split]
        read = Counter(places["example"])
        if long := sum(count > 1 for count in read.values()):
            logger.warning(
                f"{self.name}: {long:,} of the {len(self.tables[split]):,} {split} rows are longer than "
                f"max_seq_length={length}: they are cut into pieces that share {self._stride(length)} tokens "
                "(doc_stride), and all words are kept"
            )
        words = sum(map(len, self.tables[split][self.words_column]))
        if lost := words - sum(map(len, places["words"])):
            logger.warning(
                f"{self.name}: the tokenizer makes nothing of {lost:,} of the {words:,} {split} words (empty, or "
                f"characters that cannot be seen): they are tagged {self._outside!r}"
            )

    @property
    def _outside(self) -> str:
        """The tag of a word without tokens."""
        if "O" in self.classes or self.first_split not in self.labelled:
            return "O" if "O" in self.classes else self.classes[0]
        name = self._namer(self.first_split)
        tags = Counter(tag for row in self.tables[self.first_split][self.label_column] for tag in row)
        return next((name(tag) for tag, _ in tags.most_common() if tag != _IGNORED), self.classes[0])

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        return DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=multiple)

    def metrics(self, predicted: EvalPrediction, split: str | None = None) -> dict[str, float]:
        split = split or self.validations[0]
        name, table = self._namer(split), self.tables[split]
        given, wanted = [], []
        for tags, words in zip(table[self.label_column], self._tags(split, predicted.predictions), strict=True):
            there = [i for i, tag in enumerate(tags) if tag != _IGNORED]
            wanted.append([name(tags[i]) for i in there])
            given.append([words[i] for i in there])
        self.by_class[split] = self._by_class(given, wanted)
        if compute := self.definition.compute_metrics:
            return self.asked_figures(compute(given, wanted))
        return self.asked_figures(tagging_metrics(given, wanted, self.spans))

    def _by_class(
        self, given: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]
    ) -> dict[str, dict[str, float]]:
        """Of each kind of span, or of each tag."""
        if self.spans:
            return span_figures(given, wanted)[1]
        ids = self.model_fields["label2id"]
        answers, references = ([ids[tag] for row in rows for tag in row] for rows in (given, wanted))
        return figures_by_class(answers, references, self.classes)

    @property
    def sample(self) -> tuple[Any, Any]:
        return [self.classes], [self.classes]

    def _words(self, split: str, predictions: Any) -> list[dict[int, np.ndarray]]:
        """Of every example the logits of each word that has any."""
        logits = predictions[0] if isinstance(predictions, tuple) else predictions
        found: list[dict[int, np.ndarray]] = [{} for _ in range(len(self.tables[split]))]
        for piece, row in zip(self.places[split], logits, strict=True):
            found[piece["example"]] |= dict(zip(piece["words"], row[piece["tokens"]], strict=True))
        return found

    def _tags(self, split: str, predictions: Any) -> list[list[str]]:
        """The likeliest tag of each word."""
        outside = self._outside
        return [
            [self.classes[np.argmax(found[i])] if i in found else outside for i in range(len(words))]
            for words, found in zip(
                self.tables[split][self.words_column], self._words(split, predictions), strict=True
            )
        ]

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predictions.txt`, the tags of an example a line, as `run_ner.py` does; and how likely each was, as JSON
        lines, `predicted_probabilities.jsonl`: null of a word without tokens."""
        tags = self._tags(split, predicted.predictions)
        write_text(folder / "predictions.txt", "".join(f"{' '.join(row)}\n" for row in tags))
        with (
            whole_file(folder / "predicted_probabilities.jsonl") as draft,
            draft.open("w", encoding="utf-8", newline="") as file,
        ):
            for row, found in zip(tags, self._words(split, predicted.predictions), strict=True):
                likely = {i: round(float(softmax(logits.astype(float)).max()), 6) for i, logits in found.items()}
                file.write(json.dumps([likely.get(i) for i in range(len(row))]) + "\n")

    def describe(self) -> str:
        measure = "F1 of spans" if self.spans else "mean F1 of the tags"
        return f"{super().describe()}; {len(self.classes)} tags ({self.label_column}), {measure}"


def _chosen_tokens(words: Sequence[Sequence[int | None]], examples: Sequence[int]) -> list[set[int]]:
    """Of every piece the tokens that stand for their words: each word's first token, in the piece of its example in
    which most tokens stand on both sides of it."""
    best: dict[tuple[int, int], tuple[int, int, int]] = {}  # by example and word: room around, piece, token
    for piece, (row, example) in enumerate(zip(words, examples, strict=True)):
        content = [i for i, word in enumerate(row) if word is not None]
        for i in content:
            # The rest of a word that began in the piece before has no room: its first token, which came before, stays.
            room, word = min(i - content[0], content[-1] - i), row[i]
            begins = i == content[0] or row[i - 1] != word
            if word is not None and begins and ((example, word) not in best or room > best[example, word][0]):
                best[example, word] = (room, piece, i)
    chosen: list[set[int]] = [set() for _ in words]
    for _, piece, token in best.values():
        chosen[piece].add(token)
    return chosen


def _continue_labels(labels: list[int], words: Sequence[int | None], inside: Sequence[int]) -> None:
    """Labels the further tokens of each word that has a label."""
    for i in range(1, len(words)):
        if words[i] is not None and words[i] == words[i - 1] and labels[i] == _IGNORED != labels[i - 1]:
            labels[i] = inside[labels[i - 1]]


def need_fast(tokenizer: PreTrainedTokenizerBase, task: str) -> None:
    """That the tokenizer can say which characters or words its tokens are.

    Raises:
        UserError: it cannot.
    """
    if not tokenizer.is_fast:
        raise UserError(f"{task} needs a fast tokenizer (tokenizer.json), which {tokenizer.name_or_path!r} has not")
