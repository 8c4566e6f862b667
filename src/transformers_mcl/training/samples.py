"""The page on which a pair is seen to learn: what it does to a few held-out sentences, evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging

from ..errors import UserError
from ..inspection import inspect_text, page_frame, read_frames, write_page
from ..models.pretraining import MclForPreTraining

__all__ = ["PAGE", "SamplesCallback", "known_texts"]

logger = logging.get_logger(__name__)

PAGE = "samples.html"
_TOKENS = 20  # of a sentence
_MOST = 40  # steps that a page has


class SamplesCallback(TrainerCallback):
    """Writes `samples.html` into the output folder, before training and at every evaluation: what the pair does to a
    few sentences, with a slider over the steps so far, of which every other one goes when they are more than 40.

    It draws from a source of its own, the same at every step: training goes on as without it. A run that is resumed
    keeps the steps up to its checkpoint, which it reads in the page. Of several processes the first does it; it is not
    for a pair in shards (FSDP, DeepSpeed), of which no process has the whole.

    Args:
        texts: the sentences.
        tokenizer: the pair's.
    """

    def __init__(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase):
        self.texts, self.tokenizer = texts, tokenizer
        self.frames: list[dict[str, Any]] = []

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: MclForPreTraining | None = None,
        **_: Any,
    ) -> None:
        if state.global_step == 0:
            self.frames = []
            self._look(args, state, model)
        elif state.is_world_process_zero:  # other steps are of a run that went another way
            self.frames = read_frames(_page(args), state.global_step)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: MclForPreTraining | None = None,
        **_: Any,
    ) -> None:
        self._look(args, state, model)

    def _look(self, args: TrainingArguments, state: TrainerState, model: MclForPreTraining | None) -> None:
        seen = bool(self.frames) and self.frames[-1]["step"] == state.global_step
        if not state.is_world_process_zero or model is None or seen:
            return
        try:
            found = [inspect_text(model, self.tokenizer, text, thresholds=True) for text in self.texts]
            self.frames.append(page_frame({"": found}, step=state.global_step))
            if len(self.frames) > _MOST:
                self.frames = self.frames[::2]
            write_page(_page(args), self.frames, "How the pair learns")
        except UserError as error:  # no reason to end a run
            logger.warning(f"{PAGE}: {error}")


def known_texts(rows: Iterable[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The first twenty known tokens of each row as text; none of a row in which they make none that can be read
    again."""
    special = set(tokenizer.all_special_ids)
    for row in rows:
        text = str(tokenizer.decode([i for i in row["input_ids"] if i not in special][:_TOKENS])).strip()
        if tokenizer.tokenize(text):
            yield text


def _page(args: TrainingArguments) -> Path:
    return Path(str(args.output_dir)) / PAGE
