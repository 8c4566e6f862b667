"""The benchmark runs, and what it compares is comparable."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from transformers_mcl import MclConfig, MclForPreTraining

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"
SHAPE = ["--preset", "tiny", "--vocab_size", "400", "--batch_size", "2", "--max_seq_length", "16"]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("plain")


def run(*arguments: str) -> str:
    command = [sys.executable, str(FOLDER / "step_time.py"), *SHAPE, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_script_prints_tables_and_writes_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    sides = ["our electra", "plain mcl"]
    printed = run("--rounds", "2", "--warmup_rounds", "0", "--memory", "false", "--json", str(out), "--sides", *sides)
    figures = json.loads(out.read_text())
    assert list(figures["sides"]) == sides
    assert figures["sides"]["our electra"]["ratio"] == 1.0
    assert len(figures["sides"]["plain mcl"]["rounds"]) == 2
    assert {"mlm", "re_std", "itd_fill", "clipping and optimizer"} <= set(figures["passes"])
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(sides) + 2 + len(figures["passes"])


@pytest.mark.slow
def test_what_torch_would_do_in_attention_is_listed_beside_ours(tmp_path: Path) -> None:
    out, sides = tmp_path / "figures.json", ["our electra, relative bias, as torch", "our electra, relative bias"]
    given = ["--rounds", "1", "--warmup_rounds", "0", "--memory", "false", "--passes", "false", "--operators", "true"]
    run(*given, "--json", str(out), "--sides", *sides)
    figures = json.loads(out.read_text())
    theirs, ours = (figures["operators"][side] for side in sides)
    assert "passes" not in figures
    assert theirs["aten::isneginf"] > 0
    assert "aten::isneginf" not in ours


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by Linux")
@pytest.mark.slow
def test_peak_memory_grows_with_the_batch() -> None:
    few, many = (float(run("--peak_memory_of", "our electra", "--batch_size", size)) for size in ("4", "64"))
    assert many > few + 20e6


def sizes(model: torch.nn.Module) -> int:
    """Parameters, those shared counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("generator_shares", ["token", "all"])
def test_plain_pair_is_ours_without_the_bias(plain: Any, generator_shares: str) -> None:
    config = MclConfig.tiny(
        vocab_size=400, objective="electra", relative_attention_num_buckets=0, generator_shares=generator_shares
    )
    assert sizes(plain.PlainElectra(config)) == sizes(MclForPreTraining(config))


@pytest.mark.parametrize("name", ["PlainElectra", "PlainElectraSamplingEverywhere", "PlainMcl"])
def test_plain_loss_is_ours_but_for_the_draws(plain: Any, name: str, seeded: int) -> None:
    config = MclConfig.tiny(
        vocab_size=400,
        objective="mcl" if name == "PlainMcl" else "electra",
        relative_attention_num_buckets=0,
        detection_heads="shared",
    )
    ours, theirs = MclForPreTraining(config).train(), getattr(plain, name)(config).train()
    weights = ours.state_dict()
    theirs.discriminator.load_state_dict({k: v for k, v in weights.items() if not k.startswith("generator.")})
    theirs.generator.load_state_dict(ours.generator.state_dict())
    clean = torch.randint(104, 400, (32, 62))
    clean[:, 0], clean[:, -1] = config.cls_token_id, config.sep_token_id
    losses = [model.item() for model in (theirs(clean), ours(clean).loss)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_plain_corruptions_are_those_of_the_method(plain: Any, seeded: int) -> None:
    config = MclConfig.tiny(vocab_size=400, relative_attention_num_buckets=0)
    clean = torch.randperm(290)[:62].repeat(2, 1) + 104
    clean[:, 0], clean[:, -1] = config.cls_token_id, config.sep_token_id
    model = plain.PlainMcl(config)
    swapped, labels = model.swapped(clean)
    assert ((swapped != clean) == (labels != -100)).all()
    assert (swapped != clean).sum(1).tolist() == [9, 9]
    assert (swapped.sort(1).values == clean.sort(1).values).all()
    longer, where = model.inserted(clean)
    assert where.sum(1).tolist() == [9, 9]
    assert (longer[where] == config.mask_token_id).all()
    assert (longer[~where].view_as(clean) == clean).all()
    assert not where[:, [0, -1]].any()
    masked, labels, attention_mask = model.masked(clean)
    assert ((masked == config.mask_token_id) == (labels != -100)).all()
    assert attention_mask.all()
