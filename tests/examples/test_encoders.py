"""The example that pre-trains encoders of several families: what it asks for can be made, and is of one size."""

from __future__ import annotations

from pathlib import Path

import torch
from encoders.run import SHAPES, Arguments, command

from tests.families import demo_tokenizer
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.models.pretraining import MclForPreTraining
from transformers_mcl.training.arguments import MclTrainingArguments
from transformers_mcl.training.from_arguments import build_config
from transformers_mcl.training.model_arguments import ModelArguments


def test_its_encoders_are_of_one_size_and_take_all_courses(tmp_path: Path) -> None:
    kinds = (ModelArguments, DataArguments, MclTrainingArguments)
    sizes = []
    for family in SHAPES:
        words = command(family, Arguments(["a.txt"], ["b.txt"], "tokenizer"), tmp_path)[4:]
        model_args, _, args = parse_arguments(kinds, words, prog="", description="")
        config = build_config(model_args, None, demo_tokenizer())
        assert config.active_courses == ("rtd", "std", "itd")
        assert set(config.curriculum().weights) == {"mlm", "slm", "rtd", "std", "itd"}
        assert args.max_steps == 400
        with torch.device("meta"):
            encoder = MclForPreTraining(config).discriminator
        sizes.append(
            sum(p.numel() for name, p in encoder.named_parameters() if "embed" not in name and p.requires_grad)
        )
    assert max(sizes) < 1.35 * min(sizes)
