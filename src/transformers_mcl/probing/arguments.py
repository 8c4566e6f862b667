"""What `evaluate --task probe` is told beside the task and its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..ranges import check_numbers
from .classifier import CHOSEN_FROM, MOST_ROWS
from .features import Pooling

__all__ = ["ProbeArguments"]


@dataclass
class ProbeArguments:
    """What of the encoder is read, and how.

    Raises:
        UserError: values that cannot be.
    """

    half: Literal["discriminator", "generator"] | None = field(
        default=None, metadata={"help": "Of a pair: which half. Default: the discriminator."}
    )
    pooling: Pooling = field(
        default="mean",
        metadata={"help": "What stands for a text: the mean of its tokens' states, or the first, [CLS]."},
    )
    layers: list[int] | None = field(
        default=None, metadata={"help": "Numbers of layers; 0 is that of the embeddings, -1 the last. Default: all."}
    )
    pairs: Literal["together", "apart"] = field(
        default="together",
        metadata={
            "help": "Of two texts: read in one row, as in fine-tuning; or each alone, as vectors u and v, of which "
            "u, v, |u - v| and u * v are the features."
        },
    )
    C: float | None = field(
        default=None,
        metadata={
            "help": "Inverse strength of the regularisation. Default: for each layer that of "
            f"{', '.join(format(C, 'g') for C in CHOSEN_FROM)} whose log loss in cross-validation on the training "
            "rows is the lowest."
        },
    )
    folds: int = field(default=5, metadata={"help": "Of that cross-validation."})
    seed: int = field(default=42, metadata={"help": f"Of its folds, and of the {MOST_ROWS:,} rows it takes of more."})

    def __post_init__(self) -> None:
        check_numbers(self)
