"""Operations by formula against those that torch counts in a training step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForMaskedLM

from tests.families import each
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.models.flops import known_peak_flops, pass_flops, step_flops

BATCH, LENGTH = 5, 20


def tiny_config(**overrides: Any) -> MclConfig:
    shape = {
        "vocab_size": 200,
        "embedding_size": 24,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "generator_hidden_size": 16,
        "generator_num_hidden_layers": 1,
        "generator_num_attention_heads": 1,
        "generator_intermediate_size": 40,
        "max_position_embeddings": 64,
    }
    return MclConfig(**{**shape, **overrides})


def counted(config: MclConfig, attn_implementation: str = "eager") -> int:
    """What torch counts in one training step. Eager attention: a fused one computes the scores again going back."""
    config._attn_implementation = attn_implementation
    model = MclForPreTraining(config).train()
    assert not model.predicts_everywhere  # of some families this is tried out, once
    ids = torch.randint(110, 200, (BATCH, LENGTH))
    with FlopCounterMode(display=False) as counter:
        model(ids).loss.backward()
    return int(counter.get_total_flops())


WEIGHTS: dict[str, dict[str, Any]] = {
    "mcl": {},
    "electra": {"objective": "electra"},
    "generator alone": {"loss_weights": {"slm": 1}},
    "judged without gradient": {"loss_weights": {"re_mlm": 1}},
    "inserted, rows at the limit": {"loss_weights": {"itd": 1}, "max_position_embeddings": LENGTH + 1},
    "no projection of embeddings": {"embedding_size": 32},
    "one row for all courses": {
        "course_schedule": "joint",
        "loss_weights": {"mlm": 1, "slm": 1, "rtd": 50, "std": 50, "itd": 50},
    },
    "corrections on some rows": {"correction_rows": 0.25},
    "a projection alone as head": {"detection_head_type": "linear"},
    "a projection alone, one for all": {"detection_head_type": "linear", "detection_heads": "shared"},
    "a normalised head": {"detection_head_type": "layer_norm"},
    "several layers predict": {"generator_num_hidden_layers": 3, "generator_prediction_layers": [1, 3]},
    "deeper, and other ratios": {"num_hidden_layers": 3, "mask_ratio": 0.4, "swap_ratio": 0.3, "insert_ratio": 0.4},
    "no bias": {"relative_attention_num_buckets": 0, "generator_shares": "all"},
    "corrections without the courses": {"loss_weights": {"re_slm": 1, "re_rtd": 50}},
    "one row for two courses, a row at its limit": {
        "course_schedule": "joint",
        "loss_weights": {"mlm": 1, "rtd": 50, "itd": 50},
        "max_position_embeddings": LENGTH + 1,
        "detection_head_type": "linear",
    },
}


@pytest.mark.parametrize("overrides", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_step_flops_are_those_torch_counts(overrides: dict[str, Any], seeded: int) -> None:
    config = tiny_config(**overrides)
    assert step_flops(config, BATCH, LENGTH) == counted(config)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_rows_taken_in_turn_cost_what_torch_counts_on_average(batch: int, share: float, seeded: int) -> None:
    config = tiny_config(course_schedule="sampled", correction_rows=share)
    config._attn_implementation = "eager"
    model = MclForPreTraining(config).train()
    with FlopCounterMode(display=False) as counter:
        for _ in range(3):
            model(torch.randint(110, 200, (batch, LENGTH))).loss.backward()
    assert 3 * step_flops(config, batch, LENGTH) == pytest.approx(counter.get_total_flops(), rel=1e-9)


def test_attention_of_torch_with_bias_counts_alike(seeded: int) -> None:
    config = tiny_config()
    assert step_flops(config, BATCH, LENGTH) == counted(config, "sdpa")


def test_passes_are_named_by_their_losses_in_order() -> None:
    passes = pass_flops(MclConfig.small(), 16, 128)
    assert list(passes) == [
        *("mlm", "rtd", "re_mlm", "re_rtd"),
        *("slm", "std", "re_slm", "re_std"),
        *("itd_fill", "itd"),
    ]
    assert passes["itd"].length == passes["itd_fill"].length == 128 + 19
    assert [name for name, one in passes.items() if not one.backward] == ["itd_fill"]
    fill, detect = passes["itd_fill"], passes["rtd"]
    assert fill.total == fill.forward == fill.encoder + fill.head
    assert detect.total == 3 * detect.forward


def test_weight_zero_costs_nothing_and_weights_may_change_in_training() -> None:
    config = MclConfig.small()
    assert list(pass_flops(MclConfig.small(objective="electra"), 16, 128)) == ["mlm", "rtd"]
    now = {"mlm": 1.0, "rtd": 50.0, "std": 0.0}
    assert step_flops(config, 16, 128, now) == step_flops(MclConfig.small(objective="electra"), 16, 128)
    judged = pass_flops(config, 16, 128, {"re_rtd": 50.0})
    assert {name: one.backward for name, one in judged.items()} == {"mlm": False, "rtd": False, "re_rtd": True}


def test_mcl_costs_five_electra_steps() -> None:
    """The figure of `docs/speed.md`: at ELECTRA-small's shape and length 128."""
    ratio = step_flops(MclConfig.small(), 16, 128) / step_flops(MclConfig.small(objective="electra"), 16, 128)
    assert ratio == pytest.approx(5.1, abs=0.05)


NATIVE_SHAPE = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    "distilbert": {"hidden_dim": 48},
    "electra": {"embedding_size": 24},
    # Looks at the numbers of its mask, which the meta device has not.
    "rembert": {"input_embedding_size": 24, "output_embedding_size": 40},
    "xlm": {"intermediate_size": 4 * 32},  # looks at the lengths of its rows: estimated
}
POOLED = {"bert", "roberta", "rembert"}  # transformers pools a row's first state, too, which nothing asks for


def native_pair(family: str, **overrides: Any) -> MclConfig:
    backbone = AutoConfig.for_model(family, **{**NATIVE_SHAPE, **FAMILIES[family], **overrides})
    return MclConfig(backbone_config=backbone)


@each(FAMILIES)
def test_step_flops_of_any_family_are_those_torch_counts(family: str, seeded: int) -> None:
    config = native_pair(family)
    tolerance = 3e-3 if family in {*POOLED, "xlm"} else 0
    assert step_flops(config, BATCH, LENGTH) == pytest.approx(counted(config), rel=tolerance)


def test_counting_takes_no_draws_and_is_done_once(seeded: int) -> None:
    config = native_pair("deberta-v2", num_hidden_layers=4)  # which no other test has counted
    before = torch.get_rng_state()
    first = step_flops(config, BATCH, LENGTH)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutoModelForMaskedLM, "from_config", None)
        assert step_flops(native_pair("deberta-v2", num_hidden_layers=4), BATCH, LENGTH) == first


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA H20", 148),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40", 181),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA RTX A6000", 155),
        ("Tesla T4", 65),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 5070 Ti", 88),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA RTX A4000", None),  # no A40
        ("NVIDIA GeForce RTX 4080 SUPER", None),
    ],
)
def test_peaks_of_devices_are_found_by_their_whole_names(name: str, teraflops: int | None) -> None:
    peak = known_peak_flops(name)
    assert (None if peak is None else round(peak / 1e12)) == teraflops
