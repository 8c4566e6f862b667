"""Which numbers arguments and fields of configurations may have: transformers' own, most of which it takes as they
come, and ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import UserError

__all__ = ["check_configuration", "check_field", "check_numbers"]

# What a range is called, and what lies in it.
_Range = tuple[str, Callable[[float], bool]]
_ABOVE_0: _Range = ("above 0", lambda value: 0 < value < math.inf)
_FROM_0: _Range = ("0 or more", lambda value: 0 <= value < math.inf)
_SHARE: _Range = ("at least 0 and below 1", lambda value: 0 <= value < 1)
_WHOLE_FROM_0: _Range = ("0 or more", lambda value: value >= 0 and value % 1 == 0)
_WHOLE_FROM_1: _Range = ("at least 1", lambda value: value >= 1 and value % 1 == 0)


def _by_name(names: Mapping[_Range, str]) -> dict[str, _Range]:
    return {name: allowed for allowed, listed in names.items() for name in listed.split()}


# Of `max_grad_norm`, 0 clips nothing, and infinity as well, but has the norm measured; of `save_total_limit`, 0 keeps
# all; and `seed` is NumPy's as well. Any other float has to be finite.
_OF_ARGUMENTS = _by_name(
    {
        _ABOVE_0: """
            muon_learning_rate generator_learning_rate adam_epsilon num_train_epochs peak_flops max_hours
            generator_temperature generator_temperature_decay mixing_weights C
            save_steps eval_steps
        """,
        _FROM_0: """
            learning_rate weight_decay warmup_steps generator_warmup_steps course_warmup_steps
            correction_warmup_steps batch_size_warmup_steps length_warmup_steps logging_steps eval_delay
            neftune_noise_alpha early_stopping_threshold discriminator_weight loss_weights weights
        """,
        _SHARE: "adam_beta1 adam_beta2 label_smoothing_factor lora_dropout",
        ("above 0 and below 1", lambda value: 0 < value < 1): "mask_ratio swap_ratio insert_ratio threshold",
        ("above 0 and at most 1", lambda value: 0 < value <= 1): "layerwise_learning_rate_decay",
        ("above 0 and below 100", lambda value: 0 < value < 100): "validation_split_percentage",
        ("0 or more", lambda value: value >= 0): "max_grad_norm",
        ("at least 1, or -1 for num_train_epochs", lambda value: value == -1 or (value > 0 and value % 1 == 0)): """
            max_steps
        """,
        _WHOLE_FROM_0: """
            save_total_limit dataloader_num_workers doc_stride shuffle_buffer_size right_option mask_token_id
        """,
        _WHOLE_FROM_1: """
            batch_size_warmup_start per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps
            eval_accumulation_steps torch_empty_cache_steps dataloader_prefetch_factor ddp_bucket_cap_mb ddp_timeout
            early_stopping_patience lora_r lora_alpha num_seeds max_seq_length n_best_size max_answer_length
            max_train_samples max_eval_samples max_predict_samples max_tokens up_to_steps preprocessing_num_workers
            validation_documents length_warmup_lengths ladder_steps vocab_size min_frequency max_train_documents
            max_evaluations diagnose_points num_attention_heads
        """,
        ("from 1 to 65535", lambda value: 1 <= value < 2**16 and value % 1 == 0): "server_port",
        ("at least 2", lambda value: value >= 2 and value % 1 == 0): "folds",
        (
            "a share above 0 and below 1, or a whole number from 1 on",
            lambda value: 0 < value < 1 or (1 <= value < math.inf and value % 1 == 0),
        ): "limit",
        ("from 0 to 2**32 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**32): "seed data_seed",
        ("from 0 to 2**63 - 1", lambda value: isinstance(value, int) and 0 <= value < 2**63): "eval_seed",
    }
)
# Of `MclConfig`, where 0 stands for a size of the generator that is not said, and of the families of transformers.
_OF_CONFIGURATIONS = _by_name(
    {
        _ABOVE_0: """
            layer_norm_eps layer_norm_epsilon norm_eps rms_norm_eps rope_theta generator_temperature
            generator_temperature_decay
        """,
        _FROM_0: """
            initializer_range position_initializer_range relative_attention_initializer_range init_std
            initializer_cutoff_factor
        """,
        _SHARE: """
            hidden_dropout_prob attention_probs_dropout_prob classifier_dropout_prob classifier_dropout
            generator_dropout hidden_dropout attention_dropout embedding_dropout mlp_dropout dropout
            activation_dropout pooler_dropout seq_classif_dropout qa_dropout summary_last_dropout
        """,
        _WHOLE_FROM_0: """
            type_vocab_size generator_hidden_size generator_num_hidden_layers generator_num_attention_heads
            generator_intermediate_size
        """,
        _WHOLE_FROM_1: """
            vocab_size embedding_size hidden_size num_hidden_layers num_attention_heads intermediate_size
            max_position_embeddings num_key_value_heads head_dim dim n_layers n_heads hidden_dim num_hidden_groups
            inner_group_num conv_kernel_size head_ratio num_groups
        """,
    }
)


def check_numbers(args: Any) -> None:
    """Looks at every number of a dataclass of arguments, those in lists and mappings included.

    Raises:
        UserError: one that no run can have: out of its range, NaN, or infinite.
    """
    for field in dataclasses.fields(args):
        _check(field.name, getattr(args, field.name, None), _OF_ARGUMENTS)


def check_configuration(config: Any, of: str = "") -> None:
    """The same of the fields of a configuration, which is one of transformers.

    Args:
        of: what stands before the names of its fields.
    """
    for name in _OF_CONFIGURATIONS:
        check_field(name, getattr(config, name, None), of)


def check_field(name: str, value: Any, of: str = "") -> None:
    """The same of one field of a configuration."""
    if name in _OF_CONFIGURATIONS:
        _check(name, value, _OF_CONFIGURATIONS, of)


def _check(name: str, value: Any, ranges: Mapping[str, _Range], of: str = "") -> None:
    for key, number in _parts(value):
        if not isinstance(number, int | float) or isinstance(number, bool):
            if name in ranges and key:
                raise UserError(f"{of}{name}{key}={number!r} must be a number")
            continue
        said, allows = ranges.get(name, ("finite", math.isfinite))
        if not allows(number):
            kind = "finite" if not math.isfinite(number) else "whole" if allows(math.floor(number)) else ""
            raise UserError(f"{of}{name}{key}={number} must be {said}" + f", and {kind}" * (kind not in said))


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    """What a value holds, each with what stands behind the value's name in speaking of it."""
    if isinstance(value, Mapping):
        return ((f"[{name!r}]", one) for name, one in value.items())
    return (("", one) for one in (value if isinstance(value, list | tuple) else [value]))
