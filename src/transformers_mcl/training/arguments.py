"""Training arguments: transformers' own, with what pre-training by courses adds."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from ..errors import UserError
from ..flops import known_peak_flops

__all__ = ["MclTrainingArguments"]


@dataclass
class MclTrainingArguments(TrainingArguments):
    """[`~transformers.TrainingArguments`] for [`MclTrainer`]: all of them, and the following.

    Args:
        backward_per_pass (`bool`, *optional*, defaults to `True`):
            Whether each loss goes back as soon as it is known, so that the activations of one pass of a network are
            all there is to keep. The gradient is the same. FSDP and DeepSpeed always have one backward for all.
        peak_flops (`float`, *optional*):
            Floating-point operations a second that a device could do at best, which `mfu` is a share of. Known for
            common GPUs in 16 bits.
        course_warmup_steps (`float`, *optional*, defaults to 0):
            Optimizer steps in which replaced token detection alone is trained (ELECTRA), before the other courses
            begin; below 1, a share of all steps, as with `warmup_steps`.
        eval_seed (`int`, *optional*, defaults to 0):
            Seed of the corruptions and samples of an evaluation. Two evaluations with the same seed and batch size
            draw the same, so that models can be compared.
    """

    backward_per_pass: bool = field(
        default=True, metadata={"help": "A backward as soon as each loss is known: the same gradient in less memory."}
    )
    peak_flops: float | None = field(
        default=None,
        metadata={"help": "Operations a second that a device could do at best, for mfu; known for common GPUs."},
    )
    course_warmup_steps: float = field(
        default=0,
        metadata={"help": "Steps (below 1: share of all) of replaced token detection alone, before other courses."},
    )
    eval_seed: int = field(default=0, metadata={"help": "Seed of the draws of every evaluation."})
    # Looking for NaN here costs a host sync a step.
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Leave NaN and infinite losses out of the logged mean."}
    )

    def get_course_warmup_steps(self, num_training_steps: int) -> int:
        """`course_warmup_steps` in steps, of a run of `num_training_steps`."""
        warmup = self.course_warmup_steps
        return int(warmup if warmup >= 1 else warmup * num_training_steps)

    def get_peak_flops(self) -> float | None:
        """`peak_flops`, or what is known of the device; None if nothing is."""
        if self.peak_flops is not None or self.device.type != "cuda" or not (self.bf16 or self.fp16):
            return self.peak_flops
        return known_peak_flops(torch.cuda.get_device_name(self.device))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.course_warmup_steps < 0:
            raise UserError(f"course_warmup_steps={self.course_warmup_steps} must be 0 or more")
        if self.peak_flops is not None and self.peak_flops <= 0:
            raise UserError(f"peak_flops={self.peak_flops} must be above 0")
