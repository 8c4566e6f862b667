from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.utils import DistributedType

from transformers_mcl import MclConfig, MclForPreTraining

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = {
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "deepspeed_zero1": DistributedType.DEEPSPEED,
    "deepspeed_zero2": DistributedType.DEEPSPEED,
    "deepspeed_zero3": DistributedType.DEEPSPEED,
}


def test_every_file_is_known() -> None:
    assert {path.stem for path in (EXAMPLES / "accelerate").glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_them(name: str) -> None:
    config = ClusterConfig.from_yaml_file(str(EXAMPLES / "accelerate" / f"{name}.yaml"))  # refuses unknown keys
    assert config.distributed_type == KINDS[name]
    assert config.mixed_precision == "bf16"
    if name.startswith("deepspeed"):
        assert config.deepspeed_config["zero_stage"] == int(name[-1])


def test_fsdp_shards_modules_that_a_pair_has() -> None:
    config = ClusterConfig.from_yaml_file(str(EXAMPLES / "accelerate" / "fsdp2.yaml")).fsdp_config
    pair = MclForPreTraining(MclConfig.tiny(vocab_size=50))
    assert config["fsdp_transformer_layer_cls_to_wrap"] in pair._no_split_modules
    assert config["fsdp_transformer_layer_cls_to_wrap"] in {type(module).__name__ for module in pair.modules()}
    assert config["fsdp_state_dict_type"] == "SHARDED_STATE_DICT"


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", EXAMPLES / "slurm" / "pretrain.sbatch"], check=True)
