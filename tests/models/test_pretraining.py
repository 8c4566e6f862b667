"""The pair through its courses: nine losses, what each of them computes, touches and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.method import corruptions as c
from transformers_mcl.method.courses import COURSES, all_losses
from transformers_mcl.method.metrics import add_metrics, summarize_metrics
from transformers_mcl.method.notebook import rediscrimination_input

from .pairs import MCL, gradients, heads_of, plain_losses, seeded, undecided

Configs = Callable[..., MclConfig]
Batches = Callable[[str], dict[str, Any]]
PADDING = pytest.mark.parametrize("padding", ["none", "right", "left"])


@PADDING
@pytest.mark.parametrize("average", ["all", "own"])
@pytest.mark.parametrize("heads", ["per_course", "shared"])
def test_nine_losses_and_their_gradients_are_those_of_the_plain_computation(
    padding: str, average: str, heads: str, config: Configs, batch: Batches
) -> None:
    weights = {name: 1.0 + i for i, name in enumerate(all_losses())}
    model = undecided(
        MclForPreTraining(
            config(
                loss_weights=weights,
                correction_average=average,
                detection_heads=heads,
                mask_ratio=0.4,
                swap_ratio=0.35,
                insert_ratio=0.2,
            )
        ),
        inputs := batch(padding),
    )
    output = model(**inputs, generator=seeded(), output_records=True)
    output.loss.backward()
    ours = gradients(model)
    for course in ("rtd", "std"):  # every cell has something in it
        notebook = output.records[course].notebook
        assert all(cell.any() for cell in (notebook.pos1, notebook.pos2, notebook.pos3, notebook.pos4))

    model.zero_grad()
    plain: dict[str, Tensor] = {}
    for course, record in output.records.items():
        plain |= plain_losses(model, course, inputs["input_ids"], record)
    total = sum((weights[name] * loss for name, loss in plain.items()), torch.zeros(()))
    total.backward()

    assert set(output.losses) == set(plain) == set(all_losses())
    for name, loss in plain.items():
        assert output.losses[name].item() == pytest.approx(loss.item(), rel=1e-5), name
        assert not output.losses[name].requires_grad
    assert output.loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert set(ours) == {name for name, _ in model.named_parameters()}
    torch.testing.assert_close(ours, gradients(model), rtol=1e-4, atol=1e-5)


@PADDING
def test_records_follow_the_method(padding: str, config: Configs, batch: Batches) -> None:
    ratios = {"rtd": 0.2, "std": 0.4, "itd": 0.3}
    model = MclForPreTraining(config(mask_ratio=0.2, swap_ratio=0.4, insert_ratio=0.3))
    inputs = batch(padding)
    clean = inputs["input_ids"]
    records = model(**inputs, output_records=True).records
    assert list(records) == ["rtd", "std", "itd"]
    for course, record in records.items():
        read, filled = record.corruption.input_ids, record.discriminator_input
        for row in range(len(clean)):
            places = record.corruption.positions[row][record.corruption.valid[row]]
            count = int((clean[row] > 3).sum())
            assert len(places) == c.operated_count(count, ratios[course], 2 if course == "std" else 1)
            assert filled[row][places].equal(record.samples[row][record.corruption.valid[row]])
            untouched = torch.ones_like(read[row], dtype=torch.bool)
            untouched[places] = False
            assert filled[row][untouched].equal(read[row][untouched])
            if course == "itd":
                content = filled[row][untouched]
                assert content[content != 0].equal(clean[row][clean[row] != 0])
                assert record.labels[row].equal(~untouched)
            else:
                assert filled[row][untouched].equal(clean[row][untouched])
                assert (clean[row][places] > 3).all()  # special tokens and padding are left alone
                assert record.labels[row].equal(filled[row] != clean[row])
        if course == "itd":
            assert (record.notebook, record.regeneration_input, record.rediscrimination_input) == (None, None, None)
    assert (records["rtd"].corruption.input_ids == 3).any()
    assert not (records["std"].corruption.input_ids == 3).any()
    assert records["itd"].logits.shape == records["itd"].discriminator_input.shape == (8, 39)


def test_samples_are_drawn_from_the_generator_at_the_operated_positions(config: Configs, batch: Batches) -> None:
    model, clean = MclForPreTraining(config(objective="electra", mask_ratio=0.3)), batch("none")["input_ids"]
    record = model(clean, generator=seeded(3), output_records=True).records["rtd"]
    draws = seeded(3)
    corruption = c.mask_tokens(clean, clean > 3, 0.3, 3, generator=draws)
    logits = model.generator(corruption.input_ids).logits
    at_positions = torch.stack([row[places] for row, places in zip(logits, corruption.positions, strict=True)])
    assert record.corruption.input_ids.equal(corruption.input_ids)
    assert record.samples.equal(c.sample_tokens(at_positions, draws))


# --- one call, or a call per course ---------------------------------------------------------------------------------
@pytest.mark.parametrize("schedule", ["all", "sampled"])
@pytest.mark.parametrize("padding", ["none", "right"])
def test_a_call_per_course_gives_the_losses_and_gradients_of_one_call(
    padding: str, schedule: str, config: Configs, batch: Batches
) -> None:
    model = undecided(MclForPreTraining(config(course_schedule=schedule)), inputs := batch(padding)).train()
    items = model.count_items(inputs["input_ids"], inputs.get("attention_mask"))
    whole = model(**inputs, generator=seeded())
    whole.loss.backward()
    expected = gradients(model)
    model.zero_grad()
    assert model.turn == (2 if schedule == "sampled" else 0)  # of eight rows
    model.turn = 0
    draws, loss = seeded(), 0.0
    losses: dict[str, Tensor] = {}
    metrics: dict[str, Tensor] = {}
    for course in ("rtd", "std", "itd"):
        assert model.turn == 0
        part = model(**inputs, generator=draws, courses=(course,), num_items_in_batch=items)
        part.loss.backward()
        loss += part.loss.item()
        losses |= part.losses
        metrics |= part.metrics
    assert loss == pytest.approx(whole.loss.item(), rel=1e-5)
    assert model.turn == (2 if schedule == "sampled" else 0)
    assert losses == whole.losses
    assert list(losses) == list(whole.losses)
    assert all(metrics[name].equal(value) for name, value in whole.metrics.items())
    torch.testing.assert_close(gradients(model), expected, rtol=1e-4, atol=1e-5)


def test_loss_is_the_weighted_sum(config: Configs, batch: Batches) -> None:
    weights = {"mlm": 0.5, "rtd": 7.0, "re_std": 3.0, "itd": 0.25}
    output = MclForPreTraining(config(loss_weights=weights))(**batch("right"))
    assert set(output.losses) == set(weights)
    assert output.loss.item() == pytest.approx(sum(weights[k] * v.item() for k, v in output.losses.items()), rel=1e-6)
    assert output.records is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"rdt": 50.0}, r"loss_weights: there is no 'rdt'.*did you mean 'rtd'"),
        ({"mlm": -1.0}, r"loss_weights\['mlm'\]=-1.0"),
        ({"mlm": float("nan")}, "nan"),
        ({}, "all 0: nothing would be learnt"),
        ({"mlm": 0.0, "rtd": 0}, "all 0: nothing would be learnt"),
    ],
)
def test_weights_that_mean_nothing_are_refused_in_python_too(weights: Any, said: str, config: Configs) -> None:
    model = MclForPreTraining(config())
    before = dict(model.loss_weights)
    with pytest.raises(UserError, match=said):
        model.loss_weights = weights
    assert model.loss_weights == before


def test_a_configuration_that_was_changed_is_checked_again(config: Configs, batch: Batches) -> None:
    for name, value, meant in (
        ("generator_shares", "tokn", "token"),
        ("detection_heads", "shard", "shared"),
        ("detection_head_type", "liner", "linear"),
        ("course_schedule", "sampeld", "sampled"),
    ):
        changed = config()
        setattr(changed, name, value)
        with pytest.raises(UserError, match=f"{name}: there is no '{value}'.*did you mean '{meant}'"):
            MclForPreTraining(changed)
    model = MclForPreTraining(config()).train()
    model.config.course_schedule = "sampeld"
    with pytest.raises(UserError, match="course_schedule: there is no 'sampeld'"):
        model(**batch("none"))


def test_a_head_of_an_unknown_course_is_refused_by_name(config: Configs, batch: Batches) -> None:
    model = MclForPreTraining(config(objective="electra"))
    with pytest.raises(UserError, match="there is no 'rdt'.*did you mean 'rtd'"):
        model.detect("rdt", batch("none")["input_ids"], None)
    with pytest.raises(UserError, match="std: this pair was configured without the course"):
        model.detect("std", batch("none")["input_ids"], None)


@pytest.mark.parametrize("courses", [("sdt",), ("rtd", "mlm"), "rtd"])
def test_an_unknown_course_is_refused(courses: Any, config: Configs, batch: Batches) -> None:
    with pytest.raises(UserError, match=r"courses.*(sdt|mlm|rtd)"):
        MclForPreTraining(config())(**batch("none"), courses=courses)


# --- what a weight of 0 saves ---------------------------------------------------------------------------------------
@contextmanager
def passes(model: MclForPreTraining) -> Iterator[dict[str, list[bool]]]:
    """Of each pass through an encoder, whether it kept its graph: `{"generator": [True, …], "discriminator": […]}`."""
    seen: dict[str, list[bool]] = {"generator": [], "discriminator": []}

    def note(half: str, *_: Any) -> None:
        seen[half].append(torch.is_grad_enabled())

    encoders = {"generator": model.generator.electra.encoder, "discriminator": model.electra.encoder}
    hooks = [encoder.register_forward_pre_hook(partial(note, half)) for half, encoder in encoders.items()]
    yield seen
    for hook in hooks:
        hook.remove()


def without(*names: str) -> dict[str, float]:
    return {name: weight for name, weight in MCL.items() if name not in names}


@pytest.mark.parametrize(
    ("weights", "generator", "discriminator"),
    [
        # Passes, and how many of them keep a graph.
        (MCL, (5, 4), (5, 5)),
        ({"mlm": 1, "rtd": 50}, (1, 1), (1, 1)),
        (without("mlm"), (5, 3), (5, 5)),
        (without("slm"), (5, 3), (5, 5)),
        (without("re_mlm"), (4, 3), (5, 5)),
        (without("re_slm"), (4, 3), (5, 5)),
        (without("rtd"), (5, 4), (5, 4)),
        (without("std"), (5, 4), (5, 4)),
        (without("itd"), (4, 4), (4, 4)),
        (without("re_rtd"), (5, 4), (4, 4)),
        (without("re_std"), (5, 4), (4, 4)),
        (without("slm", "std", "re_slm", "re_std"), (3, 2), (3, 3)),
        ({"mlm": 1}, (1, 1), (0, 0)),
        ({"rtd": 1}, (1, 0), (1, 1)),
        ({"re_mlm": 1}, (2, 1), (1, 0)),
        ({"re_std": 1}, (1, 0), (2, 1)),
        ({"itd": 1}, (1, 0), (1, 1)),
    ],
    ids=str,
)
def test_a_loss_without_weight_costs_nothing(
    weights: dict[str, float],
    generator: tuple[int, int],
    discriminator: tuple[int, int],
    config: Configs,
    batch: Batches,
) -> None:
    model = MclForPreTraining(config(loss_weights=weights))
    with passes(model) as seen:
        output = model(**batch("none"))
    assert (len(seen["generator"]), sum(seen["generator"])) == generator
    assert (len(seen["discriminator"]), sum(seen["discriminator"])) == discriminator
    assert set(output.losses) == set(weights)


def test_vocabulary_is_projected_to_at_operated_positions_only(config: Configs, batch: Batches) -> None:
    model, widths = MclForPreTraining(config()), []
    model.generator.generator_lm_head.register_forward_hook(lambda *args: widths.append(args[2].shape[1]))
    model(**batch("none"))
    assert len(widths) == 5
    assert set(widths) == {c.operated_count(30, 0.15)}


@pytest.mark.parametrize("heads", ["per_course", "shared"])
def test_heads_exist_only_for_courses_that_have_a_weight(heads: str, config: Configs) -> None:
    def own(**fields: Any) -> list[str]:
        return list(MclForPreTraining(config(detection_heads=heads, **fields)).course_predictions)

    assert own() == (["std", "itd"] if heads == "per_course" else [])
    assert own(objective="electra") == []
    assert own(loss_weights={"rtd": 1, "itd": 1}) == (["itd"] if heads == "per_course" else [])


# --- the notebook's cells -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("average", ["all", "own"])
@pytest.mark.parametrize("padding", ["none", "right"])
def test_empty_cells_give_zero_loss_and_finite_gradients(
    average: str, padding: str, config: Configs, batch: Batches
) -> None:
    """A generator that is always right, and a discriminator that knows: everything is in pos1."""
    model = MclForPreTraining(config(correction_average=average))
    inputs = batch(padding)
    inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] > 3, 9)
    with torch.no_grad():
        model.generator.generator_lm_head.bias[9] = 1e4
        for head in heads_of(model):
            head.dense_prediction.bias.fill_(-1e3)
    output = model(**inputs, output_records=True)
    for course in ("rtd", "std"):
        notebook = output.records[course].notebook
        assert not (notebook.pos2 | notebook.pos3 | notebook.pos4).any()
    for name in ("re_mlm", "re_slm", "re_rtd", "re_std"):
        assert output.losses[name] == 0
    output.loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())
    assert output.loss.isfinite()

    model.zero_grad()
    model.loss_weights = {"re_mlm": 1.0, "re_slm": 1.0, "re_rtd": 1.0, "re_std": 1.0}
    model(**inputs).loss.backward()
    assert not any(gradient.any() for gradient in gradients(model).values())


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("buckets", [0, 8])
def test_rows_with_nothing_to_operate_on_give_finite_gradients(
    buckets: int, autocast: bool, config: Configs, batch: Batches
) -> None:
    model, inputs = MclForPreTraining(config(relative_attention_num_buckets=buckets)), batch("right")
    inputs["input_ids"][0, 1:] = 0  # nothing but [CLS]
    inputs["input_ids"][1] = 0  # nothing at all
    inputs["attention_mask"] = (inputs["input_ids"] != 0).long()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(**inputs, output_records=True)
    output.loss.backward()
    assert not any(record.corruption.valid[:2].any() for record in output.records.values())
    assert output.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


@pytest.mark.parametrize("autocast", [False, True])
def test_losses_are_computed_in_float32(autocast: bool, config: Configs, batch: Batches) -> None:
    """In networks of lower precision, and in others under autocast."""
    model = MclForPreTraining(config())
    if not autocast:
        model.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(**batch("right"))
    assert output.loss.dtype == torch.float32
    assert {loss.dtype for loss in output.losses.values()} == {torch.float32}
    assert all(0 < loss < 20 for loss in output.losses.values())


# --- metrics --------------------------------------------------------------------------------------------------------
@PADDING
def test_metrics_are_those_of_the_records(padding: str, config: Configs, batch: Batches) -> None:
    model = undecided(MclForPreTraining(config(mask_ratio=0.3, swap_ratio=0.3)), inputs := batch(padding))
    output = model(**inputs, output_records=True)
    assert not any(value.requires_grad for value in output.metrics.values())
    figures = summarize_metrics(output.metrics)
    for name, loss in output.losses.items():
        assert figures[f"{name}_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for course, record in output.records.items():
        mask = record.corruption.attention_mask
        present = torch.ones_like(record.labels) if mask is None else mask.bool()
        judged, labels = (record.logits > 0)[present], record.labels[present]
        assert figures[f"{course}_disc_accuracy"] == (judged == labels).sum().item() / len(labels)
        assert figures[f"{course}_disc_recall"] == (judged & labels).sum().item() / labels.sum().item()
        assert figures[f"{course}_disc_loss"] == figures[f"{course}_loss"]
        assert output.metrics[f"{course}_detection"][:4].sum() == present.sum()
        if course == "itd":
            assert "itd_masked_lm_accuracy" not in figures
            continue
        hits = (record.samples == record.corruption.labels)[record.corruption.valid]
        assert figures[f"{course}_sampled_masked_lm_accuracy"] == pytest.approx(hits.float().mean().item())
        notebook = record.notebook
        cells = [int(cell.sum()) for cell in (notebook.pos1, notebook.pos2, notebook.pos3, notebook.pos4)]
        assert output.metrics[f"{course}_notebook"].tolist() == cells
        assert sum(cells) == present.sum()


def test_metrics_of_batches_give_the_mean_over_all_positions(config: Configs, batch: Batches) -> None:
    model = MclForPreTraining(config(objective="electra"))
    total: dict[str, Tensor] = {}
    sums = [0.0, 0]
    for padding in ("none", "right"):
        output = model(**batch(padding), output_records=True)
        count = int(output.records["rtd"].corruption.valid.sum())
        sums = [sums[0] + output.losses["mlm"].item() * count, sums[1] + count]
        add_metrics(total, output.metrics)
    assert summarize_metrics(total)["mlm_loss"] == pytest.approx(sums[0] / sums[1], rel=1e-6)


# --- draws, shapes and limits ---------------------------------------------------------------------------------------
def test_all_draws_come_from_the_given_generator(config: Configs, batch: Batches) -> None:
    model, inputs, state = MclForPreTraining(config()), batch("right"), torch.get_rng_state()
    first, second = (model(**inputs, generator=seeded(4)) for _ in range(2))
    assert first.losses == second.losses
    assert first.losses != model(**inputs, generator=seeded(5)).losses
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(1)
    without_one = model(**inputs).losses
    torch.manual_seed(1)
    assert model(**inputs).losses == without_one


def test_packed_rows_may_be_as_long_as_the_model_has_positions_for(config: Configs) -> None:
    ids = torch.randint(4, 12, (2, 40), generator=seeded())
    ids[:, 0], ids[:, -1] = 1, 2
    record = MclForPreTraining(config())(ids, output_records=True).records["itd"]
    assert record.corruption.attention_mask is None
    assert record.discriminator_input.shape == (2, 40)
    assert record.discriminator_input[:, -1].tolist() == [2, 2]
    assert record.corruption.valid.sum(1).tolist() == [6, 6]
    assert record.labels.sum(1).tolist() == [6, 6]


@pytest.mark.parametrize("weights", [{"mlm": 1, "rtd": 1}, {"itd": 1}], ids=["rtd", "itd"])
def test_a_row_longer_than_the_positions_is_refused(weights: dict[str, float], config: Configs) -> None:
    with pytest.raises(UserError, match=r"41 tokens.*max_position_embeddings=40"):
        MclForPreTraining(config(loss_weights=weights))(torch.full((1, 41), 9))


def test_tokenizers_and_trainers_may_pass_what_they_do(config: Configs, batch: Batches) -> None:
    model, inputs = MclForPreTraining(config()), batch("right")
    extra = {"token_type_ids": torch.ones_like(inputs["input_ids"]), "return_loss": True}
    assert model(**inputs, **extra, generator=seeded()).loss.equal(model(**inputs, generator=seeded()).loss)


def test_generator_and_discriminator_share_what_they_should(config: Configs) -> None:
    for shares in ("token", "all"):
        model = MclForPreTraining(config(generator_shares=shares))
        ours, its = (
            dict(half.named_parameters()) for half in (model.electra.embeddings, model.generator.electra.embeddings)
        )
        same = {name for name in ours if ours[name] is its[name]}
        assert same == (set(ours) if shares == "all" else {"word_embeddings.weight"})
        assert model.generator.generator_lm_head.weight is ours["word_embeddings.weight"]


@pytest.mark.parametrize("objective", ["mcl", "electra"])
def test_a_backward_as_soon_as_each_loss_is_known_gives_the_same_gradients(
    config: Configs, batch: Batches, objective: str
) -> None:
    model = MclForPreTraining(config(objective=objective)).train()
    draws = torch.Generator()
    gradients, totals, early = [], [], []

    def note(loss: Tensor) -> None:
        early.append(loss.detach())
        loss.backward()

    for backward in (None, note):
        model.zero_grad()
        output = model(**batch("right"), generator=draws.manual_seed(0), backward=backward)
        output.loss.backward()
        totals.append(output.loss.detach())
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(totals[0], totals[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    # All but the last, which is the caller's.
    weights = [model.config.weights[name] * loss for name, loss in output.losses.items()]
    torch.testing.assert_close(early, weights[:-1])


def counted(parts: list[dict[str, Tensor]], model: MclForPreTraining) -> dict[str, Tensor]:
    counts = [model.count_items(part["input_ids"], part.get("attention_mask")) for part in parts]
    return {name: sum((count[name] for count in counts), torch.tensor(0)) for name in counts[0]}


@pytest.mark.parametrize("padding", ["none", "right"])
def test_items_counted_beforehand_are_what_the_losses_are_divided_by(
    padding: str, config: Configs, batch: Batches
) -> None:
    # Rows so long that some gain fewer slots than they lose tokens, and rows of several lengths.
    for longest in (64, batch("none")["input_ids"].shape[1]):
        model = MclForPreTraining(config(max_position_embeddings=longest))
        output = model(**batch(padding))
        counts = {name: output.metrics[name][1].item() for name in output.losses}
        assert {name: count.item() for name, count in model.count_items(**batch(padding)).items()} == counts


@pytest.mark.parametrize("average", ["all", "own"])
def test_losses_divided_by_the_items_of_several_batches(average: str, config: Configs, batch: Batches) -> None:
    model = undecided(MclForPreTraining(config(correction_average=average)), batch("right"))
    parts = [{name: value[i : i + 1] for name, value in batch("right").items()} for i in range(2)]
    items = counted(parts, model)
    for part in parts:
        alone, shared = (model(**part, generator=seeded(), num_items_in_batch=given) for given in (None, items))
        own = model.count_items(**part)
        for name, loss in shared.losses.items():
            share = own[name] / items[name]
            assert share < 1
            torch.testing.assert_close(loss, alone.losses[name] * share)
    if average == "own":
        assert {items[name].item() for name in ("re_mlm", "re_slm", "re_rtd", "re_std")} == {2}


def rows_of(inputs: dict[str, Any], times: int) -> dict[str, Any]:
    return {name: value.repeat(times, 1) for name, value in inputs.items()}


@pytest.mark.parametrize("padding", ["none", "right"])
def test_sampled_courses_share_the_rows(padding: str, config: Configs, batch: Batches) -> None:
    inputs = rows_of(batch(padding), 4)
    model = MclForPreTraining(config(course_schedule="sampled")).train()
    output = model(**inputs, output_records=True)
    rows = {course: len(record.corruption.input_ids) for course, record in output.records.items()}
    total = len(inputs["input_ids"])
    assert rows == {name: len(range(i, total, 3)) for i, name in enumerate(COURSES)} and sum(rows.values()) == total
    clean = inputs["input_ids"][1::3]
    operated = output.records["std"].corruption
    assert torch.equal(operated.labels[operated.valid], clean.gather(1, operated.positions)[operated.valid])
    whole = model.eval()(**inputs, output_records=True)  # so that models are judged alike
    assert {len(record.corruption.input_ids) for record in whole.records.values()} == {total}


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_over_a_run_every_course_gets_its_share_of_the_rows(batch_size: int, config: Configs, batch: Batches) -> None:
    model = MclForPreTraining(config(course_schedule="sampled")).train()
    inputs = {name: value[:batch_size] for name, value in rows_of(batch("right"), 2).items()}
    taken = dict.fromkeys(COURSES, 0)
    for step in range(6):
        counts = model.count_items(**inputs)
        output = model(**inputs, output_records=True)
        assert output.loss.isfinite() and output.loss.requires_grad
        for name, record in output.records.items():
            taken[name] += len(record.original)
        present = {name: int(output.metrics[name][1]) for name in output.losses if not name.startswith("re_")}
        expected = {name: int(counts[name]) for name in present}
        assert present == expected, step
        assert not any(counts[name] for name in counts if name not in output.losses)
    assert set(taken.values()) == {2 * batch_size}


def test_sampled_courses_go_on_where_they_are_told_to(config: Configs, batch: Batches) -> None:
    model = MclForPreTraining(config(course_schedule="sampled")).train()
    inputs = {name: value[:1] for name, value in batch("none").items()}
    taken = []
    for turn in (2, None, 1):
        if turn is not None:
            model.turn = turn
        taken += model(**inputs, output_records=True).records
    assert taken == ["itd", "rtd", "std"]


def test_corrections_run_on_a_share_of_the_rows(config: Configs, batch: Batches) -> None:
    inputs = rows_of(batch("right"), 2)
    half = len(inputs["input_ids"]) // 2
    model = undecided(MclForPreTraining(config(correction_rows=0.5)), inputs).train()
    record = model(**inputs, output_records=True).records["rtd"]
    assert len(record.discriminator_input) == 2 * half
    assert len(record.regeneration_input) == len(record.rediscrimination_input) == half
    part = record.first_rows(half)
    expected = rediscrimination_input(inputs["input_ids"][:half], part.discriminator_input, part.notebook)
    assert torch.equal(record.rediscrimination_input, expected)


@pytest.mark.parametrize("average", ["all", "own"])
def test_items_are_counted_on_the_rows_that_are_trained_on(average: str, config: Configs, batch: Batches) -> None:
    inputs = rows_of(batch("right"), 4)
    lite = {"course_schedule": "sampled", "correction_rows": 0.5, "correction_average": average}
    model = MclForPreTraining(config(**lite)).train()
    output = model(**inputs)
    known = [name for name in output.losses if average == "all" or not name.startswith("re_")]
    items = model.eval().count_items(**inputs, turn=0)  # whatever mode an evaluation left
    assert {name: items[name].item() for name in known} == {name: output.metrics[name][1].item() for name in known}


def test_sharing_does_not_depend_on_other_fields(config: Configs) -> None:
    """ELECTRA's `tie_word_embeddings=False` would switch off all sharing; here `generator_shares` decides."""
    try:
        model = MclForPreTraining(config(tie_word_embeddings=False))
    except UserError as error:
        assert "tie_word_embeddings" in str(error)  # noqa: PT017
    else:
        word_embeddings = model.electra.embeddings.word_embeddings.weight
        assert model.generator.electra.embeddings.word_embeddings.weight is word_embeddings


@pytest.mark.parametrize("objective", ["electra", pytest.param("mcl", marks=pytest.mark.slow)])
def test_a_training_step_compiles_to_one_graph(objective: str, config: Configs, batch: Batches) -> None:
    fields = {"num_hidden_layers": 1, "max_position_embeddings": 30}
    model, inputs = MclForPreTraining(config(objective=objective, **fields)), batch("none")
    explained = torch._dynamo.explain(model)(**inputs)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)
