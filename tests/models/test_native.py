"""A pair of another family opens as transformers' own classes of it: the same bits, nothing new but a head, no word of
warning but of that, and every keyword that those classes take."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForMaskedLM,
)

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.models.backbones import sibling

from .pairs import ADAPTED, KINDS, NATIVE, backbone, every, make_pair, rows_of

Batches = Callable[[str], dict[str, Any]]
ADAPTED_NATIVE = tuple(kind for kind in ADAPTED if kind != "mcl")
TASKS = (
    "AutoModel",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMultipleChoice",
)


def saved(kind: str, folder: Path, size: str = "50GB", **fields: Any) -> MclForPreTraining:
    pair = make_pair(kind, **fields).eval()
    pair.save_pretrained(folder, max_shard_size=size)
    assert (len(list(folder.glob("*.safetensors"))) == 1) == (size == "50GB")
    return pair


def own_class(auto: str, pair: MclForPreTraining) -> Any:
    """transformers' own, by the mapping of the Auto class; `None` where it has none."""
    mapping = getattr(transformers, auto)._model_mapping
    config = type(pair.config.backbone_config)
    return mapping[config] if config in mapping else None


def differing(found: nn.Module, expected: Any) -> list[str]:
    """Names in both whose values differ."""
    ours, theirs = found.state_dict(), expected.state_dict()
    assert ours.keys() & theirs.keys()
    return [name for name in ours.keys() & theirs.keys() if not ours[name].equal(theirs[name])]


@pytest.mark.parametrize("size", ["50GB", "8KB"], ids=["whole", "sharded"])
@every(NATIVE)
def test_a_pair_opens_as_every_class_of_its_family(
    kind: str, size: str, batch: Batches, tmp_path: Path, messages: list[str]
) -> None:
    pair = saved(kind, tmp_path, size, generator_shares="gdes" if size == "8KB" else "token")
    ids, mask = rows_of(pair, batch("right")).values()
    expected = pair.encode(ids, mask)
    classes = {auto: found for auto in TASKS if (found := own_class(auto, pair)) is not None}
    assert "AutoModelForSequenceClassification" in classes
    for auto, kind_of_model in classes.items():
        messages.clear()
        model, info = getattr(transformers, auto).from_pretrained(tmp_path, output_loading_info=True)
        assert type(model) is kind_of_model and not model.training
        base = model.base_model
        assert base(ids, attention_mask=mask)[0].equal(expected)
        new = {name for name in model.state_dict() if not name.startswith(f"{pair.base_model_prefix}.")}
        new |= {
            name
            for name in model.state_dict()
            if "pooler" in name and getattr(pair.discriminator, "pooler", None) is None
        }
        assert set(info["missing_keys"]) == (set() if auto == "AutoModel" else new)
        assert not info["mismatched_keys"]
        said = "\n".join(messages)
        assert bool(said) == bool(info["missing_keys"]), said
        assert not info["unexpected_keys"]
        assert all(word not in said for word in ("UNEXPECTED", "generator", "predictions", "delta"))
        assert model.config.model_type == KINDS[kind][0]
        assert model.name_or_path == str(tmp_path)


@pytest.mark.parametrize("size", ["50GB", "8KB"], ids=["whole", "sharded"])
@every(NATIVE)
def test_a_pair_opens_as_its_generator_and_as_itself(
    kind: str, size: str, batch: Batches, tmp_path: Path, messages: list[str]
) -> None:
    pair = saved(kind, tmp_path, size)
    inputs = rows_of(pair, batch("right"))
    messages.clear()
    model, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is own_class("AutoModelForMaskedLM", pair) is type(pair.generator)
    assert not any(info.values())
    assert model.state_dict().keys() == pair.generator.state_dict().keys() and not differing(model, pair.generator)
    assert model(**inputs).logits.equal(pair.generator(**inputs).logits)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == (kind != "eurobert")  # whose own models do not tie them
    again, info = AutoModelForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is MclForPreTraining
    assert not any(info.values()) and not differing(again, pair)
    assert again.get_input_embeddings().weight is again.generator.get_input_embeddings().weight
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    assert again(**inputs, generator=draws[0]).loss.equal(pair(**inputs, generator=draws[1]).loss)
    assert messages == []


@every(ADAPTED_NATIVE)
def test_keywords_of_from_pretrained(kind: str, batch: Batches, tmp_path: Path) -> None:
    pair = saved(kind, tmp_path)
    inputs = rows_of(pair, batch("right"))
    encoder = AutoModel.from_pretrained(tmp_path)
    assert encoder.dtype == torch.float32
    for name, dtype in (("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16), ("auto", torch.float32)):
        for auto in (AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining):
            model = auto.from_pretrained(tmp_path, dtype=name)
            assert {p.dtype for p in model.parameters()} == {dtype} and model.config.dtype == dtype
    eager = AutoModel.from_pretrained(tmp_path, attn_implementation="eager")
    assert eager.config._attn_implementation == "eager"
    present = inputs["attention_mask"].bool()
    torch.testing.assert_close(eager(**inputs)[0][present], encoder(**inputs)[0][present], rtol=1e-3, atol=1e-4)
    for auto in (AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining):
        assert not differing(auto.from_pretrained(tmp_path, device_map="cpu"), auto.from_pretrained(tmp_path))
    three = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    assert three(**inputs).logits.shape == (8, 3) and three.config.num_labels == 3
    named = AutoModelForTokenClassification.from_pretrained(
        tmp_path, id2label={0: "O", 1: "B", 2: "I"}, label2id={"O": 0, "B": 1, "I": 2}
    )
    assert named(**inputs).logits.shape == (8, 30, 3)
    assert named.config.id2label == {0: "O", 1: "B", 2: "I"}
    states = AutoModel.from_pretrained(tmp_path, output_hidden_states=True)(**inputs).hidden_states
    assert len(states) == 3 and states[-1].shape == (8, 30, 32)
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is MclConfig
    config.num_labels = 5
    five = AutoModelForSequenceClassification.from_pretrained(tmp_path, config=config)
    assert five.config.num_labels == 5 and five(**inputs).logits.shape == (8, 5)


@every(ADAPTED_NATIVE)
def test_a_new_model_of_a_pairs_configuration(kind: str) -> None:
    pair = make_pair(kind, generator_backbone_config=sibling(backbone(kind), 1))
    config = copy.deepcopy(pair.config)
    assert pair.generator.config.num_hidden_layers != pair.discriminator.config.num_hidden_layers
    for auto, half in ((AutoModel, pair.discriminator), (AutoModelForMaskedLM, pair.generator)):
        new = auto.from_config(config)
        assert type(new) is type(half) and new.state_dict().keys() == half.state_dict().keys()
        assert new.config._attn_implementation == half.config._attn_implementation
        assert auto.from_config(config, attn_implementation="eager").config._attn_implementation == "eager"


def test_what_a_caller_sets_reaches_the_generator(batch: Batches, tmp_path: Path) -> None:
    pair = saved("bert", tmp_path)
    inputs = rows_of(pair, batch("right"))
    model = AutoModelForMaskedLM.from_pretrained(tmp_path, output_hidden_states=True)
    assert model(**inputs).hidden_states is not None


def test_a_generator_without_the_discriminators_attention(tmp_path: Path) -> None:
    """BERT's is SDPA, of which DeBERTa has none; the pair's configuration, once in use, says BERT's."""
    pair = saved("bert", tmp_path, generator_backbone_config=backbone("deberta-v3"))
    assert pair.config._attn_implementation == "sdpa"
    model = AutoModelForMaskedLM.from_pretrained(tmp_path, config=pair.config)
    assert model.config._attn_implementation == "eager"


@every(ADAPTED_NATIVE)
def test_a_pair_can_be_pickled(kind: str, batch: Batches) -> None:
    pair = make_pair(kind, generator_shares="gdes").eval()
    ids, mask = rows_of(pair, batch("right")).values()
    again = pickle.loads(pickle.dumps(pair))
    assert again.encode(ids, mask).equal(pair.encode(ids, mask))
    assert again.get_input_embeddings().source is again.generator.get_input_embeddings()


def test_auto_takes_the_precision_of_the_file(tmp_path: Path) -> None:
    make_pair("modernbert").bfloat16().save_pretrained(tmp_path)
    for auto in (AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining):
        assert auto.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16


def test_a_keyword_of_the_family_reaches_its_configuration(tmp_path: Path) -> None:
    pair = saved("modernbert", tmp_path)
    assert pair.config.backbone_config.classifier_pooling == "cls"
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, classifier_pooling="mean", num_labels=3)
    assert model.config.classifier_pooling == "mean" and model.config.num_labels == 3
    wider = AutoModel.from_pretrained(tmp_path, local_attention=4)
    assert wider.config.local_attention == 4


@every(ADAPTED_NATIVE)
def test_what_was_opened_saves_and_opens_as_any_of_its_family(kind: str, batch: Batches, tmp_path: Path) -> None:
    pair = saved(kind, tmp_path / "pair")
    inputs = rows_of(pair, batch("right"))
    for auto in (AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification):
        model = auto.from_pretrained(tmp_path / "pair")
        model.save_pretrained(tmp_path / "alone")
        assert AutoConfig.from_pretrained(tmp_path / "alone").model_type == KINDS[kind][0]
        again, info = auto.from_pretrained(tmp_path / "alone", output_loading_info=True)
        assert type(again) is type(model) and not any(info.values())
        assert again(**inputs)[0].equal(model(**inputs)[0])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # which PEFT asks for
@every(ADAPTED_NATIVE)
def test_adapters_of_peft_train_on_top(kind: str, batch: Batches, tmp_path: Path) -> None:
    pair = saved(kind, tmp_path / "pair")
    inputs = rows_of(pair, batch("right"))

    def opened() -> Any:
        torch.manual_seed(1)  # of the new head
        return AutoModelForSequenceClassification.from_pretrained(tmp_path / "pair", num_labels=3)

    layers = [name for name, layer in opened().base_model.named_modules() if isinstance(layer, nn.Linear)]
    lora = LoraConfig(task_type="SEQ_CLS", target_modules=layers, init_lora_weights=False)
    model = get_peft_model(opened(), lora)
    model(**inputs, labels=torch.zeros(8).long()).loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "lora_B" in name and "pooler" not in name)
    model.save_pretrained(str(tmp_path / "adapter"))
    again: Tensor = PeftModel.from_pretrained(opened(), tmp_path / "adapter")(**inputs).logits
    torch.testing.assert_close(again, model.eval()(**inputs).logits)
    assert (again - opened()(**inputs).logits).abs().max() > 1e-3


def test_a_pooler_that_a_task_does_not_use_is_not_spoken_of(tmp_path: Path, messages: list[str]) -> None:
    """As of BERT itself: no course trains it, tasks of sentences start from it."""
    pair = saved("bert", tmp_path)
    messages.clear()
    _, info = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"] and not any("pooler" in said for said in messages)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert not differing(classifier.bert.pooler, pair.discriminator.pooler)
    assert isinstance(AutoModelForMaskedLM.from_pretrained(tmp_path), BertForMaskedLM)
