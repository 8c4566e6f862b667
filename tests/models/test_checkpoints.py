"""A checkpoint of the pair opens as everything it can be opened as: the same bits, ties intact, and no warnings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import transformers_mcl
from transformers_mcl import (
    MclConfig,
    MclDiscriminator,
    MclForMaskedLM,
    MclForPreTraining,
    MclForSequenceClassification,
    MclModel,
)

Configs = Callable[..., MclConfig]
Batches = Callable[[str], dict[str, Any]]

# A generator of the discriminator's shape, as in the base preset: the wrong half would fit.
SAME_SHAPE = {
    "generator_hidden_size": 32,
    "generator_num_hidden_layers": 2,
    "generator_num_attention_heads": 4,
    "generator_intermediate_size": 48,
}
PAIRS = {
    "default": {},
    "shares-all": {"generator_shares": "all"},
    "shared-heads": {"detection_heads": "shared"},
    "no-bias": {"relative_attention_num_buckets": 0},
    "same-shape": SAME_SHAPE,
    "same-shape-shares-all-no-bias": {**SAME_SHAPE, "generator_shares": "all", "relative_attention_num_buckets": 0},
    "electra": {"objective": "electra"},
}
SHARDED = pytest.mark.parametrize("shard_size", ["50GB", "8KB"], ids=["whole", "sharded"])
EVERY_PAIR = pytest.mark.parametrize("fields", PAIRS.values(), ids=PAIRS)

# How a checkpoint of the pair is opened, and what is new in the model that comes of it.
DISCRIMINATORS = {
    "AutoModel": (),
    "AutoModelForSequenceClassification": ("classifier.",),
    "AutoModelForTokenClassification": ("classifier.",),
    "AutoModelForQuestionAnswering": ("qa_outputs.",),
    "AutoModelForMultipleChoice": ("sequence_summary.", "classifier."),
    "MclDiscriminator": (),
}


def saved_pair(config: MclConfig, folder: Path, shard_size: str = "50GB") -> MclForPreTraining:
    """A pair saved into `folder`; every weight of it differs from any other and from what initialisation gives."""
    model = MclForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
    model.save_pretrained(folder, max_shard_size=shard_size)
    assert len(list(folder.glob("*.safetensors"))) == 1 or shard_size != "50GB"
    return model


def opened(name: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    home = transformers if name.startswith("Auto") else transformers_mcl
    return getattr(home, name).from_pretrained(folder, output_loading_info=True)


def assert_same_weights(found: nn.Module, expected: nn.Module) -> None:
    ours, theirs = found.state_dict(), expected.state_dict()
    assert list(ours) == list(theirs)
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


def ties(model: nn.Module) -> set[frozenset[str]]:
    """Names of parameters that are one object."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


@SHARDED
@EVERY_PAIR
def test_pair_reloads_as_it_was(
    fields: dict[str, Any], shard_size: str, config: Configs, batch: Batches, tmp_path: Path, messages: list[str]
) -> None:
    pair = saved_pair(config(**fields), tmp_path, shard_size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard_size == "8KB")
    for name in ("AutoModelForPreTraining", "MclForPreTraining"):
        loaded, info = opened(name, tmp_path)
        assert type(loaded) is MclForPreTraining
        assert not any(info.values())
        assert_same_weights(loaded, pair)
        assert ties(loaded) == ties(pair)
        assert len(ties(pair)) == (5 if fields.get("generator_shares") == "all" else 1)
        assert loaded.config.loss_weights == pair.config.loss_weights
        draws = [torch.Generator().manual_seed(0) for _ in range(2)]
        inputs = batch("right")
        assert loaded(**inputs, generator=draws[0]).loss.equal(pair(**inputs, generator=draws[1]).loss)
    assert messages == []


@SHARDED
@EVERY_PAIR
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_pair_opens_as_the_discriminator(
    name: str,
    fields: dict[str, Any],
    shard_size: str,
    config: Configs,
    batch: Batches,
    tmp_path: Path,
    messages: list[str],
) -> None:
    new = DISCRIMINATORS[name]
    pair = saved_pair(config(**fields), tmp_path, shard_size)
    loaded, info = opened(name, tmp_path)
    assert not loaded.training
    assert_same_weights(loaded if name == "AutoModel" else loaded.electra, pair.electra)
    missing = info.pop("missing_keys")
    assert all(any(key.startswith(prefix) for key in missing) for prefix in new)
    assert all(key.startswith(new) for key in missing) if new else not missing
    assert not any(info.values())
    said = "\n".join(messages)
    assert bool(said) == bool(new)
    assert all(word not in said for word in ("generator", "electra.", "discriminator", "course", "UNEXPECTED"))
    if name == "MclDiscriminator":
        assert_same_weights(loaded.discriminator_predictions, pair.discriminator_predictions)
        inputs = batch("right")
        verdict = loaded(**inputs).logits
        assert verdict.shape == inputs["input_ids"].shape
        assert verdict.equal(pair.discriminator_predictions(pair.electra(**inputs).last_hidden_state))


@SHARDED
@EVERY_PAIR
def test_pair_opens_as_the_generator(
    fields: dict[str, Any], shard_size: str, config: Configs, batch: Batches, tmp_path: Path, messages: list[str]
) -> None:
    pair, inputs = saved_pair(config(**fields), tmp_path, shard_size), batch("right")
    expected = pair.generator(**inputs).logits
    for name in ("AutoModelForMaskedLM", "MclForMaskedLM"):
        loaded, info = opened(name, tmp_path)
        assert type(loaded) is MclForMaskedLM
        assert not any(info.values())
        assert_same_weights(loaded.generator, pair.generator)
        assert loaded(**inputs).logits.equal(expected)
        assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert messages == []


@EVERY_PAIR
def test_generator_alone_reloads_as_it_was(
    fields: dict[str, Any], config: Configs, batch: Batches, tmp_path: Path, messages: list[str]
) -> None:
    """However it came about: opened from a pair and trained on, or made anew."""
    saved_pair(config(**fields), tmp_path / "pair")
    inputs = batch("right")
    for model in (MclForMaskedLM.from_pretrained(tmp_path / "pair"), MclForMaskedLM(config(**fields))):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.uniform_(-0.5, 0.5)
        expected = model.eval()(**inputs).logits
        model.save_pretrained(tmp_path / "alone")
        for name in ("AutoModelForMaskedLM", "MclForMaskedLM"):
            loaded, info = opened(name, tmp_path / "alone")
            assert not any(info.values())
            assert_same_weights(loaded, model)
            assert loaded(**inputs).logits.equal(expected)
            assert ties(loaded) == ties(model) != set()
    assert messages == []


def test_generator_opens_however_the_configuration_is_given(config: Configs, batch: Batches, tmp_path: Path) -> None:
    pair = saved_pair(config(generator_shares="all"), tmp_path / "nested")
    ways: dict[str, tuple[Path, dict[str, Any]]] = {
        "an object": (tmp_path / "nested", {"config": MclConfig.from_pretrained(tmp_path / "nested")}),
        "a path": (tmp_path / "nested", {"config": str(tmp_path / "nested")}),
        "a subfolder": (tmp_path, {"subfolder": "nested"}),
        "another precision": (tmp_path / "nested", {"dtype": torch.float64}),
    }
    for way, (folder, arguments) in ways.items():
        for opener in (MclForMaskedLM, transformers.AutoModelForMaskedLM):
            if (way, opener) == ("a path", transformers.AutoModelForMaskedLM):
                continue  # transformers' own classes take objects only
            loaded = opener.from_pretrained(folder, **arguments)
            for name, weight in pair.generator.state_dict().items():
                assert loaded.generator.state_dict()[name].equal(weight.to(loaded.dtype)), way


def test_masked_language_model_loss_is_electras(config: Configs, batch: Batches) -> None:
    model, inputs = MclForMaskedLM(config()), batch("right")
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] <= 3, -100)
    output = model(**inputs, labels=labels)
    chosen = labels >= 0
    loss = nn.functional.cross_entropy(output.logits[chosen], labels[chosen])
    torch.testing.assert_close(output.loss, loss)
    assert model(**inputs, return_dict=False)[0].shape == (*labels.shape, 12)


def test_task_models_reload_as_they_were(config: Configs, batch: Batches, tmp_path: Path, messages: list[str]) -> None:
    saved_pair(config(), tmp_path / "pair")
    model = MclForSequenceClassification.from_pretrained(tmp_path / "pair", num_labels=3)
    messages.clear()
    model.save_pretrained(tmp_path / "task")
    loaded, info = opened("AutoModelForSequenceClassification", tmp_path / "task")
    assert not any(info.values())
    assert loaded(**batch("right")).logits.equal(model(**batch("right")).logits)
    assert_same_weights(transformers.AutoModel.from_pretrained(tmp_path / "task"), model.electra)
    discriminator = MclDiscriminator.from_pretrained(tmp_path / "pair")
    discriminator.save_pretrained(tmp_path / "discriminator")
    assert_same_weights(MclDiscriminator.from_pretrained(tmp_path / "discriminator"), discriminator)


def test_encoder_without_bias_is_electras_key_for_key(config: Configs, tmp_path: Path) -> None:
    ours = MclModel(config(relative_attention_num_buckets=0))
    fields = {name: getattr(ours.config, name) for name in transformers.ElectraConfig().to_dict()}
    theirs = transformers.ElectraModel(transformers.ElectraConfig(**{**fields, "model_type": "electra"}))
    assert list(ours.state_dict()) == list(theirs.state_dict())


# --- what must not go unnoticed -------------------------------------------------------------------------------------
def edited(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "lost",
    [
        "generator.electra.encoder.layer.0.output.dense.weight",
        "generator.generator_lm_head.bias",
        "electra.embeddings.word_embeddings.weight",
        "electra.relative_attention_bias.weight",
        "course_predictions.std.dense.weight",
    ],
)
def test_a_pair_that_lacks_a_weight_does_not_load_silently(
    lost: str, config: Configs, tmp_path: Path, messages: list[str]
) -> None:
    saved_pair(config(), tmp_path)
    edited(tmp_path, lambda weights: weights.pop(lost))
    _, info = opened("AutoModelForPreTraining", tmp_path)
    assert lost in info["missing_keys"]
    assert any(lost.rsplit(".", 1)[0] in said for said in messages)


@pytest.mark.parametrize(
    "left_over", ["generator.other.weight", "course_predictions.xtd.weight", "electra.other.weight"]
)
def test_a_pair_does_not_drop_weights_silently(
    left_over: str, config: Configs, tmp_path: Path, messages: list[str]
) -> None:
    saved_pair(config(), tmp_path)
    edited(tmp_path, lambda weights: weights.update({left_over: torch.ones(2)}))
    _, info = opened("AutoModelForPreTraining", tmp_path)
    assert info["unexpected_keys"] == {left_over}
    assert any(left_over in said for said in messages)


def test_a_generator_that_lacks_a_weight_does_not_open_silently(
    config: Configs, tmp_path: Path, messages: list[str]
) -> None:
    saved_pair(config(**SAME_SHAPE), tmp_path)
    lost = "generator.electra.encoder.layer.1.output.dense.weight"
    edited(tmp_path, lambda weights: weights.pop(lost))
    _, info = opened("AutoModelForMaskedLM", tmp_path)
    assert lost in info["missing_keys"]
    assert messages != []


# --- another vocabulary ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shares", ["token", "all"])
@pytest.mark.parametrize("size", [17, 10])
def test_resizing_the_vocabulary_keeps_the_pair_together(
    size: int, shares: str, config: Configs, tmp_path: Path
) -> None:
    pair = MclForPreTraining(config(generator_shares=shares))
    before, kept = ties(pair), min(size, 12)
    old = pair.electra.embeddings.word_embeddings.weight.detach().clone()
    pair.resize_token_embeddings(size)
    word_embeddings = pair.electra.embeddings.word_embeddings.weight
    assert word_embeddings.shape == (size, 16)
    assert word_embeddings[:kept].equal(old[:kept])
    assert ties(pair) == before
    assert pair.generator.generator_lm_head.weight is word_embeddings
    assert pair.generator.generator_lm_head.bias.shape == (size,)
    configs = (pair.config, pair.generator.config, pair.generator.electra.config, pair.electra.config)
    assert [c.vocab_size for c in configs] == [size] * 4
    ids = torch.randint(4, size, (3, 20))
    labels = pair.generator(ids, labels=ids)
    assert labels.logits.shape == (3, 20, size)
    pair(ids).loss.backward()
    pair.save_pretrained(tmp_path)
    assert_same_weights(MclForPreTraining.from_pretrained(tmp_path), pair)
    assert_same_weights(MclForMaskedLM.from_pretrained(tmp_path).generator, pair.generator)


def test_resizing_the_vocabulary_of_the_generator_alone(config: Configs) -> None:
    model = MclForMaskedLM(config())
    model.resize_token_embeddings(20)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert (model.config.vocab_size, model.generator.config.vocab_size) == (20, 20)
    ids = torch.full((2, 5), 19)
    assert model(ids, labels=ids).logits.shape == (2, 5, 20)
