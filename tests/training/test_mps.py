"""Apple's MPS has no float64: a step, its figures, an evaluation and the optimizers make none there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.as_mps import MPS, OnMps, moved, mps
from tests.training.conftest import LENGTH, VOCABULARY, tiny_config
from transformers_mcl import MclForPreTraining, MclTrainingArguments
from transformers_mcl.method.courses import OBJECTIVES
from transformers_mcl.method.metrics import add_metrics, detection_sums, summarize_metrics, verdicts
from transformers_mcl.training.metric_sums import Meter
from transformers_mcl.training.optimizers import optimizer_and_groups


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    with mps():
        yield


def pair(**fields: Any) -> MclForPreTraining:
    torch.manual_seed(0)
    model = MclForPreTraining(tiny_config(hidden_dropout_prob=0.1, **fields))
    moved(model)
    return model


def batch() -> Tensor:
    ids = torch.randint(5, VOCABULARY, (4, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 2, 3
    return OnMps(ids)


def test_float64_is_refused_there_and_only_there() -> None:
    there = torch.ones(2, device="mps")
    assert isinstance(there, OnMps) and there.device == MPS
    assert (there + 1).cpu().double().sum() == 4 and not isinstance(there.cpu(), OnMps)
    with pytest.raises(TypeError, match="float64"):
        there.double()
    with pytest.raises(TypeError, match="float64"):
        torch.zeros(2, dtype=torch.float64, device=there.device)


@pytest.mark.parametrize("schedule", ["all", "sampled"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_and_its_figures(objective: str, schedule: str) -> None:
    model, meter = pair(objective=objective, course_schedule=schedule), Meter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    table: Any = model.get_input_embeddings()
    before = table.weight.detach().cpu().clone()
    outputs = model(batch(), attention_mask=torch.ones(4, LENGTH, dtype=torch.int64, device=MPS))
    outputs.loss.backward()
    optimizer.step()
    assert not table.weight.detach().cpu().equal(before)
    meter.add(outputs.metrics, outputs.losses, step=1)
    meter.read(cast(Any, SimpleNamespace(num_processes=1)))
    figures = summarize_metrics(meter.sums)
    assert not meter.broken and math.isfinite(figures["mlm_loss" if "mlm" in outputs.losses else next(iter(figures))])


def test_an_evaluation_and_what_is_read_from_the_device() -> None:
    model = pair(objective="mcl").eval()
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        outputs = model(batch(), generator=torch.Generator().manual_seed(0), output_records=True)
    add_metrics(sums, outputs.metrics)
    for course in model.active_courses:
        logits, labels, judged = verdicts(outputs.records[course]).unbind(1)
        sums[f"{course}_detection"] = detection_sums(logits, labels, judged)
    assert all(isinstance(value, OnMps) for value in sums.values())
    assert 0 <= summarize_metrics(sums)["rtd_disc_auc"] <= 1


@pytest.mark.parametrize(
    "arguments", [{"optim": "muon"}, {"generator_learning_rate": 1e-3}], ids=["muon", "two rates"]
)
def test_our_optimizers(arguments: dict[str, Any], tmp_path: Any) -> None:
    model = pair(objective="electra")
    args = MclTrainingArguments(str(tmp_path), use_cpu=True, **arguments)
    kind, values = optimizer_and_groups(args, model)
    optimizer = kind(**{"params": model.parameters(), **values})
    for _ in range(2):
        optimizer.zero_grad()
        model(batch()).loss.backward()
        optimizer.step()
