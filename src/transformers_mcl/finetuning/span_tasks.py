"""Tasks about parts of a text: a tag for every word, and the answer to a question in a context."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from ..errors import UserError
from ..evaluation.spans import tagging_metrics
from ..evaluation.squad import extract_answer, squad_metrics
from .arguments import TaskArguments
from .task import Task, check_column, class_namer, model_order

__all__ = ["QuestionAnsweringTask", "TokenTask"]

logger = logging.get_logger(__name__)

_IGNORED = -100
_SURE = 1e9  # by how much no answer is likelier than a span where none is possible; JSON knows no infinity


class TokenTask(Task):
    """A tag for every word: named entities, parts of speech. A word's first token stands for it; -100 is no tag."""

    auto = AutoModelForTokenClassification
    pipeline_tag = "token-classification"
    main_metric = "f1"
    metric_names = ("f1", "precision", "recall", "accuracy")

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        columns = tables["train"].column_names
        usual = [column for column in ("ner_tags", "labels", "tags") if column in columns]
        self.label_column = args.label_column_name or next(iter(usual), "ner_tags")
        self.words_column = args.text_column_names or "tokens"
        for split, table in tables.items():
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
        """From a tag of a split to the name of its class: a training set may count them."""
        features = [getattr(self.tables[s].features[self.label_column], "feature", None) for s in ("train", split)]
        return class_namer(features[1], features[0].names if isinstance(features[0], ClassLabel) else ())

    def _classes(self) -> list[str]:
        inner = getattr(self.tables["train"].features[self.label_column], "feature", None)
        names: dict[str, list[str]] = {}
        for split, table in self.labelled.items():
            tags = sorted({tag for tags in table[self.label_column] for tag in tags} - {_IGNORED})
            names[split] = [self._namer(split)(tag) for tag in tags]
        classes = list(inner.names) if isinstance(inner, ClassLabel) else names["train"]
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
        return tagging_metrics(given, wanted)

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


class QuestionAnsweringTask(Task):
    """The answer to a question as a span of a context, or none: SQuAD's columns `question`, `context`, `answers`."""

    auto = AutoModelForQuestionAnswering
    pipeline_tag = "question-answering"
    main_metric = "f1"
    metric_names = ("f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1", "best_exact")
    max_seq_length = 384
    ordered = True

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        hint, none = "train_file with columns question, context and answers", False
        for split, table in tables.items():
            for column in ("question", "context"):
                check_column(table, column, split, hint, text=True)
            if split != "train" and "id" in table.column_names and len(table.unique("id")) < len(table):
                raise UserError(
                    f"column 'id' of the {split} data holds the same id twice: answers are told apart by it"
                )
        for split, table in self.labelled.items():
            check_column(table, "answers", split, hint)
            none |= self._check_answers(split, table)
        by_data = name == "squad_v2" or none
        self.with_negative = by_data if args.version_2_with_negative is None else args.version_2_with_negative
        self.features: dict[str, Dataset] = {}  # where the tokens of each split's pieces are in the text
        self.predictions: dict[str, Any] = {}

    def _check_answers(self, split: str, table: Dataset) -> bool:
        """Whether some questions have no answer; warns of answers that are not where they are said to be."""
        none, astray = False, []
        for number, (context, answers) in enumerate(zip(table["context"], table["answers"], strict=True)):
            given: list[Any] = (
                [answers.get(key) for key in ("text", "answer_start")] if isinstance(answers, dict) else []
            )
            if not all(isinstance(values, list) for values in given) or len({len(v) for v in given}) != 1:
                raise UserError(
                    f"column 'answers' of the {split} data must hold {{text: [...], answer_start: [...]}}, as "
                    f"SQuAD's, not {str(answers)[:80]!r}"
                )
            none |= not given[0]
            if any(not context.startswith(text, start) for text, start in zip(*given, strict=True)):
                astray.append(number)
        if astray and split == "train":
            logger.warning(
                f"{len(astray):,} of the {len(table):,} train questions have an answer that does not stand in the "
                f"context at its answer_start, the first in row {astray[0] + 1}: they teach whatever stands there"
            )
        return none

    @property
    def model_fields(self) -> dict[str, Any]:
        return {}

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        super().check(tokenizer, length)
        need_fast(tokenizer, self.name)
        for split, table in self.tables.items():
            questions = tokenizer([question.strip() for question in table["question"]], add_special_tokens=False)
            longest = max(map(len, questions["input_ids"]))
            room = length - longest - tokenizer.num_special_tokens_to_add(pair=True)
            if self.args.doc_stride >= room:
                raise UserError(
                    f"doc_stride={self.args.doc_stride} must be below {max(room, 0)}, which is what max_seq_length="
                    f"{length} leaves of a context beside the longest question of the {split} data ({longest} tokens)"
                )

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        def pieces(batch: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, Any]:
            encoded = tokenizer(
                [question.strip() for question in batch["question"]],
                batch["context"],
                truncation="only_second",
                max_length=length,
                stride=self.args.doc_stride,
                padding="max_length" if self.args.pad_to_max_length else False,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            rows = encoded.pop("overflow_to_sample_mapping")
            offsets = [_context_offsets(encoded, i) for i in range(len(rows))]
            places = {
                "offset_mapping": [place.tolist() for place in offsets],
                "example": [indices[row] for row in rows],
            }
            if split in self.tests:
                return {**encoded, **places}
            spans = [answer_tokens(batch["answers"][row], place) for row, place in zip(rows, offsets, strict=True)]
            starts, ends = ([span[i] for span in spans] for i in (0, 1))
            return {**encoded, **places, "start_positions": starts, "end_positions": ends}

        table = self.map(split, pieces, with_indices=True)
        if split != "train":
            self.features[split] = table.select_columns(["example", "offset_mapping"])
        return table.remove_columns(["example", "offset_mapping"])

    def _answer(self, split: str, logits: Any) -> dict[str, dict[str, Any]]:
        """By the questions' ids: the answer given, the best spans, and by how much none is likelier than the best."""
        pieces: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        for starts, ends, feature in zip(logits[0], logits[1], self.features[split], strict=True):
            pieces.setdefault(feature["example"], []).append((starts, ends, np.array(feature["offset_mapping"])))
        given: dict[str, dict[str, Any]] = {"predictions": {}, "nbest_predictions": {}, "null_odds": {}}
        for number, row in enumerate(self.tables[split]):
            key = str(row.get("id", number))
            found, null = extract_answer(
                row["context"], pieces[number], self.args.n_best_size, self.args.max_answer_length
            )
            margin = null - found[0].score if found else _SURE
            unanswered = not found or (self.with_negative and margin > self.args.null_score_diff_threshold)
            given["predictions"][key] = "" if unanswered else found[0].text
            given["nbest_predictions"][key] = [{"text": answer.text, "score": answer.score} for answer in found]
            given["null_odds"][key] = margin
        return given

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        split = self.validations[0]
        self.predictions = self._answer(split, predicted.predictions)
        texts, best, margins = self.predictions.values()
        answers = (row["text"] for row in self.tables[split]["answers"])
        references = dict(zip(texts, answers, strict=True))
        figures = squad_metrics(texts, references)
        if self.with_negative:
            always = {key: found[0]["text"] if found else "" for key, found in best.items()}
            searched = squad_metrics(always, references, margins)
            figures |= {name: value for name, value in searched.items() if name.startswith("best_")}
        return figures

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predict_predictions.json` and so on, as `run_qa.py` does."""
        _save(self._answer(split, predicted.predictions), folder, "predict_")

    def save_predictions(self, folder: Path) -> None:
        """`predictions.json`, `nbest_predictions.json` and `null_odds.json`, as the official script reads them."""
        _save(self.predictions, folder)

    def describe(self) -> str:
        return f"{super().describe()}; {'some' if self.with_negative else 'no'} questions have no answer"


def _save(predictions: Mapping[str, Any], folder: Path, prefix: str = "") -> None:
    for name, value in predictions.items():
        path = folder / f"{prefix}{name}.json"
        path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


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


def _context_offsets(encoded: Any, piece: int) -> np.ndarray:
    """The characters that each token of the context covers, `(tokens, 2)`; -1 for all other tokens."""
    offsets = np.array(encoded["offset_mapping"][piece])
    outside = np.array([part != 1 for part in encoded.sequence_ids(piece)])
    offsets[outside] = -1
    return offsets


def answer_tokens(answers: Mapping[str, Sequence[Any]], offsets: np.ndarray) -> tuple[int, int]:
    """First and last token of the first answer in a piece of a context; both 0 where it is not wholly inside."""
    if not answers["text"]:
        return 0, 0
    begin = int(answers["answer_start"][0])
    end = begin + len(answers["text"][0])
    inside = np.flatnonzero(offsets[:, 0] >= 0)
    if not len(inside) or offsets[inside[0], 0] > begin or offsets[inside[-1], 1] < end:
        return 0, 0
    first = inside[offsets[inside, 0] <= begin][-1]
    last = inside[offsets[inside, 1] >= end][0]
    return int(first), int(max(first, last))
