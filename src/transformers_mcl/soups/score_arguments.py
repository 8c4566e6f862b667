"""What the command line says of a score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..ranges import check_numbers

__all__ = ["PRETRAINING_LOSS", "ScoreArguments"]

PRETRAINING_LOSS = "pretraining_loss"


@dataclass
class ScoreArguments:
    """What says how good a checkpoint is.

    Raises:
        UserError: values that cannot be.
    """

    score: str | None = field(
        default=None,
        metadata={
            "help": "What weighted, greedy and learned go by: pretraining_loss (of held-out text; the default), blimp "
            "(or another set of minimal pairs), or the task that the ingredients are fine-tuned on: cola, "
            "text_classification, ... Other methods report it."
        },
    )
    validation_file: list[str] | None = field(
        default=None,
        metadata={"help": "Held-out text, examples of a task, or pairs. GLUE's and BLiMP come from the Hub."},
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Of a task: a data set of the Hub, or a folder of files named by split."}
    )
    metric: str | None = field(
        default=None,
        metadata={"help": "Of a task: not its main one; loss has a gradient to learn by."},
    )
    scorer: Literal["generator", "discriminator"] = field(
        default="generator", metadata={"help": "Of minimal pairs: which half judges."}
    )
    limit: float | None = field(
        default=None, metadata={"help": "Of each paradigm of pairs a sample: a share if below 1, else a number."}
    )
    loss_weights: dict[str, float] | None = field(
        default=None,
        metadata={"help": "Of pretraining_loss; by default of all that an ingredient was trained on."},
    )
    max_seq_length: int | None = field(
        default=None, metadata={"help": "Tokens of a row; by default as in pretrain and finetune."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use at most so many rows or examples."})
    text_column: str = field(default="text", metadata={"help": "Of held-out text: its column, or JSON key."})
    text_column_names: str | None = field(
        default=None, metadata={"help": "Of a task: the column of its text, or two with a comma between."}
    )
    label_column_name: str | None = field(default=None, metadata={"help": "Of a task: the column of its labels."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "If no ingredient has one beside it."})
    per_device_eval_batch_size: int | None = field(
        default=None, metadata={"help": "Rows at a time: 32, of tasks 64, of minimal pairs 128."}
    )
    eval_seed: int = field(default=0, metadata={"help": "Seed of the courses' draws, and of the sample of pairs."})
    use_cpu: bool = field(default=False, metadata={"help": "Even if there is an accelerator."})
    cache_dir: str | None = field(default=None, metadata={"help": "Where `datasets` keeps what it has read."})

    def __post_init__(self) -> None:
        check_numbers(self)
