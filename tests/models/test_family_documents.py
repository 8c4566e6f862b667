"""Documents in one row are read as if each were alone, by encoders of every family that can, in every course."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from transformers_mcl import MclForPreTraining, UserError
from transformers_mcl.method.courses import COURSES
from transformers_mcl.models.backbones import family_of

from .pairs import (
    ADAPTED,
    FALLBACKS,
    KINDS,
    NATIVE,
    Plain,
    backbone,
    every,
    gradients_of_halves,
    make_pair,
    plain_losses,
    rows_of,
    seeded,
)
from .test_documents import numbered, packed_rows

UNABLE = {"deberta-convolutions": "its convolution mixes neighbours of two documents"}
# A call that transformers makes when it builds Flex's mask.
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


def packed(pair: MclForPreTraining) -> tuple[dict[str, Tensor], Tensor]:
    """Rows of documents, the longest far longer than a window of ModernBERT's, and the number of each."""
    torch.manual_seed(3)
    ids, _ = packed_rows()
    return rows_of(pair, {"input_ids": ids, "attention_mask": (ids != 0).long()}), numbered(ids)


def alone(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, documents: Tensor | None) -> Tensor:
    """What a network says of each document, given it alone, at its places; 0 at padding."""
    assert documents is not None
    present = torch.ones_like(ids).bool() if mask is None else mask.bool()
    rows = []
    for row in range(len(ids)):
        parts, places = [], []
        for number in documents[row, present[row]].unique():
            place = (present[row] & (documents[row] == number)).nonzero()[:, 0]
            own = ids[row : row + 1, place]
            parts.append(model(own, attention_mask=torch.ones_like(own))[0][0])
            places.append(place)
        said = torch.cat(parts)
        rows.append(said.new_zeros(ids.shape[1], said.shape[1]).index_put((torch.cat(places),), said))
    return torch.stack(rows)


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
@every(ADAPTED, but=UNABLE)
def test_documents_are_read_as_each_alone(kind: str, implementation: str) -> None:
    pair = make_pair(kind).eval()
    if implementation == "flex_attention" and not getattr(pair.discriminator, "_supports_flex_attn", False):
        pytest.skip("transformers has no Flex attention for it")
    if KINDS[kind][0] == "deberta-v2" and implementation != "eager":
        pytest.skip("transformers has eager attention alone for it")
    (inputs, documents), plain = packed(pair), Plain(pair).eval()
    for model in (pair.discriminator, pair.generator):
        model.set_attn_implementation(implementation)
        assert model.config._attn_implementation == implementation
    places = torch.arange(documents.shape[1]).expand_as(documents)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    present = mask.bool()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        together = {
            "discriminator": (pair.encode(ids, mask, documents), pair.encode(ids, mask)),
            "generator": (pair.predict_at(ids, mask, places, documents), pair.predict_at(ids, mask, places)),
        }
        for name, (apart, mixed) in together.items():
            expected = alone(getattr(plain, name), ids, mask, documents)
            torch.testing.assert_close(apart[present], expected[present], rtol=1e-3, atol=1e-4)
            assert (mixed - expected)[present].abs().max() > 1e-2  # what is compared is not the same by itself


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("course", list(COURSES))
@every(ADAPTED, but=UNABLE)
def test_a_course_on_documents_is_that_on_each_alone(kind: str, course: str, padded: bool) -> None:
    weights = {loss.name: 1.0 + i for i, loss in enumerate(COURSES[course].losses)}
    pair = make_pair(kind, loss_weights=weights, document_attention=True).train()
    inputs, _ = packed(pair)
    if not padded:
        inputs = {"input_ids": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 2)}
    with torch.no_grad():  # samples, and so the second inputs, hold [CLS] where no document begins
        pair.generator.get_output_embeddings().bias[pair.config.cls_token_id] += 3
    output = pair(**inputs, generator=seeded(), output_records=True)
    output.loss.backward()
    record, plain = output.records[course], Plain(pair)
    filled, read = (x == pair.config.cls_token_id for x in (record.discriminator_input, record.corruption.input_ids))
    assert filled.sum() > read.sum()
    documents, present = record.corruption.document_ids, record.corruption.attention_mask
    present = torch.ones_like(documents).bool() if present is None else present.bool()
    assert documents[present].equal(read.cumsum(1)[present])
    losses = plain_losses(plain, course, inputs["input_ids"], record, alone)
    sum((weights[name] * losses[name] for name in output.losses), torch.zeros(())).backward()
    torch.testing.assert_close(output.losses, {name: losses[name].detach() for name in output.losses})
    torch.testing.assert_close(gradients_of_halves(pair), gradients_of_halves(plain), rtol=1e-3, atol=1e-4)


@every(NATIVE)
def test_a_family_that_cannot_is_refused_by_name(kind: str) -> None:
    able = kind not in (*FALLBACKS, *UNABLE)
    assert family_of(backbone(kind)).reads_documents(backbone(kind)) is able
    if not able:
        with pytest.raises(UserError, match=f"document_attention.*'{KINDS[kind][0]}'"):
            make_pair(kind, document_attention=True)


@every(ADAPTED, but=UNABLE | {"mcl": "test_documents.py has it"})
def test_flash_attention_is_refused(kind: str, tmp_path: Path) -> None:
    flash, explained = "flash_attention_2", r"'flash_attention_2'.*document_attention.*sdpa"
    pair = make_pair(kind, document_attention=True)
    with pytest.raises(UserError, match=explained):
        MclForPreTraining._from_config(copy.deepcopy(pair.config), attn_implementation=flash)
    with pytest.raises(UserError, match=explained):
        pair.set_attn_implementation(flash)
    pair.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=explained):
        MclForPreTraining.from_pretrained(tmp_path, attn_implementation=flash)
