from __future__ import annotations

import math
import re
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig

from transformers_mcl import MclTrainingArguments, UserError
from transformers_mcl.cli.main import COMMANDS
from transformers_mcl.evaluation import EvaluationArguments
from transformers_mcl.finetuning.arguments import EncoderArguments, FinetuningArguments, TaskArguments
from transformers_mcl.ranges import _OF_ARGUMENTS, check_configuration

NOT_NUMBERS = [math.nan, math.inf, -math.inf]
# By name of the argument, what no run can have; infinity as a gradient's largest norm clips nothing.
REFUSED: dict[str, list[float]] = {
    "learning_rate": [-1e-3],
    "muon_learning_rate": [0, -1],
    "generator_learning_rate": [0, -1],
    "weight_decay": [-0.1],
    "adam_beta1": [-0.1, 1],
    "adam_beta2": [-0.1, 1],
    "adam_epsilon": [0, -1e-8],
    "num_train_epochs": [0, -1],
    "max_steps": [0, -2],
    "warmup_steps": [-1],
    "generator_warmup_steps": [-1],
    "course_warmup_steps": [-1],
    "correction_warmup_steps": [-1],
    "batch_size_warmup_steps": [-1],
    "batch_size_warmup_start": [0, -1],
    "length_warmup_steps": [-1],
    "logging_steps": [-1],
    "eval_steps": [0, -1],
    "eval_delay": [-1],
    "save_steps": [0, -1],
    "save_total_limit": [-1],
    "per_device_train_batch_size": [0, -1],
    "per_device_eval_batch_size": [0, -1],
    "gradient_accumulation_steps": [0, -1],
    "eval_accumulation_steps": [0, -1],
    "torch_empty_cache_steps": [0, -1],
    "dataloader_num_workers": [-1],
    "dataloader_prefetch_factor": [0, -1],
    "ddp_bucket_cap_mb": [0],
    "ddp_timeout": [0, -1],
    "seed": [-1, 2**32, 1.5],
    "data_seed": [-1, 2**32],
    "eval_seed": [-1, 2**63],
    "peak_flops": [0, -1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in [*values, *NOT_NUMBERS]]
)
def test_numbers_that_no_run_can_have_are_refused_in_one_line(tmp_path: Path, name: str, value: Any) -> None:
    optim = {"optim": "muon"} if name == "muon_learning_rate" else {}
    with pytest.raises(UserError, match=rf"^{name}={re.escape(str(value))} must be ") as error:
        MclTrainingArguments(**{"output_dir": str(tmp_path), "use_cpu": True, name: value, **optim})
    assert "\n" not in str(error.value)
    assert math.isfinite(value) != ("finite" in str(error.value))


def kinds_of_arguments() -> list[Any]:
    """Every dataclass of arguments of the package."""
    for command in COMMANDS:
        import_module(f"transformers_mcl.cli.{command}")
    found = [
        kind
        for name, module in sys.modules.items()
        if name.startswith("transformers_mcl.")
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == name
    ]
    return [kind for kind in found if kind.__name__.endswith("Arguments")]


# Numbers that may be anything, if they are finite; and those that know their own range.
_ANY = {"null_score_diff_threshold", "layers", "local_rank"}


def test_every_number_of_every_command_has_a_range() -> None:
    kinds = kinds_of_arguments()
    assert {"MclTrainingArguments", "FinetuningArguments", "TokenizerArguments", "ScoreArguments"} <= {
        kind.__name__ for kind in kinds
    }
    numbers = {
        field.name
        for kind in kinds
        for field in fields(kind)
        if re.search(r"\b(int|float)\b", str(field.type)) and field.init
    }
    assert len(numbers) >= 80
    assert sorted(numbers - set(_OF_ARGUMENTS) - _ANY) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer_norm_eps": 0.0}, "layer_norm_eps=0.0 must be above 0"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob=1.0 must be at least 0 and below 1"),
        ({"hidden_size": 0}, "hidden_size=0 must be at least 1"),
        ({"initializer_range": math.nan}, "initializer_range=nan must be 0 or more, and finite"),
    ],
)
def test_fields_of_configurations_have_ranges(changes: dict[str, Any], said: str) -> None:
    check_configuration(BertConfig())
    with pytest.raises(UserError, match=f"^generator_{re.escape(said)}$"):
        check_configuration(BertConfig(**changes), "generator_")


@pytest.mark.parametrize("value", [-1, math.nan, -math.inf])
def test_a_largest_norm_may_be_infinite(tmp_path: Path, value: float) -> None:
    assert MclTrainingArguments(str(tmp_path), max_grad_norm=math.inf).max_grad_norm == math.inf
    with pytest.raises(UserError, match="max_grad_norm="):
        MclTrainingArguments(str(tmp_path), max_grad_norm=value)


@pytest.mark.parametrize(
    ("name", "value"), [("max_steps", 2.5), ("save_total_limit", 1.5), ("dataloader_num_workers", 0.5), ("seed", 1.5)]
)
def test_counts_are_whole(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{name}={value} must be .*, and whole"):
        MclTrainingArguments(**{"output_dir": str(tmp_path), name: value})


def test_fine_tuning_has_the_same_ranges(tmp_path: Path) -> None:
    for name, value in (("max_steps", 0), ("seed", -1), ("learning_rate", math.nan)):
        with pytest.raises(UserError, match=f"{name}={value} must be "):
            FinetuningArguments(**{"output_dir": str(tmp_path), name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (EncoderArguments, {"num_seeds": 0}),
        (TaskArguments, {"max_train_samples": 0, "max_eval_samples": 0, "max_predict_samples": 0, "doc_stride": -1}),
        (TaskArguments, {"max_seq_length": 0, "n_best_size": 0, "max_answer_length": 0}),
        (EvaluationArguments, {"per_device_eval_batch_size": 0}),
    ],
)
def test_arguments_beside_those_of_training_have_ranges_too(kind: Any, names: dict[str, int]) -> None:
    needed = {"task": "blimp", "model_name_or_path": "m", "output_dir": "o"}
    given = {field.name: needed[field.name] for field in fields(kind) if field.name in needed}
    for name, value in names.items():
        with pytest.raises(UserError, match=rf"^{name}={value} must be (at least 1|0 or more)$"):
            kind(**given, **{name: value})
