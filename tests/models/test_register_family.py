"""An encoder that neither the package nor transformers knows, and a family that says what is particular to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

from transformers_mcl import MclConfig, MclForPreTraining, MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.models.backbones import FAMILIES, Family, register_family
from transformers_mcl.models.sharing import SHARING

from .conftest import make_batch
from .pairs import assert_of_the_plain_loop, seeded, undecided

FIRST = 7  # the position of a row's first token


class OddConfig(PreTrainedConfig):
    model_type = "odd"

    def __init__(self, vocab_size: int = 12, hidden_size: int = 16, num_hidden_layers: int = 2, **more: Any):
        self.vocab_size, self.hidden_size, self.num_hidden_layers = vocab_size, hidden_size, num_hidden_layers
        self.num_attention_heads, self.intermediate_size, self.initializer_range = 2, 32, 0.3
        self.max_position_embeddings = 50
        super().__init__(**{"pad_token_id": 0, "tie_word_embeddings": True, **more})


class OddPreTrainedModel(PreTrainedModel):
    config_class = OddConfig
    base_model_prefix = "odd"


class OddModel(OddPreTrainedModel):
    """A small encoder that must be told the position of every token, and which of them there are."""

    def __init__(self, config: Any):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        layer = nn.TransformerEncoderLayer(config.hidden_size, 2, config.intermediate_size, 0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, config.num_hidden_layers, enable_nested_tensor=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def set_input_embeddings(self, value: Any) -> None:
        self.words = value

    def forward(self, input_ids: Tensor, seen: Tensor, position_ids: Tensor) -> BaseModelOutput:
        embedded = self.words(input_ids) + self.places(position_ids)
        return BaseModelOutput(last_hidden_state=self.layers(embedded, src_key_padding_mask=~seen.bool()))


class OddForMaskedLM(OddPreTrainedModel):
    _tied_weights_keys = {"decoder.weight": "odd.words.weight"}

    def __init__(self, config: Any):
        super().__init__(config)
        self.odd = OddModel(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder

    def forward(self, input_ids: Tensor, seen: Tensor, position_ids: Tensor) -> MaskedLMOutput:
        hidden = self.odd(input_ids, seen, position_ids).last_hidden_state
        if getattr(self.config, "head_needs_the_row", False):
            hidden = hidden + hidden.mean(1, keepdim=True)
        return MaskedLMOutput(logits=self.decoder(hidden))


class Odd(Family):
    """What the package cannot know."""

    def longest_row(self, config: PreTrainedConfig) -> int:
        return config.max_position_embeddings - FIRST

    def inputs(
        self, model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None
    ) -> dict[str, Any]:
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return {"input_ids": input_ids, "seen": seen, "position_ids": positions(input_ids)}


def positions(input_ids: Tensor) -> Tensor:
    return torch.arange(FIRST, FIRST + input_ids.shape[1]).expand_as(input_ids)


@pytest.fixture
def odd() -> Iterator[None]:
    AutoConfig.register("odd", OddConfig)
    AutoModel.register(OddConfig, OddModel)
    AutoModelForMaskedLM.register(OddConfig, OddForMaskedLM)
    register_family("odd", Odd())
    yield
    FAMILIES.pop("odd")
    CONFIG_MAPPING._extra_content.pop("odd")
    for auto in (AutoModel, AutoModelForMaskedLM):
        auto._model_mapping._extra_content.pop(OddConfig)


def make_odd(shares: str = "token", **fields: Any) -> MclForPreTraining:
    torch.manual_seed(0)
    special: dict[str, Any] = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "mask_token_id": 3}
    return MclForPreTraining(MclConfig(backbone_config=OddConfig(**fields), generator_shares=shares, **special))


def plain_call(model: nn.Module, ids: Tensor, mask: Tensor | None, documents: Tensor | None) -> Tensor:
    seen = torch.ones_like(ids) if mask is None else mask
    output: Tensor = model(ids, seen, positions(ids))[0]
    return output


@pytest.mark.parametrize("needs_the_row", [False, True])
@pytest.mark.parametrize("padding", ["none", "right"])
def test_it_computes_what_a_plain_loop_does(odd: None, padding: str, needs_the_row: bool) -> None:
    pair = make_odd(head_needs_the_row=needs_the_row).train()
    assert pair.config.max_position_embeddings == 50 - FIRST
    assert pair.predicts_everywhere is needs_the_row  # tried out, since it is not known
    inputs = make_batch(padding)
    assert_of_the_plain_loop(undecided(pair, inputs), inputs, plain_call)


@pytest.mark.parametrize("shares", SHARING)
def test_it_trains_saves_and_opens(odd: None, shares: str, tmp_path: Path) -> None:
    pair, (ids, mask) = make_odd(shares), make_batch("right").values()
    before = {name: value.clone() for name, value in pair.state_dict().items()}
    arguments = MclTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True
    )
    rows = [{"input_ids": row, "attention_mask": present} for row, present in zip(ids, mask, strict=True)]
    trainer = MclTrainer(pair, arguments, train_dataset=rows)
    trainer.train()
    assert not any(value.equal(before[name]) for name, value in pair.named_parameters())
    trainer.save_model()
    pair.eval()
    encoder = AutoModel.from_pretrained(tmp_path)
    generator = AutoModelForMaskedLM.from_pretrained(tmp_path)
    again = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert [type(model) for model in (encoder, generator, again)] == [OddModel, OddForMaskedLM, MclForPreTraining]
    with torch.no_grad():
        assert encoder(ids, mask, positions(ids))[0].equal(pair.encode(ids, mask))
        assert generator(ids, mask, positions(ids)).logits.equal(pair.generator(ids, mask, positions(ids)).logits)
        assert again(ids, mask, generator=seeded()).loss.equal(pair(ids, mask, generator=seeded()).loss)


def test_a_name_is_given_once(odd: None) -> None:
    with pytest.raises(UserError, match=r"'odd' has a family already.*exist_ok"):
        register_family("odd", Odd())
    register_family("odd", Odd(), exist_ok=True)
    with pytest.raises(UserError, match=r"document_attention.*'odd'"):
        MclConfig(backbone_config=OddConfig(), document_attention=True)
    with pytest.raises(UserError, match=r"44 tokens.*max_position_embeddings=43"):
        make_odd()(torch.full((1, 44), 9))
