"""The configuration: the nine losses, the presets, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig, ElectraConfig

from transformers_mcl import MclConfig, UserError
from transformers_mcl.method.courses import COURSES, all_losses

NINE = {
    "mlm": 1.0,
    "slm": 1.0,
    "re_mlm": 1.0,
    "re_slm": 1.0,
    "rtd": 50.0,
    "std": 50.0,
    "itd": 50.0,
    "re_rtd": 50.0,
    "re_std": 50.0,
}
ELECTRA = {**dict.fromkeys(NINE, 0.0), "mlm": 1.0, "rtd": 50.0}


def test_the_nine_losses_and_their_weights() -> None:
    assert set(all_losses()) == set(NINE)
    assert MclConfig().loss_weights == MclConfig.tiny(objective="mcl").loss_weights == NINE
    assert MclConfig.tiny(objective="electra").loss_weights == ELECTRA
    # Each loss belongs to one course: generator, discriminator, and their corrections; insertion has neither answer.
    assert {name: tuple(loss.name for loss in course.losses) for name, course in COURSES.items()} == {
        "rtd": ("mlm", "rtd", "re_mlm", "re_rtd"),
        "std": ("slm", "std", "re_slm", "re_std"),
        "itd": ("itd",),
    }


@pytest.mark.parametrize("preset", ["tiny", "mini", "small", "base", "large"])
def test_masked_language_modelling_alone_is_of_the_encoder_itself(preset: str) -> None:
    config = getattr(MclConfig, preset)(objective="mlm")
    assert {name for name, weight in config.loss_weights.items() if weight} == {"mlm"}
    assert config.generator_shares == "encoder"
    assert config.generator_config().to_dict() == config.to_dict()
    assert MclConfig.tiny(objective="mlm", generator_shares="none").generator_hidden_size == 64


def test_an_encoder_of_another_family_is_its_own_generator() -> None:
    backbone = {"model_type": "bert", "num_hidden_layers": 6}
    config = MclConfig.tiny(objective="mlm", backbone_config=backbone)
    assert config.generator_backbone_config.to_dict() == config.backbone_config.to_dict()


def test_a_loss_left_out_has_no_weight() -> None:
    config = MclConfig(loss_weights={"mlm": 2, "re_std": 0.5})
    assert config.loss_weights == {**dict.fromkeys(NINE, 0.0), "mlm": 2.0, "re_std": 0.5}
    assert config.active_courses == ("rtd", "std")


def test_configurations_share_no_weights() -> None:
    first, second = MclConfig(), MclConfig()
    assert first.loss_weights is not None
    first.loss_weights["mlm"] = 7.0
    assert second.loss_weights == MclConfig().loss_weights == NINE
    given = {"rtd": 1.0}
    MclConfig(loss_weights=given)
    assert given == {"rtd": 1.0}


@pytest.mark.parametrize(
    ("weights", "courses"),
    [
        (NINE, ("rtd", "std", "itd")),
        (ELECTRA, ("rtd",)),
        ({"re_slm": 1}, ("std",)),
        ({"itd": 1}, ("itd",)),
        ({"itd": 1, "re_rtd": 1}, ("rtd", "itd")),
    ],
)
def test_active_courses(weights: dict[str, float], courses: tuple[str, ...]) -> None:
    assert MclConfig(loss_weights=weights).active_courses == courses


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"objective": "electro"}, ("objective", "'electro'", "'electra'")),
        ({"objective": "electro", "loss_weights": {"rtd": 1.0}}, ("objective", "'electro'", "'electra'")),
        ({"loss_weights": {"mlm": 1, "re_slmm": 1}}, ("loss_weights", "'re_slmm'", "'re_slm'")),
        ({"loss_weights": {"zzzzz": 1}}, ("loss_weights", "'zzzzz'", "re_std")),
        ({"objective": "electra", "loss_weights": {"rtd": 1.0}}, ("objective", "'electra'", "give one of both")),
        ({"loss_weights": {"mlm": -1}}, ("loss_weights", "mlm", "-1")),
        ({"loss_weights": {"mlm": math.nan}}, ("loss_weights", "mlm", "nan")),
        ({"loss_weights": {"mlm": math.inf}}, ("loss_weights", "mlm", "inf")),
        ({"loss_weights": {"mlm": "much"}}, ("loss_weights", "mlm", "much")),
        ({"loss_weights": {}}, ("loss_weights",)),
        ({"loss_weights": {"mlm": 0, "rtd": 0.0}}, ("loss_weights",)),
        ({"detection_heads": "per-course"}, ("detection_heads", "'per_course'")),
        ({"generator_shares": "tokens"}, ("generator_shares", "'token'")),
        ({"detection_head_type": "layernorm"}, ("detection_head_type", "'layer_norm'")),
        ({"classifier_activation": "relu"}, ("classifier_activation", "'gelu'")),
        ({"relative_attention_bias_type": "coco"}, ("relative_attention_bias_type", "'coco_lm'")),
        ({"generator_prediction_layers": []}, ("generator_prediction_layers=[]",)),
        (
            {"generator_num_hidden_layers": 4, "generator_prediction_layers": [2, 5]},
            ("generator_prediction_layers=[2, 5]", "1 to 4"),
        ),
        ({"correction_average": "owner"}, ("correction_average", "'own'")),
        ({"course_schedule": "sample"}, ("course_schedule", "'sampled'")),
        ({"correction_rows": 0}, ("correction_rows=0", "weight of 0")),
        ({"correction_rows": 1.5}, ("correction_rows=1.5", "at most 1")),
        ({"hidden_size": 30, "num_attention_heads": 4}, ("hidden_size=30", "num_attention_heads=4")),
        (
            {"generator_hidden_size": 30, "generator_num_attention_heads": 4},
            ("generator_hidden_size=30", "generator_num_attention_heads=4"),
        ),
        ({"relative_attention_num_buckets": -2}, ("relative_attention_num_buckets=-2",)),
        ({"relative_attention_num_buckets": 2}, ("relative_attention_num_buckets=2",)),
        ({"relative_attention_num_buckets": 31}, ("relative_attention_num_buckets=31",)),
        (
            {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 8},
            ("relative_attention_max_distance=8", "relative_attention_num_buckets=32"),
        ),
        ({"is_decoder": True}, ("is_decoder",)),
        ({"num_attention_heads": 0}, ("num_attention_heads=0",)),
        ({"generator_num_hidden_layers": -1}, ("generator_num_hidden_layers=-1",)),
        ({"generator_dropout": 1.5}, ("generator_dropout=1.5",)),
        *(
            ({name: ratio}, (f"{name}={ratio}",))
            for name in ("mask_ratio", "swap_ratio", "insert_ratio")
            for ratio in (0.0, 1.0, -0.1, 1.5, math.nan)
        ),
    ],
    ids=str,
)
def test_unusable_values_are_refused_by_name(arguments: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        MclConfig(**arguments)
    message = str(error.value)
    assert all(part in message for part in said), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_size": "256"},
        {"mask_ratio": "0.15"},
        {"loss_weights": ["mlm"]},
        {"generator_hidden_size": 64.0},
        {"relative_attention_num_buckets": 8.0},
        {"detection_heads": 1},
        {"mask_token_id": "[MASK]"},
    ],
    ids=str,
)
def test_types_are_strict(arguments: dict[str, Any]) -> None:
    with pytest.raises(StrictDataclassFieldValidationError):
        MclConfig(**arguments)


def test_ratios_may_be_anything_in_between() -> None:
    assert MclConfig(mask_ratio=0.001, swap_ratio=0.4, insert_ratio=0.25).swap_ratio == 0.4


# --- presets, against the sources that method.md quotes -------------------------------------------------------------
def shape(config: MclConfig, side: str = "") -> list[int]:
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    return [getattr(config, side + name) for name in names]


def test_base_is_that_of_the_paper() -> None:
    config = MclConfig.base()
    assert shape(config) == [12, 768, 12, 3072]
    assert shape(config, "generator_") == [4, 768, 12, 3072]
    assert config.embedding_size == 768
    assert config.hidden_act == "gelu"
    assert (config.relative_attention_num_buckets, config.relative_attention_max_distance) == (32, 128)
    assert config.generator_shares == "token"
    assert config.max_position_embeddings == 512
    assert (config.mask_ratio, config.swap_ratio, config.insert_ratio) == (0.15, 0.15, 0.15)
    assert config.loss_weights == NINE
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.1


def test_small_is_that_of_electra() -> None:
    config = MclConfig.small()
    assert shape(config) == [12, 256, 4, 1024]
    assert shape(config, "generator_") == [12, 64, 1, 256]
    assert config.embedding_size == 128
    assert config.generator_shares == "all"
    assert config.vocab_size == 30_522


def test_large_has_the_shape_of_berts() -> None:
    config = MclConfig.large()
    assert shape(config) == [24, 1024, 16, 4096]
    assert shape(config, "generator_")[1:] == [1024, 16, 4096]
    assert config.embedding_size == 1024
    assert (config.relative_attention_num_buckets, config.relative_attention_max_distance) == (128, 256)


def test_tiny_is_made_to_leave_the_plateau() -> None:
    config = MclConfig.tiny()
    assert config.hidden_size <= 128
    assert config.relative_attention_num_buckets > 0
    assert config.relative_attention_initializer_range is not None
    assert config.relative_attention_initializer_range >= 0.5


@pytest.mark.parametrize("preset", ["tiny", "mini", "small", "base", "large"])
def test_presets_take_overrides_and_objectives(preset: str) -> None:
    make = getattr(MclConfig, preset)
    config = make(objective="electra", vocab_size=1234, relative_attention_num_buckets=0, hidden_dropout_prob=0.3)
    assert isinstance(config, MclConfig)
    assert config.loss_weights == ELECTRA
    assert (config.vocab_size, config.relative_attention_num_buckets) == (1234, 0)
    assert config.hidden_dropout_prob == 0.3


# --- the generator's part -------------------------------------------------------------------------------------------
def test_generator_defaults_to_a_quarter_of_the_width() -> None:
    config = MclConfig(hidden_size=96, num_hidden_layers=5, num_attention_heads=8, intermediate_size=200)
    assert shape(config, "generator_") == [5, 24, 2, 50]


def test_generator_config_is_the_same_but_for_the_shape() -> None:
    config = MclConfig.base(
        generator_hidden_size=384,
        generator_num_attention_heads=6,
        generator_intermediate_size=1000,
        generator_dropout=0.25,
    )
    generator = config.generator_config()
    assert shape(generator) == [4, 384, 6, 1000]
    assert generator.hidden_dropout_prob == generator.attention_probs_dropout_prob == 0.25
    assert shape(config) == [12, 768, 12, 3072]
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.1
    shaped = {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}
    shaped |= {"hidden_dropout_prob", "attention_probs_dropout_prob"}
    ours, its = config.to_dict(), generator.to_dict()
    assert {name for name in ours if ours[name] != its[name]} == shaped
    assert generator.embedding_size == config.embedding_size
    assert MclConfig().generator_config().hidden_dropout_prob == 0.1
    assert MclConfig(generator_dropout=0).generator_config().attention_probs_dropout_prob == 0


# --- files ----------------------------------------------------------------------------------------------------------
def test_round_trip_through_json(tmp_path: Path) -> None:
    config = MclConfig.tiny(
        loss_weights={"mlm": 1, "itd": 3.5},
        generator_shares="all",
        detection_heads="shared",
        correction_average="own",
        course_schedule="sampled",
        correction_rows=0.5,
        swap_ratio=0.3,
        vocab_size=77,
        mask_token_id=4,
    )
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model_type"] == "mcl"
    assert "objective" not in stored
    for loaded in (MclConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is MclConfig
        assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()


def test_objective_replaces_the_stored_weights(tmp_path: Path) -> None:
    """Going on from a checkpoint with another objective."""
    MclConfig.tiny().save_pretrained(tmp_path)
    assert MclConfig.from_pretrained(tmp_path, objective="electra").loss_weights == ELECTRA


def test_defaults_are_those_of_electra() -> None:
    ours, electra = MclConfig().to_dict(), ElectraConfig().to_dict()
    assert {name: ours[name] for name in electra if name != "model_type"} == {
        name: value for name, value in electra.items() if name != "model_type"
    }
