"""Which numbers arguments may have: transformers' own, most of which it takes as they come, and ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import UserError

__all__ = ["check_numbers"]

# Of `max_grad_norm`, 0 clips nothing, and infinity as well, but has the norm measured; of `save_total_limit`, 0 keeps
# all; and `seed` is NumPy's as well.
_NAMES: dict[tuple[str, Callable[[float], bool]], str] = {
    ("above 0", lambda value: 0 < value < math.inf): """
        muon_learning_rate generator_learning_rate adam_epsilon num_train_epochs peak_flops
        max_hours
    """,
    ("0 or more", lambda value: 0 <= value < math.inf): """
        learning_rate weight_decay warmup_steps generator_warmup_steps course_warmup_steps correction_warmup_steps
        batch_size_warmup_steps length_warmup_steps logging_steps eval_steps eval_delay save_steps neftune_noise_alpha
        early_stopping_threshold
    """,
    ("at least 0 and below 1", lambda value: 0 <= value < 1): """
        adam_beta1 adam_beta2 label_smoothing_factor lora_dropout
    """,
    ("0 or more", lambda value: value >= 0): "max_grad_norm",
    ("at least 1, or -1 for num_train_epochs", lambda value: value == -1 or (value > 0 and value % 1 == 0)): """
        max_steps
    """,
    ("0 or more", lambda value: value >= 0 and value % 1 == 0): "save_total_limit dataloader_num_workers doc_stride",
    ("at least 1", lambda value: value >= 1 and value % 1 == 0): """
        batch_size_warmup_start per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps
        eval_accumulation_steps torch_empty_cache_steps dataloader_prefetch_factor ddp_bucket_cap_mb ddp_timeout
        early_stopping_patience lora_r lora_alpha
        num_seeds max_seq_length n_best_size max_answer_length max_train_samples max_eval_samples max_predict_samples
        max_tokens up_to_steps
    """,
    ("from 0 to 2**32 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**32): "seed data_seed",
    ("from 0 to 2**63 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**63): "eval_seed",
}
_RANGES = {name: allowed for allowed, names in _NAMES.items() for name in names.split()}


def check_numbers(args: Any) -> None:
    """Looks at every number of a dataclass of arguments that is named here.

    Raises:
        UserError: one that no run can have: out of its range, NaN, or infinite.
    """
    for name, (said, allows) in _RANGES.items():
        value = getattr(args, name, None)
        if isinstance(value, int | float) and not allows(value):
            kind = ", and finite" if not math.isfinite(value) else ", and whole" if allows(math.floor(value)) else ""
            raise UserError(f"{name}={value} must be {said}{kind}")
