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
_BETA: _Range = ("at least 0 and below 1", lambda value: 0 <= value < 1)
_COUNT_FROM_0: _Range = ("0 or more", lambda value: value >= 0 and value % 1 == 0)
_COUNT: _Range = ("at least 1", lambda value: value >= 1 and value % 1 == 0)
_STEPS: _Range = ("at least 1, or -1 for num_train_epochs", lambda value: value == -1 or _COUNT[1](value))
# NumPy's, which transformers seeds as well.
_SEED: _Range = ("from 0 to 2**32 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**32)

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
    "max_steps": _STEPS,
    "warmup_steps": _FROM_0,
    "course_warmup_steps": _FROM_0,
    "correction_warmup_steps": _FROM_0,
    "batch_size_warmup_steps": _FROM_0,
    "batch_size_warmup_start": _COUNT,
    "length_warmup_steps": _FROM_0,
    "logging_steps": _FROM_0,
    "eval_steps": _FROM_0,
    "eval_delay": _FROM_0,
    "save_steps": _FROM_0,
    "save_total_limit": _COUNT_FROM_0,  # 0 keeps all
    "per_device_train_batch_size": _COUNT,
    "per_device_eval_batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "eval_accumulation_steps": _COUNT,
    "torch_empty_cache_steps": _COUNT,
    "dataloader_num_workers": _COUNT_FROM_0,
    "dataloader_prefetch_factor": _COUNT,
    "ddp_bucket_cap_mb": _COUNT,
    "ddp_timeout": _COUNT,
    "neftune_noise_alpha": _FROM_0,
    "label_smoothing_factor": _BETA,
    "seed": _SEED,
    "data_seed": _SEED,
    "eval_seed": ("from 0 to 2**63 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**63),
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
            kind = ", and finite" if not math.isfinite(value) else ", and whole" if allows(math.floor(value)) else ""
            raise UserError(f"{name}={value} must be {said}{kind}")
