"""The benchmark of other families runs, and what it compares is comparable."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from transformers_mcl import MclForPreTraining

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"
FAMILIES = ("bert", "roberta", "modernbert", "deberta-v2", "distilbert", "electra")


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("families")


@pytest.mark.slow
def test_script_prints_tables_and_writes_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    flags = {
        "vocab_size": "400",
        "batch_size": "2",
        "max_seq_length": "16",
        "num_hidden_layers": "3",
        "generator_num_hidden_layers": "2",
        "hidden_size": "16",
        "num_attention_heads": "2",
        "intermediate_size": "24",
        "rounds": "2",
        "warmup_rounds": "0",
        "profile_below": "100",
        "json": str(out),
    }
    given = [word for name, value in flags.items() for word in (f"--{name}", value)]
    command = [sys.executable, str(FOLDER / "families.py"), *given, "--families", "bert", "distilbert"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(out.read_text())["families"]
    assert list(figures) == ["bert", "distilbert"]
    ours, plain, mcl = figures["bert"].values()
    assert ours["ratio"] == 1.0 and len(plain["rounds"]) == 2
    assert ours["gflop"] < plain["gflop"] < mcl["gflop"]
    assert ours["operators"]["aten::mm"] > 0
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 * (2 + 3 + 2 + 11)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_pair_of_a_family_is_ours_but_for_the_draws(families: Any, family: str, seeded: int) -> None:
    arguments = families.FamilyArguments(vocab_size=400, num_hidden_layers=3, hidden_size=32, intermediate_size=48)
    config = families.configuration(family, "electra", arguments)
    ours, theirs = MclForPreTraining(config).eval(), families.PlainFamily(config).eval()
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    theirs.generator.load_state_dict(ours.generator.state_dict())
    theirs.discriminator.encoder.load_state_dict(ours.discriminator.state_dict())
    theirs.discriminator.head.load_state_dict(ours.discriminator_predictions.dense_prediction.state_dict())
    clean = torch.randint(104, 400, (32, 62))
    clean[:, 0], clean[:, -1] = config.cls_token_id, config.sep_token_id
    losses = [model.item() for model in (theirs(clean), ours(clean).loss)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_families_of_the_table_are_tested(families: Any) -> None:
    assert tuple(families.FAMILIES) == FAMILIES
