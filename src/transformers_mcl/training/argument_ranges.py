"""Which numbers the training arguments may have: transformers' own, most of which it takes as they come, and ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import UserError

__all__ = ["check_numbers"]

_Range = tuple[str, Callable[[float], bool]]

_ABOVE_0: _Range = ("above 0", lambda value: 0 < value < math.inf)
_FROM_0: _Range = ("0 or more", lambda value: 0 <= value < math.inf)
_FROM_1: _Range = ("at least 1", lambda value: 1 <= value < math.inf)
_BETA: _Range = ("at least 0 and below 1", lambda value: 0 <= value < 1)
# NumPy's, which transformers seeds as well.
_SEED: _Range = ("a whole number from 0 to 2**32 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**32)

_RANGES: dict[str, _Range] = {
    "learning_rate": _FROM_0,
    "muon_learning_rate": _ABOVE_0,
    "generator_learning_rate": _ABOVE_0,
    "weight_decay": _FROM_0,
    "adam_beta1": _BETA,
    "adam_beta2": _BETA,
    "adam_epsilon": _ABOVE_0,
    # 0 clips nothing, and infinity as well, but has the norm measured.
    "max_grad_norm": ("0 or more", lambda value: value >= 0),
    "num_train_epochs": _ABOVE_0,
    "max_steps": ("at least 1, or -1 for num_train_epochs", lambda value: value == -1 or 1 <= value < math.inf),
    "warmup_steps": _FROM_0,
    "course_warmup_steps": _FROM_0,
    "correction_warmup_steps": _FROM_0,
    "batch_size_warmup_steps": _FROM_0,
    "batch_size_warmup_start": _FROM_1,
    "length_warmup_steps": _FROM_0,
    "logging_steps": _FROM_0,
    "eval_steps": _FROM_0,
    "eval_delay": _FROM_0,
    "save_steps": _FROM_0,
    "save_total_limit": _FROM_0,  # 0 keeps all
    "per_device_train_batch_size": _FROM_1,
    "per_device_eval_batch_size": _FROM_1,
    "gradient_accumulation_steps": _FROM_1,
    "eval_accumulation_steps": _FROM_1,
    "torch_empty_cache_steps": _FROM_1,
    "dataloader_num_workers": _FROM_0,
    "dataloader_prefetch_factor": _FROM_1,
    "ddp_bucket_cap_mb": _FROM_1,
    "ddp_timeout": _FROM_1,
    "neftune_noise_alpha": _FROM_0,
    "label_smoothing_factor": _BETA,
    "seed": _SEED,
    "data_seed": _SEED,
    "eval_seed": ("a whole number from 0 to 2**63 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**63),
    "peak_flops": _ABOVE_0,
}


def check_numbers(args: Any) -> None:
    """Looks at every number of training arguments, as far as they have it.

    Raises:
        UserError: one that no run can have: out of its range, NaN, or infinite.
    """
    for name, (said, allows) in _RANGES.items():
        value = getattr(args, name, None)
        if isinstance(value, int | float) and not allows(value):
            finite = "" if math.isfinite(value) else ", and finite"
            raise UserError(f"{name}={value} must be {said}{finite}")
