"""What `transformers-mcl finetune` is told beside the training arguments: the task, its data, the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import IntervalStrategy
from transformers.trainer_utils import SaveStrategy
from transformers.training_args import trainer_log_levels

from ..errors import UserError
from ..hub.card_arguments import CardArguments
from ..models.loading import TRUST_HELP
from ..training.precision import PrecisionArguments
from .example_arguments import ExampleArguments
from .task import TASKS, find_task, task_groups

__all__ = ["MAIN_METRIC", "EncoderArguments", "FinetuningArguments", "TaskArguments"]

MAIN_METRIC = "main"
"""Of `metric_for_best_model`: each task's own."""
# What figures over all examples at once need.
_NEEDED = {
    "batch_eval_metrics": False,
    "eval_do_concat_batches": True,
    "prediction_loss_only": False,
    "label_names": None,
}


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
    validation_split_percentage: float | None = field(
        default=None,
        metadata={"help": "Where there are no examples to evaluate on: keep so many percent of the training ones."},
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

        for field_name in ("train_file", "validation_file"):
            files = getattr(self, field_name)
            if files and (self.dataset_name or len(self.task_name) > 1):
                other = "dataset_name" if self.dataset_name else f"task_name {' '.join(self.task_name)}"
                raise UserError(
                    f"{field_name} {files[0]!r} beside {other}: files are of one task; for several give "
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
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})
    ignore_mismatched_sizes: bool = field(
        default=False, metadata={"help": "Start the head anew where the checkpoint's has other classes."}
    )
    lora: bool = field(default=False, metadata={"help": "Train an adapter (LoRA) and the head only, and merge them."})
    lora_r: int = field(default=8, metadata={"help": "The rank of the adapter's matrices."})
    lora_alpha: int = field(default=16, metadata={"help": "The adapter counts lora_alpha / lora_r times."})
    lora_dropout: float = field(default=0.1, metadata={"help": "Dropout of what goes into the adapter."})
    lora_target_modules: list[str] | None = field(
        default=None, metadata={"help": "Names of the layers to adapt: query value. By default all linear ones."}
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
    do_train: bool = field(default=True, metadata={"help": "Train; without, the model is used as it is."})
    do_eval: bool | None = field(  # type: ignore[assignment]
        default=None,
        metadata={"help": "Evaluate. By default if there are examples to, or nothing else is to be done."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Stop after so many evaluations without a better main metric, with the best checkpoint."},
    )
    early_stopping_threshold: float = field(
        default=0.0, metadata={"help": "How much better an evaluation must be to count as better."}
    )
    class_weights: str | None = field(
        default=None,
        metadata={"help": "Weights of classes in the loss: balanced, or by name as '{\"yes\": 3}'; others have 1."},
    )
    log_level_replica: str = field(
        default="error",
        metadata={
            "help": "Log level of all processes but the first, so that what is to be said is said once.",
            "choices": list(trainer_log_levels),
        },
    )
    layerwise_learning_rate_decay: float | None = field(
        default=None, metadata={"help": "Factor of the learning rate from each layer to the one below it."}
    )

    def __post_init__(self) -> None:
        if self.do_eval is False:
            self.eval_strategy = "no"
        if self.early_stopping_patience is not None:
            self._stop_early()
        if self.load_best_model_at_end and self.save_strategy in ("no", SaveStrategy.NO):
            raise UserError("load_best_model_at_end needs --save_strategy epoch or steps: nothing else can be loaded")
        if self.early_stopping_patience is not None:
            self._stop_early()
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model = MAIN_METRIC
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith(("loss", "mse"))
        self._check_figures()
        super().__post_init__()
        if str(self.resume_from_checkpoint).lower() == "false":  # on the command line it is text
            self.resume_from_checkpoint = None

    def _stop_early(self) -> None:
        """Evaluations have checkpoints, of which the best is loaded in the end."""
        if self.eval_strategy in ("no", IntervalStrategy.NO):
            raise UserError("early_stopping_patience needs evaluations on the way: give --eval_strategy epoch")
        self.load_best_model_at_end = True
        if self.save_strategy in ("no", SaveStrategy.NO):
            self.save_strategy, self.save_steps = (
                str(IntervalStrategy(self.eval_strategy).value),
                self.eval_steps or 500,
            )
            self.save_total_limit = self.save_total_limit or 1

    def _check_figures(self) -> None:
        """Nothing is asked for that figures over all examples do not have."""
        for name, needed in _NEEDED.items():
            if getattr(self, name) != needed:
                raise UserError(
                    f"{name}={getattr(self, name)}: figures of a task are over all its examples: leave it out"
                )
