"""Training arguments: transformers' own, with what pre-training by courses adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from transformers import TrainerState, TrainingArguments

from ..errors import UserError
from ..hub.push import check_repo_name
from ..method.courses import OBJECTIVES, all_losses
from ..models.configuration_mcl import MclConfig
from ..models.flops import known_peak_flops, step_flops
from .batch_warmup import SHORTEST_ROW, BatchWarmup
from .optimizer_arguments import OptimizerArguments

__all__ = ["LENGTHS", "RATES", "WARMUPS", "MclTrainingArguments", "changed"]

RATES = ("learning_rate", "generator_learning_rate", "muon_learning_rate")

# What says how long a run is, and what each is where it is not given.
LENGTHS: dict[str, float | None] = {
    "max_steps": TrainingArguments.max_steps,
    "num_train_epochs": TrainingArguments.num_train_epochs,
    "max_tokens": None,
    "max_hours": None,
}

# What there is to learn before there is a discriminator.
_OF_THE_GENERATOR = [name for name in OBJECTIVES["electra"] if not all_losses()[name].detects]
# By the argument that has a run begin with a part of its losses, that part.
_FIRST_TRAINED = {
    "generator_warmup_steps": " and ".join(_OF_THE_GENERATOR),
    "course_warmup_steps": " and ".join(OBJECTIVES["electra"]),
    "correction_warmup_steps": "no corrections",
}
WARMUPS = tuple(_FIRST_TRAINED)  # of losses


@dataclass
class MclTrainingArguments(OptimizerArguments):
    """[`~transformers.TrainingArguments`] for [`MclTrainer`]: all of them, those of [`OptimizerArguments`], and the
    following, whose meaning is in their `help`. Beside it, there is to say of

    - `backward_per_pass`: the activations of one pass of a network are all there is to keep; FSDP and DeepSpeed always
      have one backward for all;
    - `peak_flops`: `mfu` is a share of it; it is known of GPUs in 16 bits;
    - `generator_warmup_steps`, `course_warmup_steps`, `correction_warmup_steps`: each counts from the run's first
      step. With the first two 0.1 and 0.25 the generator learns alone for a tenth of the run, without a pass of the
      discriminator, then replaced token detection until a quarter is done, then all;
    - `length_warmup_lengths`: in tokens, in the order of their use;
    - `max_tokens`, `max_hours`, `up_to_steps`: [`prepare`] makes `max_steps` of them, for which it may have to measure
      the run's speed ([`lengths.settle`]); [`MclTrainer`] alone refuses them;
    - `torch_compile`: where it is not given, [`prepare`] decides ([`compiling_pays`]); [`MclTrainer`] alone compiles
      nothing then;
    - `eval_seed`: two evaluations with the same seed and batch size draw the same, so that models can be compared.

    Raises:
        UserError: a number that no run can have, or arguments that do not go together.
    """

    backward_per_pass: bool = field(
        default=True, metadata={"help": "A backward as soon as each loss is known: the same gradient in less memory."}
    )
    peak_flops: float | None = field(
        default=None,
        metadata={"help": "Operations a second that a device could do at best, for mfu; known for common GPUs."},
    )
    generator_warmup_steps: float = field(
        default=0,
        metadata={
            "help": "Steps (below 1: share of all) of the generator's masked language modeling alone, at first."
        },
    )
    course_warmup_steps: float = field(
        default=0,
        metadata={"help": "Steps (below 1: share of all) before other courses than replaced token detection begin."},
    )
    correction_warmup_steps: float = field(
        default=0,
        metadata={"help": "Steps (below 1: share of all) before the self-correction courses begin."},
    )
    batch_size_warmup_steps: float = field(
        default=0, metadata={"help": "Steps (below 1: share of all) over which micro-batches grow to their full size."}
    )
    batch_size_warmup_start: int = field(
        default=1, metadata={"help": "Rows of a micro-batch at the first step of that warm-up."}
    )
    length_warmup_steps: float = field(
        default=0, metadata={"help": "Steps (below 1: share of all) on rows that are cut into shorter ones."}
    )
    length_warmup_lengths: list[int] | None = field(
        default=None, metadata={"help": "Lengths of those shorter rows, each for an equal part of these steps."}
    )
    max_tokens: int | None = field(
        default=None, metadata={"help": "Length of the run: as many steps as read this many tokens, special ones too."}
    )
    max_hours: float | None = field(
        default=None,
        metadata={"help": "Length of the run: as many steps as these hours have, by the speed of a few."},
    )
    up_to_steps: int | None = field(
        default=None,
        metadata={
            "help": "Without any other length one is proposed from the text and the speed, of at most this many steps."
        },
    )
    torch_compile: bool | None = field(  # type: ignore[assignment]
        default=None,
        metadata={
            "help": "Compile each pass of a network. Without it: if the run has a preset and is so long that it gains "
            "by it, as its plan says."
        },
    )
    eval_seed: int = field(default=0, metadata={"help": "Seed of the draws of every evaluation."})
    samples: bool = field(
        default=True,
        metadata={"help": "Write samples.html, what the pair does to three held-out sentences at each evaluation."},
    )
    push_revisions: bool = field(
        default=False,
        metadata={
            "help": "Push each checkpoint to branches step-N and tokens-N of hub_model_id, which open by `revision`."
        },
    )
    # Looking for NaN here costs a host sync a step.
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Leave NaN and infinite losses out of the logged mean."}
    )

    def get_generator_warmup_steps(self, num_training_steps: int) -> int:
        return _steps(self.generator_warmup_steps, num_training_steps)

    def get_course_warmup_steps(self, num_training_steps: int) -> int:
        return _steps(self.course_warmup_steps, num_training_steps)

    def get_correction_warmup_steps(self, num_training_steps: int) -> int:
        return _steps(self.correction_warmup_steps, num_training_steps)

    def weights_at(self, step: int, num_training_steps: int, weights: Mapping[str, float]) -> dict[str, float]:
        """Of the losses' `weights`, those in use at a step: discriminator, courses and corrections may begin later."""
        losses = all_losses()
        if step < self.get_generator_warmup_steps(num_training_steps):
            weights = {name: weight if name in _OF_THE_GENERATOR else 0.0 for name, weight in weights.items()}
        if step < self.get_course_warmup_steps(num_training_steps):
            weights = {name: weight if name in OBJECTIVES["electra"] else 0.0 for name, weight in weights.items()}
        if step < self.get_correction_warmup_steps(num_training_steps):
            weights = {name: 0.0 if losses[name].corrects else weight for name, weight in weights.items()}
        return dict(weights)

    def check_weights(self, weights: Mapping[str, float]) -> None:
        """Checks that losses with these weights have something to train in every step.

        Raises:
            UserError: the first steps leave all of them out.
        """
        if any(self.weights_at(0, 10**9, weights).values()):
            return
        first, trained = next((name, trained) for name, trained in _FIRST_TRAINED.items() if getattr(self, name))
        raise UserError(
            f"{first}={getattr(self, first):g}: these steps train {trained}, and the losses of this run are "
            f"{', '.join(name for name, weight in weights.items() if weight)}: give it 0, or others a weight"
        )

    def phases(
        self, num_training_steps: int, weights: Mapping[str, float]
    ) -> Iterator[tuple[int, int, dict[str, float]]]:
        """The parts of a run in which the same losses are in use: first step, step after the last, their weights."""
        later = (self.get_generator_warmup_steps, self.get_course_warmup_steps, self.get_correction_warmup_steps)
        borders = {0, num_training_steps, *(min(begin(num_training_steps), num_training_steps) for begin in later)}
        for begin, end in pairwise(sorted(borders)):
            yield begin, end, self.weights_at(begin, num_training_steps, weights)

    def planned_flops(self, config: MclConfig, num_training_steps: int, length: int) -> float:
        """Operations of a run on rows of `length` tokens, over all processes; but for the warm-ups of batches."""
        flops = sum(
            (end - begin) * step_flops(config, self.train_batch_size, length, weights)
            for begin, end, weights in self.phases(num_training_steps, config.weights)
        )
        return flops * self.gradient_accumulation_steps * self.world_size

    def get_batch_warmup(self, num_training_steps: int) -> BatchWarmup:
        """How a run of `num_training_steps` warms up the number and the length of its rows."""
        return BatchWarmup(
            start=self.batch_size_warmup_start,
            full=self.per_device_train_batch_size,
            steps=_steps(self.batch_size_warmup_steps, num_training_steps),
            lengths=tuple(self.length_warmup_lengths or ()),
            length_steps=_steps(self.length_warmup_steps, num_training_steps),
        )

    def get_peak_flops(self) -> float | None:
        """`peak_flops`, or what is known of the device; None if nothing is."""
        if self.peak_flops is not None or self.device.type != "cuda" or not (self.bf16 or self.fp16):
            return self.peak_flops
        return known_peak_flops(torch.cuda.get_device_name(self.device))

    def __post_init__(self) -> None:
        if self.ddp_find_unused_parameters is None:
            # transformers leaves it out with activation checkpointing, for the kind that is not the default any more.
            # Courses that begin later, and insertion, leave parameters without a gradient.
            self.ddp_find_unused_parameters = True
        super().__post_init__()
        self._check_length()
        if self.dataloader_pin_memory:
            accelerator_config: Any = self.accelerator_config
            accelerator_config.non_blocking = True  # a batch's copy would have the device waited for
        if self.fsdp_plugin_args:
            # The other kind, one file of all weights, is not read back where weights are shared.
            self.fsdp_plugin_args["state_dict_type"] = "SHARDED_STATE_DICT"
        if self.push_revisions:
            self._check_repository()
        self._check_warmups()

    @property
    def given_lengths(self) -> dict[str, Any]:
        """Those of `LENGTHS` that are not left as they are by default."""
        return {name: getattr(self, name) for name, unset in LENGTHS.items() if getattr(self, name) != unset}

    def check_steps(self) -> None:
        """Checks that a trainer knows how long it is to train.

        Raises:
            UserError: what says so has not been made steps of.
        """
        for name in ("max_tokens", "max_hours", "up_to_steps"):
            if (value := getattr(self, name)) is not None and self.max_steps <= 0:
                raise UserError(
                    f"{name}={value}: MclTrainer takes max_steps or num_train_epochs; it is "
                    "transformers_mcl.training.run.prepare that makes steps of a number of tokens or hours"
                )

    def _check_length(self) -> None:
        if len(given := self.given_lengths) > 1:
            said = " and ".join(f"{name}={value}" for name, value in given.items())
            raise UserError(f"{said} both say how long the run is: give one of them")

    def _check_repository(self) -> None:
        if self.hub_model_id is not None:
            check_repo_name(self.hub_model_id, "hub_model_id")
        elif not self.push_to_hub:
            raise UserError("push_revisions=True has no repository: give --hub_model_id NAME, or --push_to_hub true")

    def _check_warmups(self) -> None:
        for name in ("generator_warmup_steps", "course_warmup_steps"):
            if getattr(self, name) and self.ddp_find_unused_parameters is False:
                raise UserError(
                    f"ddp_find_unused_parameters=False does not go with {name}, in which the discriminator or the "
                    "heads of later courses are not used: leave one of them out"
                )
        if not 1 <= self.batch_size_warmup_start <= self.per_device_train_batch_size:
            raise UserError(
                f"batch_size_warmup_start={self.batch_size_warmup_start} must be at most "
                f"per_device_train_batch_size={self.per_device_train_batch_size}"
            )
        lengths = self.length_warmup_lengths or []
        if bool(lengths) != bool(self.length_warmup_steps):
            raise UserError("length_warmup_steps and length_warmup_lengths go together: give both or neither")
        if lengths != sorted(set(lengths)) or any(length < SHORTEST_ROW for length in lengths):
            raise UserError(f"length_warmup_lengths={lengths} must grow, from {SHORTEST_ROW} or more")


def _steps(number: float, num_training_steps: int) -> int:
    """A number of steps, or below 1 a share of all."""
    return int(number if number >= 1 else number * num_training_steps)


@contextmanager
def changed(args: TrainingArguments | TrainerState, **values: Any) -> Iterator[None]:
    """Within it, `args` have these values: for what transformers does by them and has no other way to ask for."""
    before = {name: getattr(args, name) for name in values}
    try:
        for name, value in values.items():
            setattr(args, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(args, name, value)
