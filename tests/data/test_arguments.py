from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, cast

import pytest
from transformers import HfArgumentParser

from transformers_mcl.data import DataArguments
from transformers_mcl.errors import UserError

PARSER = HfArgumentParser(cast(Any, DataArguments))


def test_parsed_from_the_command_line() -> None:
    words = "--train_file a.txt b.txt --max_seq_length 64 --document_separator line --line_by_line".split()
    (args,) = PARSER.parse_args_into_dataclasses(words)
    assert args == DataArguments(
        train_file=["a.txt", "b.txt"], max_seq_length=64, document_separator="line", line_by_line=True
    )


def test_one_file_of_a_recipe_is_a_list() -> None:
    (args,) = PARSER.parse_dict({"train_file": "a.txt", "validation_file": "b.txt"})
    assert (args.train_file, args.validation_file) == (["a.txt"], ["b.txt"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"dataset_name": ["a", "b"], "dataset_config_name": "c"}, ["dataset_config_name", "'c'", "a b"]),
        ({"train_file": ["a"], "dataset_name": "b", "mixing_weights": [1.0]}, ["mixing_weights are 1", "2 sources"]),
        ({"mixing_weights": [1.0, 1.0]}, ["mixing_weights are 2", "0 sources"]),
        ({"train_file": ["a", "b"], "mixing_weights": [1.0, -0.5]}, ["mixing_weights", "-0.5", "above 0"]),
        ({"train_file": ["a", "b"], "mixing_weights": [0.0, 1.0]}, ["mixing_weights", "0.0", "above 0"]),
        ({"train_file": ["a", "b"], "mixing_weights": [1.0, math.inf]}, ["mixing_weights", "inf", "finite"]),
        ({"train_file": ["a", "b"], "mixing_weights": [1.0, math.nan]}, ["mixing_weights", "nan", "finite"]),
        ({"streaming": True, "deduplicate": True}, ["streaming", "deduplicate", "True"]),
        ({"validation_file": ["v.txt"]}, ["validation_file", "'v.txt'", "train_file"]),
        ({"dataset_config_name": "c"}, ["dataset_config_name", "'c'", "dataset_name"]),
        ({"validation_split_percentage": 0}, ["validation_split_percentage", "0", "100"]),
        ({"validation_split_percentage": 100}, ["validation_split_percentage", "100"]),
        ({"document_separator": "lines"}, ["document_separator", "'lines'", "line", "blank_line"]),
        ({"document_attention": True, "line_by_line": True}, ["document_attention", "line_by_line"]),
        ({"max_seq_length": 3}, ["max_seq_length", "3", "4"]),
        ({"preprocessing_num_workers": 0}, ["preprocessing_num_workers", "0", "1"]),
        ({"max_train_samples": -1}, ["max_train_samples", "-1"]),
        ({"max_eval_samples": 0}, ["max_eval_samples", "0"]),
    ],
)
def test_wrong_values_are_named_in_one_line(values: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        DataArguments(**values)
    message = str(caught.value)
    assert all(word in message for word in named) and "\n" not in message


def test_the_extreme_values_are_taken() -> None:
    DataArguments(max_seq_length=4, preprocessing_num_workers=1, max_train_samples=1, max_eval_samples=1)


def test_describing_the_arguments_imports_nothing_heavy() -> None:
    code = "import sys, transformers_mcl.data.arguments; print({'torch', 'datasets', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
