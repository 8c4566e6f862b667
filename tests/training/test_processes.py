from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.utils import DistributedType

from transformers_mcl import MclTrainer, UserError
from transformers_mcl.training.processes import check_processes, describe_engine, describe_threads, engine_warnings

LAUNCHED = {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}


def trainer(kind: DistributedType, processes: int = 1, fsdp: bool = False, version: int = 2) -> Any:
    """As much of a trainer as is looked at."""
    state = SimpleNamespace(
        distributed_type=kind, num_processes=processes, fsdp_plugin=SimpleNamespace(fsdp_version=version)
    )
    return SimpleNamespace(accelerator=SimpleNamespace(state=state), args=SimpleNamespace(fsdp=fsdp))


def test_a_real_trainer_on_one_process(make_trainer: Callable[..., MclTrainer]) -> None:
    assert describe_engine(make_trainer()) == "one process"
    assert engine_warnings(make_trainer(), {}) == []


@pytest.mark.parametrize(("number", "said"), [(1, "1 thread"), (2, "2 threads")])
def test_threads(monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: number)
    assert describe_threads() == said


@pytest.mark.parametrize(
    ("kind", "processes", "said"),
    [
        (DistributedType.MULTI_CPU, 2, "2 x DDP"),
        (DistributedType.MULTI_GPU, 8, "8 x DDP"),
        (DistributedType.FSDP, 1, "1 x FSDP2"),
        (DistributedType.DEEPSPEED, 4, "4 x DeepSpeed"),
        (DistributedType.MULTI_NPU, 2, "2 x MULTI_NPU"),
    ],
)
def test_engines_are_named(kind: DistributedType, processes: int, said: str) -> None:
    assert describe_engine(trainer(kind, processes)) == said


def test_one_process_where_several_were_asked_for() -> None:
    alone = trainer(DistributedType.NO)
    assert "accelerate launch was asked for several processes and started one" in engine_warnings(alone, LAUNCHED)[0]
    assert engine_warnings(alone, {"ACCELERATE_MIXED_PRECISION": "no"}) == []  # one was asked for
    assert engine_warnings(trainer(DistributedType.MULTI_CPU, 2), {**LAUNCHED, "WORLD_SIZE": "2"}) == []


def test_checkpoints_that_could_not_be_read_back() -> None:
    sharding = trainer(DistributedType.FSDP, 2)
    for kind, number in (("StateDictType.FULL_STATE_DICT", 1), ("StateDictType.SHARDED_STATE_DICT", 0)):
        sharding.accelerator.state.fsdp_plugin.state_dict_type = kind
        assert len(engine_warnings(sharding, {})) == number


@pytest.mark.parametrize(("fsdp", "environment"), [(True, {}), (False, {"ACCELERATE_USE_FSDP": "true"})])
def test_no_fsdp_where_it_was_asked_for(fsdp: bool, environment: dict[str, str]) -> None:
    (said,) = engine_warnings(trainer(DistributedType.MULTI_CPU, 2, fsdp), environment)
    assert said.startswith("FSDP was asked for, and this run has 2 x DDP: nothing is sharded")
    assert engine_warnings(trainer(DistributedType.FSDP, 2, fsdp), environment) == []


def test_processes_that_would_not_know_of_each_other_are_refused() -> None:
    with pytest.raises(UserError, match=r"2 processes were started, .* give --use_cpu true"):
        check_processes(1, {"WORLD_SIZE": "2"})
    check_processes(2, {"WORLD_SIZE": "2"})
    check_processes(1, {})
