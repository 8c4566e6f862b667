"""Documents packed into one row are read as if each were alone, by both networks, in every pass of every course."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from transformers_mcl import MclConfig, MclForPreTraining, MclForTokenClassification, MclModel, UserError
from transformers_mcl.method.courses import COURSES

Configs = Callable[..., MclConfig]
PAD, CLS, SEP = 0, 1, 2
LENGTHS = ([9, 1, 4, 16], [2, 12, 3, 10])  # of the documents of each row, [CLS] and [SEP] included
BUCKETS = pytest.mark.parametrize("buckets", [8, 0], ids=["bias", "no-bias"])
# A call that transformers makes when it builds Flex's mask.
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


def packed_rows() -> tuple[Tensor, list[list[slice]]]:
    """Rows of documents `[CLS] … [SEP]`, the last of the second followed by 3 of padding; and where each stands."""
    rows, places = [], []
    for lengths in LENGTHS:
        row: list[int] = []
        slices = []
        for length in lengths:
            content = torch.randint(4, 12, (length,))
            content[-1], content[0] = SEP, CLS
            slices.append(slice(len(row), len(row) + length))
            row += content.tolist()
        rows.append(row + [PAD] * (30 - len(row)))
        places.append(slices)
    return torch.tensor(rows), places


def numbered(input_ids: Tensor) -> Tensor:
    return torch.tensor([[row[: i + 1].count(CLS) for i in range(len(row))] for row in input_ids.tolist()])


@BUCKETS
@pytest.mark.parametrize("network", ["discriminator", "generator"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_packed_documents_equal_each_alone(implementation: str, network: str, buckets: int, config: Configs) -> None:
    pair = config(relative_attention_num_buckets=buckets)
    model = MclModel(pair if network == "discriminator" else pair.generator_config()).eval()
    model.set_attn_implementation(implementation)
    ids, places = packed_rows()
    inputs = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        together = model(**inputs, document_ids=numbered(ids)).last_hidden_state
        mixed = model(**inputs).last_hidden_state
        for row, slices in enumerate(places):
            for place in slices:
                alone = model(ids[row : row + 1, place]).last_hidden_state[0]
                torch.testing.assert_close(together[row, place], alone, rtol=1e-4, atol=1e-5)
                assert (mixed[row, place] - alone).abs().max() > 1e-2  # what is compared is not the same by itself
    assert together.isfinite().all()


def passes_of(model: MclForPreTraining, ids: Tensor, **arguments: Any) -> tuple[list[tuple[MclModel, Any]], Any]:
    """Each encoder's every call in one step of the pair, as `(encoder, bound arguments)`, and the pair's output."""
    calls: list[tuple[MclModel, Any]] = []
    hooks = [
        encoder.register_forward_pre_hook(
            lambda encoder, args, kwargs: calls.append(
                (encoder, {**dict(zip(("input_ids", "attention_mask"), args, strict=False)), **kwargs})
            ),
            with_kwargs=True,
        )
        for encoder in (model.electra, model.generator.electra)
    ]
    output = model(ids, generator=torch.Generator().manual_seed(0), output_records=True, **arguments)
    for hook in hooks:
        hook.remove()
    return calls, output


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("course", list(COURSES))
def test_no_pass_of_a_course_lets_one_document_see_another(course: str, padded: bool, config: Configs) -> None:
    """By gradients: what a document's hidden states depend on, its `[CLS]`'s alone too, is that document, whole."""
    torch.manual_seed(4)
    model, (ids, _) = MclForPreTraining(config(document_attention=True, insert_ratio=0.4)), packed_rows()
    with torch.no_grad():  # samples, and so the second inputs, hold [CLS] where no document begins
        model.generator.generator_lm_head.bias[CLS] += 3
    mask = (ids != PAD).long() if padded else None
    ids = ids if padded else ids.masked_fill(ids == PAD, SEP)
    calls, output = passes_of(model, ids, courses=[course], attention_mask=mask)
    assert len(calls) == (2 if course == "itd" else 4)
    record = output.records[course]
    documents, present = numbered(record.corruption.input_ids), record.corruption.attention_mask
    present = torch.ones_like(documents) if present is None else present
    assert (record.discriminator_input == CLS).sum() > (record.corruption.input_ids == CLS).sum()
    for encoder, inputs in calls:
        embedded = encoder.embeddings.word_embeddings(inputs.pop("input_ids")).detach().requires_grad_()
        hidden = encoder(inputs_embeds=embedded, **inputs).last_hidden_state
        for number in range(1, 5):
            own = (documents == number) & present.bool()
            for probed in (own, own & (record.corruption.input_ids == CLS)):
                probe = (hidden * torch.randn_like(hidden))[probed].sum()
                (gradient,) = torch.autograd.grad(probe, embedded, retain_graph=True)
                assert gradient.abs().sum(-1).bool().equal(own)


def test_documents_are_off_by_default_and_outside_pre_training(config: Configs) -> None:
    ids, _ = packed_rows()
    calls, _ = passes_of(MclForPreTraining(config()), ids)
    assert len(calls) == 10
    assert all(inputs.get("document_ids") is inputs.get("position_ids") is None for _, inputs in calls)
    model = MclForTokenClassification(config(document_attention=True)).eval()
    logits = model(ids).logits
    ids[:, -1] = 5  # in the last document; the first sees it
    assert (model(ids).logits[:, 0] - logits[:, 0]).abs().max() > 1e-3


@BUCKETS
def test_a_row_of_one_document_is_read_as_ever(buckets: int, config: Configs) -> None:
    losses = []
    for apart in (False, True):
        torch.manual_seed(0)
        model = MclForPreTraining(config(document_attention=apart, relative_attention_num_buckets=buckets))
        ids = torch.randint(4, 12, (3, 30))
        ids[:, 0], ids[:, 15], ids[:, -1] = CLS, SEP, SEP
        losses.append(model(ids, generator=torch.Generator().manual_seed(0)).losses)
    torch.testing.assert_close(*losses)


@BUCKETS
def test_gradients_of_eager_and_sdpa_agree(buckets: int, config: Configs) -> None:
    model = MclForPreTraining(config(document_attention=True, relative_attention_num_buckets=buckets))
    (ids, _), found = packed_rows(), []
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        model(ids, (ids != PAD).long(), generator=torch.Generator().manual_seed(0)).loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


def test_attention_that_cannot_keep_documents_apart_is_refused(config: Configs, tmp_path: Path) -> None:
    flash, explained = "flash_attention_2", r"'flash_attention_2'.*document_attention.*sdpa"
    fields: dict[str, Any] = {"document_attention": True, "relative_attention_num_buckets": 0}
    with pytest.raises(UserError, match=explained):
        MclForPreTraining._from_config(config(**fields), attn_implementation=flash)
    model = MclForPreTraining(config(**fields))
    with pytest.raises(UserError, match=explained):
        model.set_attn_implementation(flash)
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=explained):
        MclForPreTraining.from_pretrained(tmp_path, attn_implementation=flash)
    encoder = MclModel.from_pretrained(tmp_path)
    encoder.config._attn_implementation_internal = flash
    with pytest.raises(UserError, match=explained):
        encoder(torch.full((1, 9), 5), document_ids=torch.ones(1, 9).long())


def test_a_mask_of_four_dimensions_beside_documents_is_refused(config: Configs) -> None:
    ids, _ = packed_rows()
    with pytest.raises(UserError, match=r"document_ids.*\(batch, length\)"):
        MclModel(config())(ids, torch.ones(2, 1, 30, 30), document_ids=numbered(ids))
