"""The encoder: its relative position bias is T5's, and reaches the attention of every backend, or none is used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, AutoModel, AutoModelForSequenceClassification, T5Config
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.electra.modeling_electra import ElectraSelfAttention
from transformers.models.t5.modeling_t5 import T5Attention

from transformers_mcl import MclConfig, MclForMaskedLM, MclForPreTraining, MclModel, UserError
from transformers_mcl.models.modeling_mcl import RelativePositionBias

Configs = Callable[..., MclConfig]
Batches = Callable[[str], dict[str, Any]]
BUCKETS = pytest.mark.parametrize("buckets", [8, 0], ids=["bias", "no-bias"])
PADDING = pytest.mark.parametrize("padding", ["none", "right", "left"])
BACKENDS = ["eager", "sdpa", "flex_attention"]
# A call that transformers makes when it builds Flex's mask.
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


def states(model: MclModel, implementation: str, inputs: dict[str, Any], compiled: bool = False) -> Tensor:
    """Last hidden states, 0 at padding, where they mean nothing. Flex compiles itself, for minutes, if `compiled`."""
    model.set_attn_implementation(implementation)
    with torch.no_grad(), torch.compiler.set_stance("default" if compiled else "force_eager"):
        hidden = model(**inputs).last_hidden_state
    mask = inputs.get("attention_mask")
    return hidden if mask is None or mask.dim() != 2 else hidden * mask[..., None]


# --- T5's bias ------------------------------------------------------------------------------------------------------
SETTINGS = pytest.mark.parametrize(
    ("buckets", "max_distance"), [(32, 128), (128, 256), (8, 20), (4, 2), (64, 17), (10, 50), (32, 9)]
)


@SETTINGS
def test_buckets_are_t5s(buckets: int, max_distance: int, config: Configs) -> None:
    settings = {"relative_attention_num_buckets": buckets, "relative_attention_max_distance": max_distance}
    distances = torch.arange(-600, 601)
    expected = T5Attention._relative_position_bucket(distances, True, buckets, max_distance)
    found = RelativePositionBias(config(**settings)).bucket(distances)
    assert found.equal(expected)
    assert found.min() >= 0
    assert found.max() < buckets


@pytest.mark.parametrize(("name", "buckets"), [("coco_lm", 32), ("amos", 64)])
def test_buckets_are_coco_lms(name: str, buckets: int, config: Configs) -> None:
    fields = {"relative_attention_num_buckets": buckets, "relative_attention_max_distance": 128}
    bias = RelativePositionBias(config(**fields, relative_attention_bias_type="coco_lm"))
    with np.load(Path(__file__).parents[1] / "fixtures" / "fairseq" / name / "reference.npz") as arrays:
        expected = torch.from_numpy(arrays["rp_bucket"]).long()  # the original code's, of 512 positions
    place = torch.arange(512)
    assert bias.bucket(place - place[:, None]).equal(expected)
    assert expected.max() == buckets - 2  # of the last bucket there is no distance
    assert bias(9)[0].equal(bias.weight[expected[:9, :9]].permute(2, 0, 1))


@SETTINGS
def test_bias_is_t5s_with_its_weights(buckets: int, max_distance: int, config: Configs) -> None:
    settings: dict[str, Any] = {
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": max_distance,
    }
    theirs = T5Attention(T5Config(num_heads=4, d_model=32, d_kv=8, **settings), has_relative_attention_bias=True)
    ours = RelativePositionBias(config(**settings))
    ours.load_state_dict({"weight": theirs.relative_attention_bias.weight})
    for length in (1, 2, 7, 150):
        assert ours(length).equal(theirs.compute_bias(length, length))


@pytest.mark.parametrize("name", ["MclModel", "MclForPreTraining"])
def test_each_network_has_one_bias_for_all_its_layers(name: str, config: Configs) -> None:
    model = MclModel(config()) if name == "MclModel" else MclForPreTraining(config())
    found = [module for module in model.modules() if isinstance(module, RelativePositionBias)]
    assert [module.num_embeddings for module in found] == ([8] if name == "MclModel" else [8, 8])
    assert [module.embedding_dim for module in found] == ([4] if name == "MclModel" else [4, 2])


def test_initial_scales(config: Configs) -> None:
    """Large tables, so that their standard deviations are close to what was asked for."""
    shape = {"relative_attention_num_buckets": 400, "relative_attention_max_distance": 500}
    shape |= {"max_position_embeddings": 500}
    for bias, positions in ((1.0, 0.05), (None, None)):
        fields = {"relative_attention_initializer_range": bias, "position_initializer_range": positions}
        for encoder in (MclModel(config(**shape, **fields)), MclForPreTraining(config(**shape, **fields)).electra):
            module = encoder.relative_attention_bias
            assert module is not None
            assert module.weight.std().item() == pytest.approx(0.3 if bias is None else bias, rel=0.1)
            table = encoder.state_dict()["embeddings.position_embeddings.weight"]
            assert table.std().item() == pytest.approx(0.3 if positions is None else positions, rel=0.1)
            query = encoder.state_dict()["encoder.layer.0.attention.self.query.weight"]
            assert query.std().item() == pytest.approx(0.3, rel=0.1)


# --- backends -------------------------------------------------------------------------------------------------------
@BUCKETS
@PADDING
def test_backends_agree(buckets: int, padding: str, config: Configs, batch: Batches) -> None:
    model, inputs = MclModel(config(relative_attention_num_buckets=buckets)).eval(), batch(padding)
    eager, sdpa, flex = (states(model, implementation, inputs) for implementation in BACKENDS)
    torch.testing.assert_close(sdpa, eager, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(flex, eager, rtol=1e-4, atol=1e-5)


@BUCKETS
@PADDING
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("four", [False, True], ids=["rows", "square"])
def test_gradients_agree(
    buckets: int, padding: str, autocast: bool, four: bool, config: Configs, batch: Batches
) -> None:
    """Also where a CPU has no fused kernel for sdpa, that is with a bias that is trained."""
    model, inputs = MclModel(config(relative_attention_num_buckets=buckets)).train(), batch(padding)
    kept = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))[..., None]
    if four:
        inputs["attention_mask"] = kept.bool()[:, None, None, :, 0].expand(-1, 1, 30, -1)
        inputs["attention_mask"] = torch.zeros(()).masked_fill(~inputs["attention_mask"], -1e30)
    weights = torch.randn(*kept.shape[:2], 32, generator=torch.Generator().manual_seed(2))

    def gradients(implementation: str, bf16: bool) -> dict[str, Tensor]:
        model.set_attn_implementation(implementation)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            hidden = model(**inputs).last_hidden_state
        (hidden * weights * kept).sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected, found = gradients("eager", False), gradients("sdpa", autocast)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        if not name.endswith("key.bias"):  # which is all rounding: it changes no probability
            difference = (gradient - expected[name]).norm() / expected[name].norm()
            assert difference < (0.05 if autocast else 1e-4), name


@BUCKETS
def test_a_row_of_padding_is_finite_in_bf16(buckets: int, config: Configs) -> None:
    model = MclModel(config(relative_attention_num_buckets=buckets)).train()
    mask = torch.ones(2, 9)
    mask[1] = 0
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(torch.full((2, 9), 5), mask).last_hidden_state
    assert hidden.isfinite().all()
    hidden.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_attention_probabilities_are_dropped_in_training_alone(config: Configs) -> None:
    model = MclModel(config(attention_probs_dropout_prob=0.5, num_hidden_layers=1)).train()
    ids = torch.full((1, 9), 5)
    assert not model(ids).last_hidden_state.equal(model(ids).last_hidden_state)
    model.eval()
    assert model(ids).last_hidden_state.equal(model(ids).last_hidden_state)


@pytest.mark.slow
@BUCKETS
@pytest.mark.parametrize("padding", ["none", "right"])
def test_compiled_flex_attention_agrees(buckets: int, padding: str, config: Configs, batch: Batches) -> None:
    model, inputs = MclModel(config(relative_attention_num_buckets=buckets)).eval(), batch(padding)
    flex = states(model, "flex_attention", inputs, compiled=True)
    torch.testing.assert_close(flex, states(model, "sdpa", inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("implementation", BACKENDS)
def test_bias_counts_in_every_head(implementation: str, config: Configs, batch: Batches) -> None:
    model, inputs = MclModel(config()).eval(), batch("right")
    seen = [states(model, implementation, inputs)]
    for head in range(4):
        before = model.relative_attention_bias.weight.detach().clone()
        with torch.no_grad():
            model.relative_attention_bias.weight[:, head] = 0
        seen.append(states(model, implementation, inputs))
        model.relative_attention_bias.weight.data = before
    for i, first in enumerate(seen):
        for second in seen[:i]:
            assert (first - second).abs().max() > 1e-3


@PADDING
def test_gradients_of_eager_and_sdpa_agree(padding: str, config: Configs, batch: Batches) -> None:
    model, found = MclForPreTraining(config()), []
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        model(**batch(padding), generator=torch.Generator().manual_seed(0)).loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@BUCKETS
@pytest.mark.parametrize("implementation", BACKENDS)
def test_padded_rows_equal_unpadded_ones(implementation: str, buckets: int, config: Configs, batch: Batches) -> None:
    model, inputs = MclModel(config(relative_attention_num_buckets=buckets)).eval(), batch("right")
    padded = states(model, implementation, inputs)
    for row, length in enumerate(inputs["attention_mask"].sum(1).tolist()):
        alone = states(model, implementation, {"input_ids": inputs["input_ids"][row : row + 1, :length]})
        torch.testing.assert_close(padded[row, :length], alone[0], rtol=1e-4, atol=1e-5)


@BUCKETS
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_masks_of_four_dimensions_are_taken(
    implementation: str, buckets: int, config: Configs, batch: Batches
) -> None:
    """What packing without attention across documents needs: one mask a query, boolean or to be added."""
    model, inputs = MclModel(config(relative_attention_num_buckets=buckets)).eval(), batch("right")
    expected = states(model, implementation, inputs)
    square = inputs["attention_mask"].bool()[:, None, None, :].expand(-1, 1, 30, -1)
    added = torch.zeros(square.shape).masked_fill(~square, torch.finfo(torch.float32).min)
    for mask in (square, added) if implementation == "sdpa" else (added,):
        found = states(model, implementation, {"input_ids": inputs["input_ids"], "attention_mask": mask})
        torch.testing.assert_close(found * inputs["attention_mask"][..., None], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("implementation", ["flash_attention_2", "flash_attention_3", "kernels-community/flash-attn2"])
def test_flash_attention_is_refused_with_the_bias_on(implementation: str, config: Configs, tmp_path: Path) -> None:
    explained = r"relative_attention_num_buckets=8.*(sdpa|eager)"
    for make in (AutoModel.from_config, AutoModelForSequenceClassification.from_config):
        with pytest.raises(UserError, match=explained):
            make(config(), attn_implementation=implementation)
    model = MclForPreTraining(config())
    model.save_pretrained(tmp_path)
    for load in (AutoModel.from_pretrained, MclForPreTraining.from_pretrained, MclForMaskedLM.from_pretrained):
        with pytest.raises(UserError, match=explained):
            load(tmp_path, attn_implementation=implementation)
    with pytest.raises(UserError, match=explained):
        model.set_attn_implementation(implementation)
    assert model(torch.full((1, 9), 5)).loss.isfinite()  # nothing was changed
    model.config._attn_implementation_internal = implementation
    with pytest.raises(UserError, match=explained):
        model.electra(torch.full((1, 9), 5))


def test_flash_attention_is_not_our_business_without_the_bias(config: Configs) -> None:
    model = MclModel(config(relative_attention_num_buckets=0))
    with contextlib.suppress(ImportError):  # where it is not installed, transformers says so
        model.set_attn_implementation("flash_attention_2")


def test_an_attention_that_cannot_take_the_bias_is_not_given_a_model_with_one(config: Configs, batch: Batches) -> None:
    """A user's own attention function gets the bias, or is refused; it never runs without."""
    AttentionInterface.register("plain_for_this_test", lambda *args, **kwargs: sdpa_attention_forward(*args, **kwargs))
    model, inputs = MclModel(config()).eval(), batch("none")
    expected = states(model, "sdpa", inputs)
    try:
        found = states(model, "plain_for_this_test", inputs)
    except UserError as error:
        assert "plain_for_this_test" in str(error)  # noqa: PT017
    else:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_choice_of_attention_reaches_both_networks(implementation: str, config: Configs, tmp_path: Path) -> None:
    def chosen(model: MclForPreTraining) -> set[str | None]:
        layers = [module for module in model.modules() if isinstance(module, ElectraSelfAttention)]
        assert len(layers) == 3
        return {layer.config._attn_implementation for layer in layers}

    other = "sdpa" if implementation == "eager" else "eager"
    model = MclForPreTraining._from_config(config(), attn_implementation=other)
    assert chosen(model) == {other}
    model.set_attn_implementation(implementation)
    assert chosen(model) == {implementation}
    model.save_pretrained(tmp_path)
    assert chosen(MclForPreTraining.from_pretrained(tmp_path, attn_implementation=other)) == {other}


# --- gradient checkpointing, limits ---------------------------------------------------------------------------------
@BUCKETS
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_gradient_checkpointing_changes_nothing(
    implementation: str, reentrant: bool, buckets: int, config: Configs, batch: Batches
) -> None:
    fields = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2, "num_hidden_layers": 3}
    model = MclForPreTraining(config(relative_attention_num_buckets=buckets, **fields)).train()
    model.set_attn_implementation(implementation)
    calls = []
    for layer in (*model.electra.encoder.layer, *model.generator.electra.encoder.layer):
        layer.attention.register_forward_hook(lambda *_: calls.append(1))

    def run() -> tuple[Tensor, dict[str, Tensor], int]:
        model.zero_grad()
        calls.clear()
        torch.manual_seed(3)
        loss = model(**batch("right")).loss
        loss.backward()
        return (
            loss.detach(),
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
            len(calls),
        )

    loss, expected, forward = run()
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    checkpointed_loss, found, forward_twice = run()
    # All layers ran a second time, those of the generator's pass for insertion apart, which keeps no graph.
    assert (forward, forward_twice) == (20, 39)
    assert checkpointed_loss.equal(loss)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_sequence_longer_than_the_positions_is_refused(config: Configs) -> None:
    model = MclModel(config())
    for inputs in ({"input_ids": torch.full((1, 41), 5)}, {"inputs_embeds": torch.zeros(1, 41, 16)}):
        with pytest.raises(UserError, match=r"41 tokens.*max_position_embeddings=40"):
            model(**inputs)
    assert model(torch.full((1, 40), 5)).last_hidden_state.shape == (1, 40, 32)


def test_hidden_states_and_attentions_are_returned_as_electras(config: Configs, batch: Batches) -> None:
    model = AutoModel.from_config(config(), attn_implementation="eager")
    output = model(**batch("right"), output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 3
    assert [attention.shape for attention in output.attentions] == [(8, 4, 30, 30)] * 2
    assert (output.attentions[0][1, :, :, 7:] == 0).all()
