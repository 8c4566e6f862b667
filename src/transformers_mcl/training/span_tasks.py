"""Tasks about parts of a text: a tag for every word, and the answer to a question in a context."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    EvalPrediction,
    PreTrainedTokenizerBase,
)

from ..errors import UserError
from ..evaluation.spans import tagging_metrics
from ..evaluation.squad import Answer, extract_answer, squad_metrics
from .task import Task, check_column
from .task_arguments import TaskArguments

__all__ = ["QuestionAnsweringTask", "TokenTask"]

_IGNORED = -100
_SURE = 1e9  # by how much no answer is likelier than a span where none is possible; JSON knows no infinity


class TokenTask(Task):
    """A tag for every word: named entities, parts of speech. A word's first token stands for it."""

    auto = AutoModelForTokenClassification
    pipeline_tag = "token-classification"

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        columns = tables["train"].column_names
        usual = [column for column in ("ner_tags", "labels", "tags") if column in columns]
        self.label_column = args.label_column_name or next(iter(usual), "ner_tags")
        self.words_column = args.text_column_names or "tokens"
        for split, table in tables.items():
            check_column(table, self.words_column, split, "text_column_names")
            check_column(table, self.label_column, split, "label_column_name")
            for words, tags in zip(table[self.words_column], table[self.label_column], strict=True):
                if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
                    raise UserError(
                        f"columns {self.words_column!r} and {self.label_column!r} of the {split} data must hold lists "
                        f"of equal length, not {str(words)[:60]!r} and {str(tags)[:60]!r}"
                    )
        self.classes = self._classes()
        self.main_metric = "f1"

    def _classes(self) -> list[Any]:
        inner = getattr(self.tables["train"].features[self.label_column], "feature", None)
        seen = {
            split: {tag for tags in table[self.label_column] for tag in tags} for split, table in self.tables.items()
        }
        if isinstance(inner, ClassLabel):
            return list(inner.names)
        for split in self.validations:
            if new := seen[split] - seen["train"]:
                raise UserError(
                    f"column {self.label_column!r} of the {split} data holds {sorted(map(str, new))[0]!r}, which "
                    f"training never had, only {', '.join(sorted(map(str, seen['train']))[:20])}"
                )
        return sorted(seen["train"], key=lambda tag: (str(type(tag)), tag))

    @property
    def model_fields(self) -> dict[str, Any]:
        names = [str(name) for name in self.classes]
        return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        need_fast(tokenizer, self.name)

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        # As counted by `datasets`' features, or as they stand in a file.
        numbers: dict[Any, int] = {i: i for i in range(len(self.classes))} | {t: i for i, t in enumerate(self.classes)}

        def rows(batch: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
            encoded = tokenizer(
                batch[self.words_column],
                is_split_into_words=True,
                truncation=True,
                max_length=length,
                padding="max_length" if self.args.pad_to_max_length else False,
            )
            labels = []
            for i, tags in enumerate(batch[self.label_column]):
                words = encoded.word_ids(i)
                firsts = [w is not None and w != before for w, before in zip(words, [None, *words], strict=False)]
                labels.append(
                    [numbers[tags[w]] if first else _IGNORED for w, first in zip(words, firsts, strict=True)]
                )
            return {**encoded, "labels": labels}

        return self.map(split, rows)

    def collator(self, tokenizer: PreTrainedTokenizerBase, multiple: int | None) -> Any:
        return DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=multiple)

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        logits = predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
        names = np.array([str(name) for name in self.classes])
        pairs = [
            (names[given[there]].tolist(), names[wanted[there]].tolist())
            for given, wanted in zip(np.argmax(logits, -1), np.asarray(predicted.label_ids), strict=True)
            for there in [wanted != _IGNORED]
        ]
        return tagging_metrics(*zip(*pairs, strict=True))

    def describe(self) -> str:
        return f"{super().describe()}; {len(self.classes)} tags ({self.label_column})"


class QuestionAnsweringTask(Task):
    """The answer to a question as a span of a context, or none: SQuAD's columns `question`, `context`, `answers`."""

    auto = AutoModelForQuestionAnswering
    pipeline_tag = "question-answering"
    main_metric = "f1"
    max_seq_length = 384
    ordered = True

    def __init__(self, name: str, args: TaskArguments, tables: DatasetDict):
        super().__init__(name, args, tables)
        for split, table in tables.items():
            for column in ("question", "context", "answers"):
                check_column(table, column, split, "train_file with columns question, context and answers")
            for answers in table["answers"]:
                if not isinstance(answers, dict) or len(answers.get("text", "")) != len(
                    answers.get("answer_start", [0])
                ):
                    raise UserError(
                        f"column 'answers' of the {split} data must hold {{text: [...], answer_start: [...]}}, as "
                        f"SQuAD's, not {str(answers)[:80]!r}"
                    )
        none = any(not answers["text"] for table in tables.values() for answers in table["answers"])
        self.with_negative = none if args.version_2_with_negative is None else args.version_2_with_negative
        self.features: Dataset | None = None  # of the validation data
        self.predictions: dict[str, Any] = {}

    @property
    def model_fields(self) -> dict[str, Any]:
        return {}

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
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
            spans = [answer_tokens(batch["answers"][row], place) for row, place in zip(rows, offsets, strict=True)]
            return {
                **encoded,
                "offset_mapping": [place.tolist() for place in offsets],
                "start_positions": [start for start, _ in spans],
                "end_positions": [end for _, end in spans],
                "example": [indices[row] for row in rows],
            }

        table = self.map(split, pieces, with_indices=True)
        if split != "train":
            self.features = table.select_columns(["example", "offset_mapping"])
        return table.remove_columns(["example", "offset_mapping"])

    def metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        assert self.features is not None
        table = self.tables[self.validations[0]]
        logits: Any = predicted.predictions
        pieces: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        for starts, ends, feature in zip(logits[0], logits[1], self.features, strict=True):
            pieces.setdefault(feature["example"], []).append((starts, ends, np.array(feature["offset_mapping"])))
        best: dict[str, list[Answer]] = {}
        margins, always, texts, references = {}, {}, {}, {}
        for number, row in enumerate(table):
            key = str(row.get("id", number))
            found, null = extract_answer(
                row["context"], pieces[number], self.args.n_best_size, self.args.max_answer_length
            )
            best[key] = found
            margins[key] = null - found[0].score if found else _SURE
            always[key] = found[0].text if found else ""
            unanswered = self.with_negative and margins[key] > self.args.null_score_diff_threshold
            texts[key] = "" if unanswered else always[key]
            references[key] = row["answers"]["text"]
        spans = {
            key: [{"text": answer.text, "score": answer.score} for answer in found] for key, found in best.items()
        }
        self.predictions = {"predictions": texts, "nbest_predictions": spans, "null_odds": margins}
        figures = squad_metrics(texts, references)
        if self.with_negative:
            searched = squad_metrics(always, references, margins)
            figures |= {name: value for name, value in searched.items() if name.startswith("best_")}
        return figures

    def save_predictions(self, folder: Path) -> None:
        """`predictions.json`, `nbest_predictions.json` and `null_odds.json`, as the official script reads them."""
        for name, value in self.predictions.items():
            (folder / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")

    def describe(self) -> str:
        return f"{super().describe()}; {'some' if self.with_negative else 'no'} questions have no answer"


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
