"""The answer to a question as a span of a context, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoModelForQuestionAnswering, EvalPrediction, PreTrainedTokenizerBase
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from ..errors import UserError
from ..evaluation.squad import extract_answer, squad_metrics
from ..io import write_json
from .labels import check_column
from .task import LoadedTask
from .token_task import need_fast

__all__ = ["ANSWERING", "QuestionAnsweringTask"]

logger = logging.get_logger(__name__)

_SURE = 1e9  # by how much no answer is likelier than a span where none is possible; JSON knows no infinity

ANSWERING = """import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
from transformers_mcl.evaluation.squad import extract_answer

tokenizer = AutoTokenizer.from_pretrained("CHECKPOINT")
model = AutoModelForQuestionAnswering.from_pretrained("CHECKPOINT")
question, context = "Who lives in Paris?", "Anna lives in Rome. Bob lives in Paris."
cut = {"truncation": "only_second", "max_length": 384, "stride": 128, "return_overflowing_tokens": True}
inputs = tokenizer(question, context, padding=True, return_offsets_mapping=True, return_tensors="pt", **cut)
offsets = inputs.pop("offset_mapping").numpy()  # the characters of each token, of each piece of the context
for piece in range(inputs.pop("overflow_to_sample_mapping").numel()):
    offsets[piece, [part != 1 for part in inputs.sequence_ids(piece)]] = -1  # answers are in the context
with torch.no_grad():
    outputs = model(**inputs)
starts, ends = outputs.start_logits.numpy(), outputs.end_logits.numpy()
answers, none = extract_answer(context, list(zip(starts, ends, offsets)))
print("no answer" if none > answers[0].score else answers[0].text)"""
"""Python that answers a question with a fine-tuned CHECKPOINT; transformers 5 has no pipeline for it."""


class QuestionAnsweringTask(LoadedTask):
    """The answer to a question as a span of a context, or none: SQuAD's columns `question`, `context`, `answers`."""

    auto = AutoModelForQuestionAnswering
    pipeline_tag = "question-answering"
    known_metrics = ("f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1", "best_exact")
    max_seq_length = 384
    highest = 100.0
    usage = ANSWERING

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        hint, none = "train_file with columns question, context and answers", False
        for split, table in self.tables.items():
            for column in ("question", "context"):
                check_column(table, column, split, hint, text=True)
            if split != "train" and "id" in table.column_names and len(table.unique("id")) < len(table):
                raise UserError(
                    f"column 'id' of the {split} data holds the same id twice: answers are told apart by it"
                )
        for split in self.labelled:
            check_column(self.tables[split], "answers", split, hint)
            none |= self._check_answers(split)
        asked = self.args.version_2_with_negative
        self.with_negative = self.definition.some_unanswered or none if asked is None else asked
        self.features: dict[str, Dataset] = {}  # where the tokens of each split's pieces are in the text
        self.predictions: dict[str, Any] = {}

    def _check_answers(self, split: str) -> bool:
        """Whether some questions have no answer; warns of answers that are not where they are said to be, and leaves
        out those without text, which say that there is none."""
        none, blank, astray, table = False, False, [], self.tables[split]
        for number, (context, answers) in enumerate(zip(table["context"], table["answers"], strict=True)):
            given: list[Any] = (
                [answers.get(key) for key in ("text", "answer_start")] if isinstance(answers, dict) else []
            )
            if not all(isinstance(values, list) for values in given) or len({len(v) for v in given}) != 1:
                raise UserError(
                    f"column 'answers' of the {split} data must hold {{text: [...], answer_start: [...]}}, as "
                    f"SQuAD's, not {str(answers)[:80]!r}"
                )
            none |= not any(text.strip() for text in given[0])
            blank |= not all(text.strip() for text in given[0])
            if any(not context.startswith(text, start) for text, start in zip(*given, strict=True)):
                astray.append(number)
        if astray and split == "train":
            logger.warning(
                f"{len(astray):,} of the {len(table):,} train questions have an answer that does not stand in the "
                f"context at its answer_start, the first in row {astray[0] + 1}: they teach whatever stands there"
            )
        if blank:
            self.tables[split] = table.map(_with_text, desc="Leaving out answers without text")
        return none

    @property
    def model_fields(self) -> dict[str, Any]:
        return {}

    def check(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        super().check(tokenizer, length)
        need_fast(tokenizer, self.name)
        most = self._longest_question(tokenizer, length)
        for split, table in self.tables.items():
            questions = tokenizer([question.strip() for question in table["question"]], add_special_tokens=False)
            lengths = [len(ids) for ids in questions["input_ids"]]
            usual = int(np.median(lengths))
            if most < max(usual, 1):
                raise UserError(
                    f"doc_stride={self._stride} must be below {max(most + self._stride + 1 - usual, 0)}, what "
                    f"max_seq_length={length} leaves of a context beside half of the questions of the {split} data "
                    f"({usual} tokens)"
                )
            if long := [number for number, each in enumerate(lengths, 1) if each > most]:
                logger.warning(
                    f"{len(long):,} of the {len(table):,} {split} questions are longer than the {most} tokens that "
                    f"max_seq_length={length} and doc_stride={self._stride} leave, the first in row {long[0]}: their "
                    "ends are cut off"
                )

    @property
    def _stride(self) -> int:
        return 128 if self.args.doc_stride is None else self.args.doc_stride

    def _longest_question(self, tokenizer: PreTrainedTokenizerBase, length: int) -> int:
        """The tokens that a question may have: beside it a piece of context must be longer than what two share."""
        return length - tokenizer.num_special_tokens_to_add(pair=True) - self._stride - 1

    def _questions(self, given: Sequence[str], tokenizer: PreTrainedTokenizerBase, length: int) -> list[str]:
        """The questions, with the ends of those cut off that are too long."""
        texts = [question.strip() for question in given]
        most = self._longest_question(tokenizer, length)
        spans = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [
            text[: span[most - 1][1]] if len(span) > most else text for text, span in zip(texts, spans, strict=True)
        ]

    def encode(self, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
        def pieces(batch: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, Any]:
            encoded = tokenizer(
                self._questions(batch["question"], tokenizer, length),
                batch["context"],
                truncation="only_second",
                max_length=length,
                stride=self._stride,
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

    def metrics(self, predicted: EvalPrediction, split: str | None = None) -> dict[str, float]:
        split = split or self.validations[0]
        self.predictions = self._answer(split, predicted.predictions)
        texts, best, margins = self.predictions.values()
        answers = (row["text"] for row in self.tables[split]["answers"])
        references = dict(zip(texts, answers, strict=True))
        if compute := self.definition.compute_metrics:
            return self.asked_figures(compute(texts, references))
        figures = squad_metrics(texts, references)
        if self.with_negative:
            always = {key: found[0]["text"] if found else "" for key, found in best.items()}
            searched = squad_metrics(always, references, margins)
            figures |= {name: value for name, value in searched.items() if name.startswith("best_")}
        return self.asked_figures(figures)

    @property
    def sample(self) -> tuple[Any, Any]:
        return {"0": "an answer"}, {"0": ["an answer"]}

    def save_predicted(self, split: str, predicted: PredictionOutput, folder: Path) -> None:
        """`predict_predictions.json` and so on, as `run_qa.py` does."""
        _save(self._answer(split, predicted.predictions), folder, "predict_")

    def save_predictions(self, folder: Path) -> None:
        """`predictions.json`, `nbest_predictions.json` and `null_odds.json`, as the official script reads them."""
        _save(self.predictions, folder)

    def describe(self) -> str:
        return f"{super().describe()}; {'some' if self.with_negative else 'no'} questions have no answer"


def _with_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of a row that have a text."""
    pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    kept = [(text, start) for text, start in pairs if text.strip()]
    return {"answers": {"text": [text for text, _ in kept], "answer_start": [start for _, start in kept]}}


def _save(predictions: Mapping[str, Any], folder: Path, prefix: str = "") -> None:
    for name, value in predictions.items():
        path = folder / f"{prefix}{name}.json"
        write_json(path, value, indent=1, ensure_ascii=False)


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
