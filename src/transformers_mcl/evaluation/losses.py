"""`transformers-mcl evaluate --task losses`: what pre-training reports of held-out text, without training."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ..data.arguments import DataArguments
from ..data.files import find_files
from ..errors import UserError
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config
from ..ranges import check_numbers
from ..training.arguments import MclTrainingArguments
from ..training.report import results_table
from ..training.run import ModelArguments, PretrainingRun, prepare
from .evaluation import Evaluation, EvaluationArguments, Outcome, Say, register_evaluation

__all__ = ["DrawingArguments", "Losses", "TextArguments"]

_ON_CARDS = ("masked_lm_loss", "masked_lm_accuracy", "disc_loss", "disc_auc")


@dataclass
class TextArguments(DataArguments):
    """The text to evaluate on: `validation_file`; or the part that pre-training would hold out of `train_file` or of
    `dataset_name`."""

    def __post_init__(self) -> None:
        if self.validation_file and not (self.train_file or self.dataset_name):
            self.train_file, self.looks_for_overlap = self.validation_file, False
        super().__post_init__()

    @property
    def source(self) -> str:
        """Where it is, for people: a name on the Hub, or files without their folders."""
        if files := self.validation_file or self.train_file:
            return ", ".join(Path(path).name for path in files)
        return str(self.dataset_name or "the text inside the package")


@dataclass
class DrawingArguments:
    """What is drawn: masks, swaps and the generator's samples."""

    eval_seed: int = field(
        default=0, metadata={"help": "Seed of all that is drawn; with the batch size it says what is, as in pretrain."}
    )

    def __post_init__(self) -> None:
        check_numbers(self)


class Losses(Evaluation):
    """The losses of a pair, and how well it tells replaced tokens, on text: by the code that evaluates in training.

    Figures equal those of `pretrain` where text, length of rows, batch size, `eval_seed` and the number of processes
    are the same.
    """

    name = "losses"
    arguments = (DrawingArguments, TextArguments)

    def __call__(self, args: EvaluationArguments, *own: Any, say: Say) -> Outcome:
        """Under `results` are the figures by the names of the trainer's log, without `eval_`.

        Raises:
            UserError: a checkpoint that is no pair, or text that cannot be used.
        """
        drawing, text = own
        if text.validation_file:  # before it is read as the training text, whose place it may have
            find_files(text.validation_file, "validation_file", skip_empty=True)
        if not isinstance(config := load_config(args.model_name_or_path), MclConfig):
            raise UserError(
                f"model_name_or_path {args.model_name_or_path!r} is a {config.model_type!r} checkpoint; losses need "
                "a pair"
            )
        model = ModelArguments(
            model_name_or_path=args.model_name_or_path,
            tokenizer_name=args.tokenizer_name,
            cache_dir=args.cache_dir,
            trust_remote_code=args.trust_remote_code,
        )
        with tempfile.TemporaryDirectory() as nothing:  # the trainer wants a folder, and writes nothing into it
            training = MclTrainingArguments(
                nothing,
                max_steps=1,
                per_device_eval_batch_size=args.per_device_eval_batch_size,
                eval_seed=drawing.eval_seed,
                use_cpu=args.use_cpu,
                bf16=args.dtype == "bfloat16",
                fp16=args.dtype == "float16",
                report_to="none",
            )
            run = prepare(model, text, training)
            say(f"held-out text: {run.statistics['validation']}")
            run.trainer.evaluate()
        figures = {name: value for name, value in run.evaluation.items() if _is_figure(name)} | run.baselines
        return Outcome(
            figures,
            markdown=_markdown(args.model_name_or_path, text, run, figures),
            settings={
                "text": text.source,
                "held_out": str(run.statistics["validation"]),
                "eval_seed": drawing.eval_seed,
                "per_device_eval_batch_size": args.per_device_eval_batch_size,
                "processes": training.world_size,
            },
            card=[
                EvalResult("fill-mask", text.source, text.source, name, value, task_name="pre-training losses")
                for name, value in figures.items()
                if name.endswith(_ON_CARDS)
            ],
        )


def _is_figure(name: str) -> bool:
    """Of the text; not how fast the evaluation was."""
    return not name.endswith(("time", "per_second"))


def _markdown(model: str, text: TextArguments, run: PretrainingRun, figures: dict[str, float]) -> str:
    table = results_table(figures, run.baselines)
    about = f"{text.source}; held out: {run.statistics['validation']}."
    return f"# Losses: {model}\n\n{about} The weighted losses sum to {figures['loss']:.3f}.\n\n```\n{table}\n```\n"


register_evaluation(Losses())
