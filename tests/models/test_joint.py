"""All courses in one row: who operates where, what each judges, and what the losses are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.method.courses import COURSES, all_losses

WEIGHTS = {"mlm": 1.0, "slm": 2.0, "rtd": 30.0, "std": 40.0, "itd": 50.0}
MASK, PAD, CLS, SEP = 103, 0, 101, 102


def make(**settings: Any) -> MclForPreTraining:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": 200,
        "embedding_size": 16,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "generator_num_attention_heads": 2,
        "generator_hidden_size": 16,
        "max_position_embeddings": 40,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "loss_weights": WEIGHTS,
        "course_schedule": "joint",
    }
    return MclForPreTraining(MclConfig(**(shape | settings))).train()


def rows(padded: bool) -> dict[str, Any]:
    torch.manual_seed(1)
    ids = torch.randint(110, 200, (4, 36))
    ids[:, 0], ids[:, -1] = CLS, SEP
    if not padded:
        return {"input_ids": ids}
    mask = torch.ones_like(ids)
    for row, length in enumerate((36, 30, 12, 4)):
        ids[row, length - 1], ids[row, length:], mask[row, length:] = SEP, PAD, 0
    return {"input_ids": ids, "attention_mask": mask}


def places(record: Any) -> Tensor:
    corruption = record.corruption
    found = torch.zeros_like(corruption.input_ids, dtype=torch.bool)
    for row in range(len(found)):
        found[row, corruption.positions[row][corruption.valid[row]]] = True
    return found


@pytest.mark.parametrize("padded", [False, True])
def test_courses_operate_at_places_of_their_own(padded: bool) -> None:
    inputs = rows(padded)
    records = make()(**inputs, output_records=True).records
    where = {course: places(record) for course, record in records.items()}
    assert where.keys() == set(COURSES) and torch.stack(list(where.values())).sum(0).max() == 1
    read = records["rtd"].corruption.input_ids
    assert (read[where["rtd"] | where["itd"]] == MASK).all() and not (read[where["std"]] == MASK).any()
    assert read.shape[1] == 40  # 36 and 15 % more, cut where the positions end
    for row, clean in enumerate(inputs["input_ids"]):
        restored = read[row].clone()
        for course in ("rtd", "std"):
            corruption = records[course].corruption
            restored[corruption.positions[row][corruption.valid[row]]] = corruption.labels[row][corruption.valid[row]]
        kept = restored[~where["itd"][row]]
        kept, clean = kept[kept != PAD], clean[clean != PAD]
        dropped = len(clean) - len(kept)  # of the tail, where a row got too long
        assert torch.equal(kept, torch.cat([clean[: len(clean) - 1 - dropped], clean[-1:]]))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("heads", ["per_course", "shared"])
def test_losses_and_gradients_are_those_of_the_plain_computation(padded: bool, heads: str) -> None:
    model = make(detection_heads=heads)
    output = model(**rows(padded), output_records=True)
    output.loss.backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    records, losses = output.records, {}
    where = {course: places(record) for course, record in records.items()}
    mask = records["rtd"].corruption.attention_mask
    present = torch.ones_like(where["rtd"]) if mask is None else mask.bool()
    logits = model.generator(records["rtd"].corruption.input_ids, attention_mask=mask).logits
    read = records["rtd"].discriminator_input
    hidden = model.electra(read, attention_mask=mask).last_hidden_state
    own: dict[str, Any] = dict(model.course_predictions)
    for course, record in records.items():
        labels = where[course].clone()
        if (generate := COURSES[course].generate) is not None:
            original = torch.zeros_like(read).scatter(
                1, record.corruption.positions, record.corruption.labels.clamp(min=0)
            )
            losses[generate.name] = functional.cross_entropy(logits[where[course]], original[where[course]])
            labels &= read != original
        others = [where[other] for other in records if other != course]
        known = present & ~torch.stack(others).any(0)
        judged: nn.Module = own.get(course, model.discriminator_predictions)
        verdict = judged(hidden)
        assert torch.equal(record.labels, labels)
        losses[course] = functional.binary_cross_entropy_with_logits(verdict[known], labels[known].float())
    total = sum((WEIGHTS[name] * loss for name, loss in losses.items()), torch.zeros(()))
    total.backward()
    torch.testing.assert_close(output.losses, {name: losses[name].detach() for name in output.losses})
    torch.testing.assert_close(output.loss, total)
    assert set(ours) == {name for name, _ in model.named_parameters()}
    theirs = {name: p.grad for name, p in model.named_parameters()}
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("left_out", [(), ("mlm", "rtd"), ("slm", "std"), ("itd",)])
def test_items_counted_beforehand_are_what_the_losses_are_divided_by(padded: bool, left_out: tuple[str, ...]) -> None:
    model = make(loss_weights={name: weight for name, weight in WEIGHTS.items() if name not in left_out})
    output = model(**rows(padded))
    counts = {name: output.metrics[name][1].item() for name in output.losses}
    assert {name: count.item() for name, count in model.count_items(**rows(padded)).items()} == counts


def test_samples_are_drawn_in_the_order_in_which_courses_operate() -> None:
    assert list(make()(**rows(False), output_records=True).records) == ["itd", "rtd", "std"]


def test_no_course_gives_no_loss() -> None:
    output = make()(**rows(False), courses=[])
    assert output.loss == 0 and not output.losses


def test_one_pass_of_each_network(monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = make(), []
    for name, network in (("generator", model.generator.electra), ("discriminator", model.electra)):
        network.register_forward_hook(lambda *_, name=name: passes.append(name))
    model(**rows(False)).loss.backward()
    assert passes == ["generator", "discriminator"]
    passes.clear()
    model.eval()(**rows(False))  # judged as every other model
    assert len(passes) == 6


def test_a_backward_given_is_not_needed() -> None:
    losses: list[Tensor] = []
    output = make()(**rows(False), backward=losses.append)
    assert not losses and output.loss.requires_grad


def test_corrections_are_refused() -> None:
    with pytest.raises(UserError, match="course_schedule='joint' has no corrections"):
        make(loss_weights=dict.fromkeys(all_losses(), 1.0))
