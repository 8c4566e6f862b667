"""Whether a converted pair knows English: two figures that are at chance if anything went wrong on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ...data.tokenizer import load_tokenizer
from ...errors import UserError
from ...method.courses import MAIN_COURSE
from ...method.metrics import add_metrics, summarize_metrics
from ...models.loading import load_config, open_whole
from ...models.pretraining import MclForPreTraining

__all__ = ["Check", "check_pair"]

PROSE = Path(__file__).with_name("prose.txt")
# Each token is masked about twice over all rounds; which are is the same every time.
_ROUNDS, _SEED = 16, 0


@dataclass(frozen=True)
class Check:
    """How a pair did on the built-in text (`prose.txt`, written for this).

    Attributes:
        tokens: of the text.
        unknown: share of those that are the unknown token.
        generator_accuracy: of masked tokens, the share that the generator's first choice names.
        generator_chance: what naming the most frequent token of the text every time would give.
        detection_auc: the chance that a replaced token's logit exceeds an original one's; 0.5 is chance.
        detection_accuracy: share of tokens rightly judged, and `detection_chance`: of judging all of them original.
    """

    tokens: int
    unknown: float
    generator_accuracy: float
    generator_chance: float
    detection_auc: float
    detection_accuracy: float
    detection_chance: float

    def __str__(self) -> str:
        return "\n".join(
            (
                f"checked on {self.tokens} tokens of English, {self.unknown:.1%} of them unknown",
                f"{'':24}{'found':>8}{'chance':>8}  expected of a base model",
                f"{'generator accuracy':24}{self.generator_accuracy:8.1%}{self.generator_chance:8.1%}  more than 40 %",
                f"{'detection area (AUC)':24}{self.detection_auc:8.3f}{0.5:8.3f}  more than 0.85",
                f"{'detection accuracy':24}{self.detection_accuracy:8.1%}{self.detection_chance:8.1%}  above chance",
                "Near chance, something is wrong: with the weights, the tokenizer or this conversion.",
            )
        )


def check_pair(folder: str | Path) -> Check:
    """Has the pair in `folder` fill in and judge the built-in text.

    Raises:
        UserError: the folder holds no pair, or no tokenizer.
    """
    folder = str(folder)
    if "MclForPreTraining" not in (load_config(folder).architectures or []):
        raise UserError(f"{folder!r} holds no pair: the check needs a generator and a discriminator")
    tokenizer = load_tokenizer(folder)
    pair: MclForPreTraining = open_whole(MclForPreTraining, folder, f"{folder!r}").eval()
    rows = _rows(tokenizer, pair.config.max_position_embeddings)
    total: dict[str, torch.Tensor] = {}
    draws = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for _ in range(_ROUNDS):
            for row in rows:
                add_metrics(total, pair(row, courses=[MAIN_COURSE], generator=draws).metrics)
    figures = summarize_metrics(total)
    ids = torch.cat(rows, 1).flatten()
    words = ids[~torch.isin(ids, torch.tensor(tokenizer.all_special_ids))]
    true_negative, false_negative, false_positive, true_positive, *_ = total[f"{MAIN_COURSE}_detection"].tolist()
    original, replaced = true_negative + false_positive, false_negative + true_positive
    return Check(
        tokens=len(ids),
        unknown=float((ids == tokenizer.unk_token_id).double().mean()),
        generator_accuracy=figures.get(f"{MAIN_COURSE}_masked_lm_accuracy", float("nan")),
        generator_chance=float(words.bincount().max() / len(words)),
        detection_auc=figures.get(f"{MAIN_COURSE}_disc_auc", float("nan")),
        detection_accuracy=figures.get(f"{MAIN_COURSE}_disc_accuracy", float("nan")),
        detection_chance=original / (original + replaced),
    )


def _rows(tokenizer: PreTrainedTokenizerBase, length: int) -> list[torch.Tensor]:
    """The text, as rows of full length as far as it goes, `(1, length)` each."""
    given: Any = tokenizer(PROSE.read_text(encoding="utf-8"), add_special_tokens=False, verbose=False)["input_ids"]
    step = min(length, 512) - tokenizer.num_special_tokens_to_add()
    parts = [given[start : start + step] for start in range(0, len(given), step)]
    wrapped = [[tokenizer.cls_token_id, *part, tokenizer.sep_token_id] for part in parts]
    return [torch.tensor([row]) for row in wrapped]
