"""What `transformers-mcl finetune` is told beside the training arguments: the task, its data, the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import IntervalStrategy
from transformers.trainer_utils import SaveStrategy

from ..errors import UserError
from ..hub.card_arguments import CardArguments
from ..training.argument_ranges import check_numbers
from ..training.precision import PrecisionArguments
from .example_arguments import ExampleArguments
from .task import TASKS, find_task, task_groups

__all__ = ["MAIN_METRIC", "EncoderArguments", "FinetuningArguments", "TaskArguments"]

MAIN_METRIC = "main"
"""Of `metric_for_best_model`: each task's own."""


@dataclass
class TaskArguments(ExampleArguments):
    """Which task, and where its examples are; names as in transformers' `run_glue.py`, `run_ner.py` and `run_qa.py`.

    Raises:
        UserError: an unknown task, or values that cannot be.
    """

    task_name: list[str] = field(
        default_factory=lambda: ["text_classification"],
        metadata={"help": f"One or more of {', '.join(TASKS)}; or glue, its nine tasks one after another."},
    )
    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A data set of the Hub, or folder of files named by split (train.jsonl.gz, validation.csv) or of "
            "one such folder for each task; by default the task's own on the Hub."
        },
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration, if it has several."})
    train_file: list[str] | None = field(
        default=None, metadata={"help": "Training examples: CSV, JSON lines or parquet, also .gz."}
    )
    validation_file: list[str] | None = field(
        default=None,
        metadata={"help": "Examples to evaluate on. For mnli two: the matched, then the mismatched ones."},
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Examples to predict with --do_predict; their labels, if any, are not read."}
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on the first so many examples."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Evaluate on the first so many."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Predict the first so many."})

    def __post_init__(self) -> None:
        super().__post_init__()
        groups = task_groups()
        names = [name.replace("-", "_").lower() for name in self.task_name]
        self.task_name = list(dict.fromkeys(n for name in names for n in groups.get(name, [name])))
        for name in self.task_name:
            find_task(name)

        if bool(self.train_file) != bool(self.validation_file):
            missing = "validation_file" if self.train_file else "train_file"
            raise UserError(f"{missing}: train_file and validation_file go together: give both or neither")
        if self.train_file and (self.dataset_name or len(self.task_name) > 1):
            other = "dataset_name" if self.dataset_name else f"task_name {' '.join(self.task_name)}"
            raise UserError(
                f"train_file {self.train_file[0]!r} beside {other}: files are of one task; for several give "
                "--dataset_name FOLDER with a folder of files for each"
            )


@dataclass
class EncoderArguments(CardArguments):
    """Which encoder to fine-tune, how often, and what to keep."""

    model_name_or_path: str = field(metadata={"help": "An encoder that AutoModel opens: MCL, ELECTRA, BERT, ..."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Its tokenizer, if not with it."})
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads are kept."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model and tokenizer on the Hub."})
    token: str | None = field(default=None, metadata={"help": "Token for private repositories of the Hub."})
    attn_implementation: str | None = field(default=None, metadata={"help": "eager, sdpa, flex_attention, ..."})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run code that comes with the model, if it is of a type of its own."}
    )
    ignore_mismatched_sizes: bool = field(
        default=False, metadata={"help": "Start the head anew where the checkpoint's has other classes."}
    )
    num_seeds: int = field(default=1, metadata={"help": "Runs of each task, with seeds from --seed up."})
    sweep: dict[str, list[Any]] | None = field(
        default=None,
        metadata={
            "help": 'A grid of training arguments: \'{"learning_rate": [1e-5, 2e-5], "num_train_epochs": [3]}\''
        },
    )
    save_models: bool | None = field(
        default=None,
        metadata={"help": "Keep the model of every run. By default yes, but in a sweep each task's best only."},
    )
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Run again what an earlier command left in the output folder."}
    )

    @property
    def hub(self) -> dict[str, Any]:
        """What every `from_pretrained` of the encoder is given."""
        given = {"cache_dir": self.cache_dir, "revision": self.model_revision, "token": self.token}
        return {**given, "trust_remote_code": self.trust_remote_code}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self)


@dataclass
class FinetuningArguments(PrecisionArguments):
    """[`PrecisionArguments`] with what is usual in fine-tuning as defaults, and
    `layerwise_learning_rate_decay`: ELECTRA is fine-tuned with 0.8 (small and base) and 0.9 (large)."""

    learning_rate: float = field(default=2e-5, metadata={"help": "The peak of the learning rate (the head's)."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Examples of a device's step."})
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Examples of a device's evaluation batch."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay of all but biases and norms."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up in steps, or below 1 as share of all steps."})
    eval_strategy: IntervalStrategy | str = field(default="epoch", metadata={"help": "When to evaluate."})
    save_strategy: SaveStrategy | str = field(default="no", metadata={"help": "When to save checkpoints on the way."})
    logging_steps: float = field(default=0.1, metadata={"help": "Log each so many steps, or below 1 each such share."})
    do_train: bool = field(default=True, metadata={"help": "Train; without, the model is evaluated as it is."})
    do_eval: bool = field(default=True, metadata={"help": "Evaluate at the end: always done."})
    layerwise_learning_rate_decay: float | None = field(
        default=None, metadata={"help": "Factor of the learning rate from each layer to the one below it."}
    )

    def __post_init__(self) -> None:
        if self.load_best_model_at_end and self.save_strategy in ("no", SaveStrategy.NO):
            raise UserError("load_best_model_at_end needs --save_strategy epoch or steps: nothing else can be loaded")
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model = MAIN_METRIC
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith(("loss", "mse"))
        check_numbers(self)
        super().__post_init__()
        if str(self.resume_from_checkpoint).lower() == "false":  # on the command line it is text
            self.resume_from_checkpoint = None
        decay = self.layerwise_learning_rate_decay
        if decay is not None and not 0 < decay <= 1:
            raise UserError(f"layerwise_learning_rate_decay={decay} must be above 0 and at most 1")
