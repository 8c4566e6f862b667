"""A generator that is not trained, and the temperature of what a generator fills in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from transformers_mcl import MclForPreTraining, UserError
from transformers_mcl.method.courses import all_losses

from .conftest import VOCABULARY
from .pairs import every, make_pair, rows_of, seeded

Batches = Callable[[str], dict[str, Any]]
DROPOUT = dict.fromkeys(("hidden_dropout_prob", "attention_dropout", "dropout", "mlp_dropout"), 0.5)


@pytest.mark.parametrize("shares", ["none", "gdes"])
@every()
def test_a_frozen_generator_is_left_alone(kind: str, shares: str, batch: Batches) -> None:
    ours = {"hidden_dropout_prob": 0.5} if kind == "mcl" else {}
    pair = make_pair(kind, DROPOUT, generator_trainable=False, generator_shares=shares, **ours).train()
    inputs, places = rows_of(pair, batch("right")), torch.arange(30).expand(8, 30)
    ids, mask = inputs.values()
    assert pair.training and pair.discriminator.training and not pair.generator.training
    with torch.no_grad():
        assert pair.predict_at(ids, mask, places).equal(pair.predict_at(ids, mask, places))
        assert not pair.encode(ids, mask).equal(pair.encode(ids, mask))
    before = {name: parameter.detach().clone() for name, parameter in pair.named_parameters()}
    output = pair(**inputs)
    output.loss.backward()
    assert output.losses.keys() == {name for name, loss in all_losses().items() if loss.detects}
    assert output.loss.item() == pytest.approx(
        sum(pair.config.weights[name] * loss.item() for name, loss in output.losses.items()), rel=1e-5
    )
    frozen = {name for name, parameter in pair.named_parameters() if not parameter.requires_grad}
    generator = {f"generator.{name}" for name, _ in pair.generator.named_parameters()}
    assert {name for name in frozen if "pooler" not in name} == generator
    torch.optim.AdamW(pair.parameters(), lr=0.1, weight_decay=0.1).step()
    kept = {name for name, parameter in pair.named_parameters() if parameter.equal(before[name])}
    assert {name for name in kept if "pooler" not in name} == generator


def test_a_frozen_generator_shares_nothing_that_is_trained() -> None:
    assert make_pair("bert", generator_trainable=False).config.generator_shares == "none"
    for shares in ("token", "all"):
        with pytest.raises(UserError, match=rf"generator_shares='{shares}'.*generator_trainable=False"):
            make_pair("bert", generator_trainable=False, generator_shares=shares)


@every(("mcl", "modernbert"))
def test_a_temperature_flattens_what_is_drawn_and_nothing_else(kind: str, batch: Batches) -> None:
    inputs = {name: value.repeat(8, 1) for name, value in batch("none").items()}
    plain = make_pair(kind)(**inputs, generator=seeded(), output_records=True)

    def drawn(temperature: float) -> Any:
        pair = make_pair(kind, generator_temperature=temperature)
        assert pair.temperature == pytest.approx(temperature)
        output = pair(**inputs, generator=seeded(), output_records=True)
        torch.testing.assert_close(output.losses["mlm"], plain.losses["mlm"])  # of the logits as they are
        record = output.records["rtd"]
        assert record.corruption.input_ids.equal(plain.records["rtd"].corruption.input_ids)
        return record.samples[record.corruption.valid]

    own = plain.records["rtd"]
    own_samples = own.samples[own.corruption.valid]
    assert drawn(1.0).equal(own_samples)
    pair = make_pair(kind)
    logits = pair.predict_at(own.corruption.input_ids, None, own.corruption.positions)[own.corruption.valid]
    assert drawn(1e-4).equal(logits.argmax(-1))
    uniform = 1 / VOCABULARY
    counts = torch.bincount(drawn(1e4), minlength=VOCABULARY) / len(own_samples)
    assert len(own_samples) > 700
    assert (counts - uniform).abs().max() < 5 * (uniform / len(own_samples)) ** 0.5
    assert (torch.bincount(own_samples, minlength=VOCABULARY) / len(own_samples) - uniform).abs().max() > 0.1
    # Set in the midst of training, as a decaying one is.
    pair.temperature = 1e-4
    assert (
        pair(**inputs, generator=seeded(), output_records=True)
        .records["rtd"]
        .samples[own.corruption.valid]
        .equal(logits.argmax(-1))
    )


@every(("mcl", "bert"))
def test_a_temperature_survives_saving(kind: str, batch: Batches, tmp_path: Path) -> None:
    pair = make_pair(kind, generator_temperature=2.0)
    pair.save_pretrained(tmp_path)
    again = MclForPreTraining.from_pretrained(tmp_path)
    inputs = rows_of(pair, batch("right"))
    assert again.temperature == 2.0
    losses = [model.eval()(**inputs, generator=seeded()).loss for model in (pair, again)]
    assert losses[0].equal(losses[1])


@pytest.mark.parametrize(("field", "value"), [("temperature", 0.0), ("temperature", -1.0), ("temperature_decay", 0.0)])
def test_a_temperature_that_means_nothing_is_refused(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"generator_{field}={value} must be above 0"):
        make_pair("bert", None, **{f"generator_{field}": value})
