"""What runs the processes of a run, said aloud: some launchers start fewer than were asked for, in silence."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from accelerate.utils import DistributedType
from transformers import Trainer

from ..errors import UserError

__all__ = ["check_processes", "describe_engine", "describe_threads", "engine_warnings"]

_NAMES = {
    DistributedType.NO: "one process",
    DistributedType.MULTI_CPU: "DDP",
    DistributedType.MULTI_GPU: "DDP",
    DistributedType.FSDP: "FSDP",
    DistributedType.DEEPSPEED: "DeepSpeed",
}


def describe_engine(trainer: Trainer) -> str:
    """How many processes of what kind train together, as accelerate has set them up."""
    state = trainer.accelerator.state
    name = _NAMES.get(state.distributed_type, state.distributed_type.value)
    if state.distributed_type == DistributedType.FSDP:
        name += f"{getattr(state.fsdp_plugin, 'fsdp_version', 1)}"
    return name if state.distributed_type == DistributedType.NO else f"{state.num_processes} x {name}"


def describe_threads() -> str:
    """How many threads each process computes with."""
    number = torch.get_num_threads()
    return f"{number} thread{'s' * (number != 1)}"


def engine_warnings(trainer: Trainer, environment: Mapping[str, str] | None = None) -> list[str]:
    """What was asked for and did not happen, a sentence each.

    Args:
        environment: of the process; its own by default. `accelerate launch` and torchrun speak through it.
    """
    environment = os.environ if environment is None else environment
    state, said = trainer.accelerator.state, []
    # What accelerate's launcher sets for a program of several processes that it then starts as one.
    launched_as_one = "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_ADDR" in environment
    if launched_as_one and "WORLD_SIZE" not in environment and state.num_processes == 1:
        said.append(
            "accelerate launch was asked for several processes and started one, as it does on a CPU: "
            "start them with `torchrun --nproc_per_node N -m transformers_mcl.cli pretrain --use_cpu true ...`"
        )
    asked_for_fsdp = bool(trainer.args.fsdp) or environment.get("ACCELERATE_USE_FSDP") == "true"
    if asked_for_fsdp and state.distributed_type != DistributedType.FSDP:
        said.append(
            f"FSDP was asked for, and this run has {describe_engine(trainer)}: nothing is sharded. "
            "accelerate shards on accelerators only, and only under a launcher"
        )
    plugin = getattr(state, "fsdp_plugin", None) if state.distributed_type == DistributedType.FSDP else None
    if "FULL_STATE_DICT" in str(getattr(plugin, "state_dict_type", "")):
        said.append(
            "fsdp_state_dict_type is FULL_STATE_DICT: such checkpoints of a pair cannot be resumed from; "
            "set SHARDED_STATE_DICT"
        )
    return said


def check_processes(world_size: int, environment: Mapping[str, str] | None = None) -> None:
    """Refuses processes that a launcher started together and that would each train alone, into one folder.

    Raises:
        UserError: more were started than train together, as under torchrun on a CPU without `use_cpu`.
    """
    started = int((os.environ if environment is None else environment).get("WORLD_SIZE", 1))
    if started > world_size:
        raise UserError(
            f"{started} processes were started, and each would be a run of its own: on a CPU, give --use_cpu true"
        )
