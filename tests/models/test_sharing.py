"""What the two networks of a pair share: which losses train it, how it is saved, opened and resized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM

from transformers_mcl import MclForPreTraining
from transformers_mcl.method.courses import all_losses
from transformers_mcl.models.sharing import SHARING

from .conftest import VOCABULARY
from .pairs import NATIVE, assert_of_the_plain_loop, every, make_pair, rows_of, seeded, undecided

Batches = Callable[[str], dict[str, Any]]
TIED = ("token", "all", "encoder")
SHARES = pytest.mark.parametrize("shares", SHARING)


def tables(pair: MclForPreTraining) -> tuple[Any, Any]:
    """The parameters that the discriminator and the generator look tokens up in, of each its own."""
    ours: Any = pair.get_input_embeddings()
    return getattr(ours, "delta", None) if pair.config.generator_shares == "gdes" else ours.weight, (
        pair.generator.get_input_embeddings().weight
    )


def names_of(pair: MclForPreTraining, parameters: Any) -> set[str]:
    chosen = {id(parameter) for parameter in parameters}
    return {name for name, parameter in pair.named_parameters() if id(parameter) in chosen}


@pytest.mark.parametrize("shares", ["all", "encoder", "none", "gdes"])  # test_families.py has "token", the default
@every()
def test_losses_and_gradients_are_those_of_a_plain_loop(kind: str, shares: str, batch: Batches) -> None:
    weights = {name: 1.0 + i for i, name in enumerate(all_losses())}
    pair = make_pair(kind, loss_weights=weights, generator_shares=shares).train()
    assert_of_the_plain_loop(undecided(pair, inputs := rows_of(pair, batch("right"))), inputs)


@SHARES
@every()
def test_each_loss_reaches_what_is_its_own_or_shared(kind: str, shares: str, batch: Batches) -> None:
    pair = make_pair(kind, generator_shares=shares).train()
    ours, its = tables(pair)
    assert (ours is its) == (shares in TIED)
    generator = names_of(pair, pair.generator.parameters())
    discriminator = names_of(pair, (p for p in pair.discriminator.parameters() if p.requires_grad))
    shared = generator & discriminator
    assert bool(shared) == (shares in TIED)
    assert len(shared) == 1 or shares != "token"
    embeddings = {name for name in discriminator if ".embeddings." in name}
    assert shared >= embeddings or shares not in ("all", "encoder")
    assert shared == discriminator or shares != "encoder"
    for weights, head, own in (
        ({"rtd": 1.0}, names_of(pair, pair.discriminator_predictions.parameters()), discriminator),
        ({"mlm": 1.0}, set(), generator),
    ):
        pair.loss_weights = weights
        pair.zero_grad()
        pair(**rows_of(pair, batch("right")), generator=seeded()).loss.backward()
        touched = {name for name, p in pair.named_parameters() if p.grad is not None and p.grad.any()}
        assert touched == own | head


@every()
def test_a_step_under_gdes_moves_the_table_of_its_own_loss_alone(kind: str, batch: Batches) -> None:
    for name in ("rtd", "mlm"):
        pair = make_pair(kind, generator_shares="gdes").train()
        before = [table.detach().clone() for table in tables(pair)]
        pair.loss_weights = {name: 1.0}
        optimizer = torch.optim.AdamW(pair.parameters(), lr=0.1, weight_decay=0.1)
        pair(**rows_of(pair, batch("right"))).loss.backward()
        optimizer.step()
        kept = [table.equal(old) for table, old in zip(tables(pair), before, strict=True)]
        assert kept == [name == "mlm", name == "rtd"]


@every()
def test_the_difference_begins_at_nothing(kind: str) -> None:
    pair = MclForPreTraining(make_pair(kind, generator_shares="gdes").config)
    delta, its = tables(pair)
    assert not delta.any() and its.any()
    assert delta.requires_grad


def same_weights(found: torch.nn.Module, expected: dict[str, Tensor]) -> bool:
    state = found.state_dict()
    return state.keys() == expected.keys() and all(state[name].equal(value) for name, value in expected.items())


@SHARES
@every()
def test_a_saved_pair_has_what_it_had_and_each_half_all_of_its_own(
    kind: str, shares: str, batch: Batches, tmp_path: Path
) -> None:
    pair = make_pair(kind, generator_shares=shares).eval()
    inputs = rows_of(pair, batch("right"))
    pair.save_pretrained(tmp_path)
    again, info = MclForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert same_weights(again, pair.state_dict())
    assert (tables(again)[0] is tables(again)[1]) == (shares in TIED)
    encoder, generator = AutoModel.from_pretrained(tmp_path), AutoModelForMaskedLM.from_pretrained(tmp_path)
    mask = inputs["attention_mask"]
    with torch.no_grad():
        assert encoder(**inputs)[0].equal(pair.encode(inputs["input_ids"], mask))
        assert generator(**inputs).logits.equal(pair.generator(**inputs).logits)
        if shares == "gdes":
            delta, its = tables(pair)
            assert encoder.get_input_embeddings().weight.equal(its + delta)
            assert not any(name.endswith("delta") for name in encoder.state_dict())


# Families whose tables or heads differ in kind.
@pytest.mark.parametrize("size", [VOCABULARY + 5, VOCABULARY - 2])
@SHARES
@every(("mcl", "bert", "modernbert", "deberta-v3", "albert", "eurobert"))
def test_another_vocabulary(kind: str, shares: str, size: int, tmp_path: Path) -> None:
    pair, kept = make_pair(kind, generator_shares=shares).eval(), min(size, VOCABULARY)
    before, head = [table.detach().clone() for table in tables(pair)], pair.generator.get_output_embeddings()
    tied, bias = head.weight is tables(pair)[1], None if head.bias is None else head.bias.detach().clone()
    assert tied == (kind != "eurobert")
    pair.resize_token_embeddings(size)
    (ours, its), head = tables(pair), pair.generator.get_output_embeddings()
    assert ours.shape[0] == its.shape[0] == pair.get_input_embeddings().num_embeddings == size
    assert (ours is its) == (shares in TIED)
    assert ours[:kept].equal(before[0][:kept]) and its[:kept].equal(before[1][:kept])
    assert not ours[kept:].any() or shares != "gdes"
    assert (head.weight is its) == tied and head.weight.shape[0] == size
    if bias is not None:
        assert head.bias.shape == (size,) and head.bias[:kept].equal(bias[:kept])
        torch.testing.assert_close(head.bias[kept:], bias.mean().expand(size - kept))
    configs = [pair.config, pair.discriminator.config, pair.generator.config, pair.generator.base_model.config]
    configs += [pair.config.backbone_config, pair.config.generator_backbone_config] if kind in NATIVE else []
    assert [config.vocab_size for config in configs] == [size] * len(configs)
    ids = torch.randint(4, size, (3, 20), generator=seeded())
    pair.train()(ids).loss.backward()

    pair.eval().save_pretrained(tmp_path)
    assert same_weights(MclForPreTraining.from_pretrained(tmp_path), pair.state_dict())
    with torch.no_grad():
        assert AutoModel.from_pretrained(tmp_path)(ids)[0].equal(pair.discriminator(ids)[0])
        assert AutoModelForMaskedLM.from_pretrained(tmp_path)(ids).logits.equal(pair.generator(ids).logits)
