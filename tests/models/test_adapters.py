"""Adapters of PEFT are opened as the models that they were trained for."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from tests.families import demo_tokenizer
from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.models.adapters import find_adapter
from transformers_mcl.models.loading import load_config, open_model

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of what transformers renamed
IDS = torch.tensor([[2, 40, 50, 60, 3]])


@pytest.fixture
def pair(tmp_path: Path) -> str:
    tokenizer = demo_tokenizer()
    torch.manual_seed(0)
    MclForPreTraining(MclConfig.tiny(vocab_size=len(tokenizer))).save_pretrained(tmp_path / "pair")
    tokenizer.save_pretrained(tmp_path / "pair")
    return str(tmp_path / "pair")


def adapt(base: str, kind: Any, folder: Path, **given: Any) -> PreTrainedModel:
    """Saves an adapter of random weights; the model that it is merged with."""
    fields = {"num_labels": 3} if kind is not AutoModelForMaskedLM else {}
    adapted = peft.get_peft_model(kind.from_pretrained(base, **fields), peft.LoraConfig(**given))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    adapted.save_pretrained(folder)
    merged: PreTrainedModel = adapted.merge_and_unload().eval()
    return merged


def test_a_head_and_the_encoder_under_it(pair: str, tmp_path: Path) -> None:
    merged = adapt(pair, AutoModelForSequenceClassification, tmp_path / "adapter", task_type="SEQ_CLS")
    name, where = str(tmp_path / "adapter"), "model_name_or_path"
    config = load_config(name, num_labels=3)
    assert config.architectures == ["MclForSequenceClassification"]
    opened = open_model(AutoModelForSequenceClassification, name, where, config=config)
    assert (opened.missing, opened.reshaped) == ([], [])
    torch.testing.assert_close(opened.model(IDS).logits, merged(IDS).logits)
    assert all(weight.requires_grad for weight in opened.model.parameters())
    assert not any("lora" in key for key in opened.model.state_dict())
    # The head has the names of a task that the encoder alone lacks, and three classes where two are usual.
    encoder = open_model(AutoModel, name, where)
    assert (encoder.missing, encoder.reshaped) == ([], [])
    torch.testing.assert_close(encoder.model(IDS).last_hidden_state, merged.base_model(IDS).last_hidden_state)
    assert load_tokenizer(name).get_vocab() == demo_tokenizer().get_vocab()
    # Another number of classes is refused, or begins anew.
    with pytest.raises(UserError, match="out_proj.bias has another shape in the adapter"):
        open_model(AutoModelForSequenceClassification, name, where, config=load_config(name, num_labels=2))
    two: Any = {"config": load_config(name, num_labels=2), "ignore_mismatched_sizes": True}
    assert open_model(AutoModelForSequenceClassification, name, where, **two).reshaped
    # Another head has none of its weights there.
    with pytest.raises(UserError, match="is an adapter that does not fit MclForTokenClassification"):
        open_model(AutoModelForTokenClassification, name, where)


def test_an_encoder_has_other_names_than_one_under_a_head(pair: str, tmp_path: Path) -> None:
    merged = adapt(pair, AutoModel, tmp_path / "adapter", target_modules=["query"])
    opened = open_model(AutoModel, str(tmp_path / "adapter"), "x")
    torch.testing.assert_close(opened.model(IDS).last_hidden_state, merged(IDS).last_hidden_state)
    with pytest.raises(
        UserError, match="of another kind of model than MclForSequenceClassification, which has no enc"
    ):
        open_model(AutoModelForSequenceClassification, str(tmp_path / "adapter"), "x")


def test_the_generator(pair: str, tmp_path: Path) -> None:
    layers = ["query", "value"]
    merged = adapt(pair, AutoModelForMaskedLM, tmp_path / "adapter", target_modules=layers)
    opened = open_model(AutoModelForMaskedLM, str(tmp_path / "adapter"), "x")
    assert not opened.missing
    torch.testing.assert_close(opened.model(IDS).logits, merged(IDS).logits)


def test_what_cannot_be_opened(pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(tmp_path / "adapter")
    adapt(pair, AutoModelForSequenceClassification, Path(name), task_type="SEQ_CLS")
    path = Path(name, "adapter_config.json")
    fields = json.loads(path.read_text())

    def problem(**changed: Any) -> str:
        path.write_text(json.dumps(fields | changed))
        with pytest.raises(UserError) as found:
            config = load_config(name, num_labels=3)
            open_model(AutoModelForSequenceClassification, name, f"model {name!r}", config=config)
        (line,) = str(found.value).splitlines()
        return line

    assert "is an adapter of: 'no/such'" in problem(base_model_name_or_path="no/such")
    assert "does not name the model that the adapter is of" in problem(base_model_name_or_path=None)
    assert "is an adapter of itself" in problem(base_model_name_or_path=name)
    unfit = "an adapter that does not fit MclForSequenceClassification"
    assert f"{unfit}: No modules" in problem(target_modules=["no_such"])
    assert unfit in problem(peft_type="NO_SUCH")
    weights = Path(name, "adapter_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    assert unfit in problem()
    monkeypatch.setitem(sys.modules, "peft", None)
    assert 'needs PEFT: pip install "transformers-mcl[peft]"' in problem()
    shutil.rmtree(pair)
    assert "no directory" in problem()


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_a_damaged_description_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(UserError, match=r"adapter_config\.json is damaged"):
        find_adapter(tmp_path)


def test_a_kind_that_cannot_be_merged(pair: str, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(pair)
    prompt = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2, token_dim=16, num_layers=2)
    peft.get_peft_model(model, prompt).save_pretrained(tmp_path / "adapter")
    with pytest.raises(UserError, match="of the kind PROMPT_TUNING, which cannot be merged"):
        open_model(AutoModelForSequenceClassification, str(tmp_path / "adapter"), "model")
