"""Training arguments: transformers' own, with what pre-training by courses adds."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments

from ..errors import UserError

__all__ = ["MclTrainingArguments"]


@dataclass
class MclTrainingArguments(TrainingArguments):
    """[`~transformers.TrainingArguments`] for [`MclTrainer`]: all of them, and the following.

    Args:
        backward_per_course (`bool`, *optional*, defaults to `True`):
            Whether each course is followed by its own backward pass. The gradient is the same; the memory is that of
            one course instead of all.
        course_warmup_steps (`float`, *optional*, defaults to 0):
            Optimizer steps in which replaced token detection alone is trained (ELECTRA), before the other courses
            begin; below 1, a share of all steps, as with `warmup_steps`.
        eval_seed (`int`, *optional*, defaults to 0):
            Seed of the corruptions and samples of an evaluation. Two evaluations with the same seed and batch size
            draw the same, so that models can be compared.
    """

    backward_per_course: bool = field(
        default=True, metadata={"help": "A backward pass after each course: the same gradient in less memory."}
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.course_warmup_steps < 0:
            raise UserError(f"course_warmup_steps={self.course_warmup_steps} must be 0 or more")
