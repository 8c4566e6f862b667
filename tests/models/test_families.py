"""What holds for a pair of any family: the losses and gradients of a plain loop over transformers' own two classes,
however rows are padded, batched and computed. `pairs.KINDS` lists the families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.splits import RowDraws
from transformers_mcl import MclForPreTraining
from transformers_mcl.method import corruptions
from transformers_mcl.method.courses import all_losses

from .pairs import (
    ADAPTED,
    KINDS,
    assert_of_the_plain_loop,
    every,
    gradients,
    make_pair,
    rows_of,
    seeded,
    undecided,
)

Batches = Callable[[str], dict[str, Any]]
PADDING = pytest.mark.parametrize("padding", ["none", "right", "left"])


@PADDING
@every()
def test_replaced_token_detection_is_that_of_a_plain_loop(kind: str, padding: str, batch: Batches) -> None:
    pair = make_pair(kind, loss_weights={"mlm": 1.0, "rtd": 5.0}).train()
    assert_of_the_plain_loop(pair, rows_of(pair, batch(padding)))


@PADDING
@every()
def test_nine_losses_are_those_of_a_plain_loop(kind: str, padding: str, batch: Batches) -> None:
    pair = make_pair(kind, loss_weights={name: 1.0 + i for i, name in enumerate(all_losses())}).train()
    assert_of_the_plain_loop(undecided(pair, inputs := rows_of(pair, batch(padding))), inputs)


ABSOLUTE = dict.fromkeys(
    ("mcl", "bert", "deberta-absolute", "distilbert", "albert"), "positions are counted from the row's first place"
) | {"convbert": "positions, and convolutions"}
CONVOLUTIONS = {"convbert": "its convolutions reach over the end of a row into its padding"}


@pytest.mark.parametrize("padding", ["right", "left"])
@every(but=CONVOLUTIONS)
def test_padded_rows_are_as_without(kind: str, padding: str, batch: Batches) -> None:
    if padding == "left" and kind in ABSOLUTE:
        pytest.skip(ABSOLUTE[kind])
    pair = make_pair(kind).eval()
    ids, mask = rows_of(pair, batch(padding)).values()
    places = torch.arange(ids.shape[1]).expand_as(ids)
    with torch.no_grad():
        hidden, logits = pair.encode(ids, mask), pair.predict_at(ids, mask, places)
        for row, present in enumerate(mask.bool()):
            alone = ids[row : row + 1, present]
            torch.testing.assert_close(hidden[row, present], pair.encode(alone, None)[0], rtol=1e-3, atol=1e-4)
            expected = pair.predict_at(alone, None, torch.arange(alone.shape[1])[None])[0]
            torch.testing.assert_close(logits[row, present], expected, rtol=1e-3, atol=1e-4)


@every()
def test_predictions_at_places_are_those_of_the_whole_row(kind: str, batch: Batches) -> None:
    pair = make_pair(kind).eval()
    inputs, widths = rows_of(pair, batch("right")), []
    pair.generator.get_output_embeddings().register_forward_hook(lambda *args: widths.append(args[2].shape[1]))
    with torch.no_grad():
        everywhere = pair.generator(**inputs).logits
        assert not pair.predicts_everywhere
        widths.clear()
        for places in (torch.tensor([[0, 3, 3, 6]] * 8), torch.randint(30, (8, 5), generator=seeded())):
            found = pair.predict_at(inputs["input_ids"], inputs["attention_mask"], places)
            expected = everywhere.gather(1, places[..., None].expand(-1, -1, everywhere.shape[-1]))
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert widths == [4, 5]
        assert pair.generator(**inputs).logits.equal(everywhere)  # whoever calls it next has all of them


def step(pair: MclForPreTraining, **inputs: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and gradients."""
    pair.zero_grad()
    output = pair(**inputs)
    output.loss.backward()
    return output.losses, gradients(pair)


@every(but=dict.fromkeys(("albert", "mpnet"), "transformers has none for it"))
def test_gradient_checkpointing_changes_nothing(kind: str, batch: Batches) -> None:
    pair = make_pair(kind).train()
    inputs, passes = rows_of(pair, batch("right")), []
    for half in (pair.discriminator, pair.generator):
        layer = next(module for name, module in half.named_modules() if name.endswith(("layer.0", "layers.0")))
        next(iter(layer.children())).register_forward_pre_hook(lambda *args: passes.append(args))
    assert not pair.predicts_everywhere  # tried out once, in passes of its own
    passes.clear()
    expected = step(pair, **inputs, generator=seeded())
    assert len(passes) == 10
    pair.activation_checkpointing_enable()
    found = step(pair, **inputs, generator=seeded())
    assert len(passes) == 10 + 19  # each once more going back, but of insertion's generator, which has no graph
    torch.testing.assert_close(found, expected)


@every()
def test_a_batch_is_its_rows_one_by_one(kind: str, batch: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = RowDraws()
    monkeypatch.setattr(corruptions, "_uniform", draws)
    pair = make_pair(kind).train()
    pair.register_forward_pre_hook(draws.start, with_kwargs=True)
    inputs: dict[str, Any] = {name: value[:4] for name, value in rows_of(pair, batch("right")).items()}
    items = pair.count_items(**inputs)
    losses, expected = step(undecided(pair, inputs), **inputs)
    pair.zero_grad()
    sums = dict.fromkeys(losses, torch.zeros(()))
    for row in range(4):
        output = pair(**{name: value[row : row + 1] for name, value in inputs.items()}, num_items_in_batch=items)
        output.loss.backward()
        sums = {name: sums[name] + output.losses[name] for name in sums}
    torch.testing.assert_close(sums, losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(pair), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["modernbert", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "modernbert")]
)
def test_a_training_step_compiles_to_one_graph(kind: str, batch: Batches) -> None:
    pair = make_pair(kind, objective="electra").train()
    inputs = rows_of(pair, batch("right"))
    assert not pair.predicts_everywhere  # of a family without an adapter this is found out now, not in the graph
    explained = torch._dynamo.explain(pair)(**inputs)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)


@every(tuple(kind for kind in ADAPTED if "roberta" in kind))
def test_a_padding_token_among_the_others_moves_no_position(kind: str, batch: Batches) -> None:
    """A generator may sample one; transformers alone would count the positions after it anew."""
    pair = make_pair(kind).eval()
    ids = rows_of(pair, batch("none"))["input_ids"]
    ids[:, 9] = pair.config.pad_token_id
    positions = torch.arange(ids.shape[1])[None] + pair.config.pad_token_id + 1
    expected = pair.discriminator(ids, torch.ones_like(ids), position_ids=positions)[0]
    assert pair.encode(ids, None).equal(expected)
    assert (pair.discriminator(ids, torch.ones_like(ids))[0] - expected).abs().max() > 1e-2
