"""Results of a benchmark in the metadata of a model card, where the Hub reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard

from ..errors import UserError

__all__ = ["add_results", "card_of"]


def card_of(checkpoint: str) -> Path:
    """Where the card of a checkpoint on this machine lies.

    Raises:
        UserError: it is no folder here, or has no card.
    """
    path = Path(checkpoint, "README.md")
    if not path.is_file():
        raise UserError(f"update_card: {checkpoint!r} is no folder with a model card: there is no {str(path)!r}")
    return path


def add_results(checkpoint: str, results: Sequence[EvalResult]) -> None:
    """Writes results into a checkpoint's card, in place of earlier ones of the same data and metric.

    Raises:
        UserError: it has no card.
    """
    path = card_of(checkpoint)
    card = ModelCard.load(path)
    kept = [
        old for old in card.data.eval_results or [] if not any(old.is_equal_except_value(result) for result in results)
    ]
    card.data.eval_results = [*kept, *results]
    card.data.model_name = getattr(card.data, "model_name", None) or path.absolute().parent.name
    card.save(path)
