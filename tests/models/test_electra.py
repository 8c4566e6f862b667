"""RTD alone is ELECTRA: the same loss and gradients as transformers' own two classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.models.pretraining import CourseRecord

SHARES = pytest.mark.parametrize("shares", ["token", "all"])
PADDING = pytest.mark.parametrize("padding", ["none", "right", "left"])


def electra_config(config: MclConfig) -> ElectraConfig:
    return ElectraConfig(**{name: getattr(config, name) for name in ElectraConfig().to_dict() if name in vars(config)})


def transformers_pair(model: MclForPreTraining) -> tuple[ElectraForMaskedLM, ElectraForPreTraining]:
    """transformers' generator and discriminator with `model`'s weights, loaded key for key, and its sharing."""
    discriminator = ElectraForPreTraining(electra_config(model.config))
    generator = ElectraForMaskedLM(electra_config(model.generator.config))
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("generator.")}
    discriminator.load_state_dict(weights, strict=True)
    generator.load_state_dict(model.generator.state_dict(), strict=True)
    if model.config.generator_shares == "all":
        generator.electra.embeddings = discriminator.electra.embeddings
    else:
        generator.electra.embeddings.word_embeddings = discriminator.electra.embeddings.word_embeddings
    generator.tie_weights()
    return generator, discriminator


def electra_loss(
    generator: ElectraForMaskedLM,
    discriminator: ElectraForPreTraining,
    record: CourseRecord,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """ELECTRA's two losses as a plain loop computes them: `-100` labels, then 1 where a token is not the original."""
    labels = torch.full_like(input_ids, -100)
    rows = torch.arange(len(input_ids))[:, None].expand_as(record.corruption.positions)[record.corruption.valid]
    places = record.corruption.positions[record.corruption.valid]
    labels[rows, places] = input_ids[rows, places]
    masked = input_ids.clone()
    masked[rows, places] = 3
    filled = input_ids.clone()
    filled[rows, places] = record.samples[record.corruption.valid]
    replaced = (filled != input_ids).long()
    return (
        generator(masked, attention_mask=attention_mask, labels=labels).loss,
        discriminator(filled, attention_mask=attention_mask, labels=replaced).loss,
    )


@SHARES
@PADDING
def test_loss_and_gradients_are_those_of_transformers(
    shares: str,
    padding: str,
    config: Callable[..., MclConfig],
    batch: Callable[[str], dict[str, Any]],
) -> None:
    model = MclForPreTraining(
        config(objective="electra", generator_shares=shares, relative_attention_num_buckets=0, mask_ratio=0.3)
    )
    inputs = batch(padding)
    for seed in range(50):
        output = model(**inputs, generator=torch.Generator().manual_seed(seed), output_records=True)
        record = output.records["rtd"]
        hits = (record.samples == record.corruption.labels)[record.corruption.valid]
        if 0 < hits.sum() < len(hits):  # some samples are the original, and such tokens are original
            break
    else:
        pytest.fail("the generator never, or always, finds the original")
    output.loss.backward()

    generator, discriminator = transformers_pair(model)
    mlm, rtd = electra_loss(generator, discriminator, record, **inputs)
    (mlm + 50 * rtd).backward()

    torch.testing.assert_close(output.losses, {"mlm": mlm.detach(), "rtd": rtd.detach()}, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.loss, mlm + 50 * rtd, rtol=1e-5, atol=1e-6)
    theirs = dict(discriminator.named_parameters()) | {f"generator.{k}": p for k, p in generator.named_parameters()}
    expected = {name: parameter.grad for name, parameter in theirs.items()}
    found = {name: p.grad for name, p in model.named_parameters(remove_duplicate=False) if name in theirs}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@SHARES
def test_a_pair_without_bias_has_electras_parameters_and_no_others(
    shares: str, config: Callable[..., MclConfig]
) -> None:
    model = MclForPreTraining(config(objective="electra", generator_shares=shares, relative_attention_num_buckets=0))
    generator, discriminator = transformers_pair(model)
    theirs = {id(p): p.numel() for half in (generator, discriminator) for p in half.parameters()}
    assert sum(theirs.values()) == sum(p.numel() for p in model.parameters())
    assert len(theirs) == len(list(model.parameters()))


def test_labels_and_inputs_are_electras(
    config: Callable[..., MclConfig], batch: Callable[[str], dict[str, Any]]
) -> None:
    """The records that the comparison above is made with say what was done."""
    model = MclForPreTraining(config(objective="electra", mask_ratio=0.3))
    inputs = batch("right")
    record = model(**inputs, output_records=True).records["rtd"]
    clean = inputs["input_ids"]
    for row in range(len(clean)):
        places = record.corruption.positions[row][record.corruption.valid[row]]
        masked, filled = clean[row].clone(), clean[row].clone()
        masked[places] = 3
        filled[places] = record.samples[row][record.corruption.valid[row]]
        assert record.corruption.input_ids[row].equal(masked)
        assert record.discriminator_input[row].equal(filled)
        assert record.labels[row].equal(filled != clean[row])
        assert (clean[row][places] > 3).all()
        assert len(places) == max(1, round(0.3 * int((clean[row] > 3).sum())))
