from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState

from transformers_mcl import MclTrainingArguments
from transformers_mcl.training.callbacks import RankSeedCallback
from transformers_mcl.training.seeds import stream_seed


def test_the_first_stream_has_the_seed_itself() -> None:
    assert [stream_seed(seed, 0) for seed in (0, 7, 2**40)] == [0, 7, 2**40]


def test_no_two_streams_have_one_seed() -> None:
    settings = list(itertools.product((0, 1, 2, 41, 42, 43, -1, 2**32), range(16)))
    assert len({stream_seed(seed, stream) for seed, stream in settings}) == len(settings)


def test_processes_of_neighbouring_seeds_draw_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 1 of process 1 and seed 2 of process 0 are not one; the first process draws as one alone does."""
    monkeypatch.setattr(MclTrainingArguments, "world_size", 2)
    draws = {}
    with torch.random.fork_rng(devices=[]):
        for seed, rank in itertools.product((1, 2), (0, 1)):
            monkeypatch.setattr(MclTrainingArguments, "process_index", rank)
            arguments = MclTrainingArguments(str(tmp_path), use_cpu=True, seed=seed)
            RankSeedCallback().on_train_begin(arguments, TrainerState(), TrainerControl())
            draws[seed, rank] = torch.rand(4)
    for (_, one), (_, other) in itertools.combinations(draws.items(), 2):
        assert not torch.isclose(one, other).any()
    torch.testing.assert_close(draws[1, 0], torch.rand(4, generator=torch.Generator().manual_seed(1)))
