"""What a run is watched by: sums that are exact, and the figures they give."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from transformers_mcl.method.metrics import (
    add_metrics,
    detection_sums,
    generator_counts,
    summarize_metrics,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def judged(seed: int, size: tuple[int, int] = (16, 60), scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits that know something of the labels, labels, and what is not padding."""
    draws = generator(seed)
    labels = torch.rand(size, generator=draws) < 0.2
    logits = (torch.randn(size, generator=draws) + labels.float()) * scale
    present = torch.rand(size, generator=draws) < 0.8
    return logits, labels, present


def exact_auc(logits: Tensor, labels: Tensor) -> float:
    """Of all pairs of a replaced and an original token, the share with the replaced one's logit above; ties half."""
    pairs = logits.double()[labels][:, None] - logits.double()[~labels][None]
    return ((pairs > 0).double() + (pairs == 0).double() / 2).mean().item()


@pytest.mark.parametrize("centre", [0.0, -1.9])
@pytest.mark.parametrize("scale", [0.002, 0.01, 2.0, 30.0])
def test_detection_figures_at_any_scale(scale: float, centre: float) -> None:
    logits, labels, present = judged(0, scale=scale)
    logits = logits + centre
    figures = summarize_metrics({"std_detection": detection_sums(logits, labels, present)})
    logits, labels = logits[present], labels[present]
    called = logits > 0
    if called.any():
        assert figures["std_disc_precision"] == (called & labels).sum().item() / called.sum().item()
    assert set(figures) >= {"std_disc_auc", "std_disc_accuracy", "std_disc_recall"}
    assert figures["std_disc_accuracy"] == (called == labels).sum().item() / len(labels)
    assert figures["std_disc_recall"] == (called & labels).sum().item() / labels.sum().item()
    assert figures["std_disc_auc"] == pytest.approx(exact_auc(logits, labels), abs=1e-6)
    sklearn = pytest.importorskip("sklearn.metrics")
    assert figures["std_disc_auc"] == pytest.approx(sklearn.roc_auc_score(labels.long(), logits), abs=1e-6)


def test_ties_count_half() -> None:
    draws = generator(3)
    logits = torch.randint(-4, 5, (8, 50), generator=draws) / 4
    labels = torch.rand(8, 50, generator=draws) < 0.3
    figures = summarize_metrics({"rtd_detection": detection_sums(logits, labels, torch.ones(8, 50))})
    assert figures["rtd_disc_auc"] == pytest.approx(exact_auc(logits, labels), abs=1e-6)
    nothing_known = detection_sums(torch.full((8, 50), 0.7), labels, torch.ones(8, 50))
    assert summarize_metrics({"rtd_detection": nothing_known})["rtd_disc_auc"] == 0.5


def test_border_between_the_verdicts_is_exactly_zero() -> None:
    tiny = torch.finfo(torch.float32).tiny
    logits = torch.tensor([[-1e-9, -tiny, -0.0, 0.0, tiny, 1e-9, 1e-6]])
    sums = detection_sums(logits, torch.zeros(1, 7, dtype=torch.bool), torch.ones(1, 7))
    assert sums.tolist() == [4, 0, 3, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_large_logits_and_other_precisions_count(dtype: torch.dtype) -> None:
    logits = torch.tensor([[-1e6, -50.0, 50.0, 1e6]], dtype=dtype)
    labels = torch.tensor([[False, False, True, True]])
    sums = detection_sums(logits, labels, torch.ones(1, 4))
    assert sums.dtype == torch.float32 and sums.tolist() == [2, 0, 0, 2, 4, 4]


def test_generator_counts() -> None:
    draws = generator(1)
    logits = torch.randn(4, 9, 5, generator=draws)
    samples = torch.randint(0, 5, (4, 9), generator=draws)
    labels = torch.randint(0, 5, (4, 9), generator=draws)
    valid = torch.rand(4, 9, generator=draws) < 0.7
    counts = generator_counts(logits, samples, labels, valid)
    right = sum(
        int(logits[i, j].tolist().index(max(logits[i, j].tolist())) == labels[i, j])
        for i, j in valid.nonzero().tolist()
    )
    sampled = sum(int(samples[i, j] == labels[i, j]) for i, j in valid.nonzero().tolist())
    assert counts.tolist() == [right, sampled, int(valid.sum())]
    assert 0 < right != sampled
    figures = summarize_metrics({"std_generator": counts, "slm": torch.tensor([6.0, 4.0])})
    assert figures["std_masked_lm_accuracy"] == pytest.approx(right / int(valid.sum()))
    assert figures["std_sampled_masked_lm_accuracy"] == pytest.approx(sampled / int(valid.sum()))
    assert figures["std_masked_lm_loss"] == figures["slm_loss"] == 1.5


def test_batches_add_up() -> None:
    """Verdicts to those of the whole; areas to the mean of the batches', weighted by pairs, whatever their offsets."""
    logits, labels, present = judged(2)
    total: dict[str, Tensor] = {}
    areas, pairs = [], []
    for part in range(4):
        rows = slice(4 * part, 4 * part + 4)
        its, own = logits[rows] + 5 * part, labels[rows]
        add_metrics(total, {"itd_detection": detection_sums(its, own, present[rows])})
        its, own = its[present[rows]], own[present[rows]]
        areas.append(exact_auc(its, own))
        pairs.append(own.sum().item() * (~own).sum().item())
    weighted = sum(area * n for area, n in zip(areas, pairs, strict=True)) / sum(pairs)
    assert summarize_metrics(total)["itd_disc_auc"] == pytest.approx(weighted, abs=1e-6)
    assert total["itd_detection"][:4].sum() == present.sum()


def test_sums_stay_exact_in_long_runs() -> None:
    """In float32 a count stands still from 16,777,216 on."""
    total = {"mlm": torch.tensor([0.5, 2.0**24], dtype=torch.float64)}
    part = {"mlm": torch.tensor([0.0, 1.0])}
    for _ in range(3):
        add_metrics(total, part)
    assert total["mlm"].tolist() == [0.5, 2.0**24 + 3]
    fresh: dict[str, Tensor] = {}
    add_metrics(fresh, part)
    assert fresh["mlm"].dtype == torch.float64
    add_metrics(fresh, part)
    assert part["mlm"].tolist() == [0.0, 1.0]
    counts: dict[str, Tensor] = {}
    add_metrics(counts, {"rtd_notebook": torch.tensor([1, 2, 3, 4])})
    assert counts["rtd_notebook"].tolist() == [1, 2, 3, 4]


def test_losses_are_means_over_everything_seen() -> None:
    total: dict[str, Tensor] = {}
    for name in ("mlm", "rtd", "re_std"):
        add_metrics(total, {name: torch.tensor([3.0, 1.0])})
        add_metrics(total, {name: torch.tensor([1.0, 7.0])})
    figures = summarize_metrics(total)
    assert figures == {"mlm_loss": 0.5, "rtd_loss": 0.5, "re_std_loss": 0.5}


def test_discriminator_figures_by_course_hold_its_loss() -> None:
    logits, labels, present = judged(4)
    sums = detection_sums(logits, labels, present)
    figures = summarize_metrics({"itd_detection": sums, "itd": torch.tensor([1.0, 4.0])})
    assert figures["itd_disc_loss"] == figures["itd_loss"] == 0.25


def test_cells_of_the_notebook_are_shares_of_all_judged_tokens() -> None:
    figures = summarize_metrics({"std_notebook": torch.tensor([70, 15, 10, 5])})
    assert figures == {f"std_notebook_pos{i}": share for i, share in enumerate((0.7, 0.15, 0.1, 0.05), start=1)}
    assert summarize_metrics({"rtd_notebook": torch.zeros(4)}) == {}


def test_figures_without_a_denominator_are_left_out() -> None:
    nothing_called = detection_sums(-torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool), torch.ones(1, 3))
    figures = summarize_metrics(
        {"rtd_detection": nothing_called, "mlm": torch.zeros(2), "rtd_generator": torch.zeros(3)}
    )
    assert figures == {"rtd_disc_accuracy": 1.0}


def test_a_loss_that_is_not_a_number_is_shown() -> None:
    figures = summarize_metrics({"mlm": torch.tensor([math.nan, 3.0])})
    assert math.isnan(figures["mlm_loss"])


def test_logits_that_are_not_numbers_are_counted_somewhere() -> None:
    """A loss that is NaN ends a run when it is read: its metrics must not end it before, on a device beyond rescue."""
    logits = torch.tensor([[torch.nan, torch.inf, -torch.inf, 0.5]])
    counts = detection_sums(logits, torch.zeros(1, 4, dtype=torch.bool), torch.ones(1, 4))
    assert counts[:4].sum() == 4 and counts.isfinite().all()
