"""LoRA: what it trains, saves and merges."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from transformers_mcl.cli.main import main

peft = pytest.importorskip("peft")
Command = Callable[..., list[str]]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own, of what transformers renamed
def test_an_adapter_is_trained_saved_and_merged(
    command: Command, bert: str, glue_folder: str, tmp_path: Path, refused: Any
) -> None:
    bert_copy = shutil.copytree(bert, tmp_path / "bert")
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--lora", "true", "--lora_dropout", "0")
    words += ["--model_name_or_path", str(bert_copy)]
    words += ["--learning_rate", "2e-2", "--num_train_epochs", "12", "--eval_strategy", "epoch"]
    best = ["--load_best_model_at_end", "true", "--save_strategy", "epoch", "--save_total_limit", "1"]
    assert main([*words, *best]) == 0
    out = tmp_path / "out"
    (run,) = json.loads((out / "results.json").read_text())["runs"]
    assert run["metrics"]["accuracy"] == 1
    merged, before = load_file(out / "model.safetensors"), load_file(Path(bert) / "model.safetensors")
    changed = {name for name, weight in before.items() if not torch.equal(weight, merged[f"bert.{name}"])}
    linear = {
        name for name in before if name.startswith("encoder") and name.endswith("weight") and before[name].ndim > 1
    }
    assert {name for name in changed if not name.startswith("pooler")} == linear
    plain: Any = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2)
    adapted = peft.PeftModel.from_pretrained(plain, out / "adapter").merge_and_unload()
    for name, weight in adapted.state_dict().items():
        torch.testing.assert_close(weight, merged[name], rtol=1e-5, atol=1e-6)
    # The adapter is opened as the model that it makes, its classes and tokenizer with it, and can be trained further.
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--model_name_or_path", str(out / "adapter"))
    assert main([*words, "--do_train", "false", "--output_dir", str(tmp_path / "checked")]) == 0
    assert main([*words, "--max_steps", "2", "--output_dir", str(tmp_path / "further")]) == 0
    (checked,), (further,) = (
        json.loads((tmp_path / name / "results.json").read_text())["runs"] for name in ("checked", "further")
    )
    figures = ("accuracy", "loss")
    assert [checked["metrics"][name] for name in figures] == pytest.approx([run["metrics"][name] for name in figures])
    assert further["metrics"]["accuracy"] == 1
    trained = load_file(tmp_path / "further" / "model.safetensors")
    assert trained.keys() == merged.keys() and any(not torch.equal(trained[name], merged[name]) for name in merged)
    shutil.rmtree(bert_copy)
    assert "is an adapter without one; and of its model" in refused([*words, "--output_dir", str(tmp_path / "lost")])


def test_what_an_adapter_needs(
    command: Command, glue_folder: str, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command("--task_name", "sst2", "--dataset_name", glue_folder, "--lora", "true")
    assert "lora_target_modules: No modules were targeted" in refused([*words, "--lora_target_modules", "no_such"])
    assert "layerwise_learning_rate_decay has no meaning beside lora" in refused(
        [*words, "--layerwise_learning_rate_decay", "0.9"]
    )
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "lora=True needs PEFT: pip install" in refused(words)
    assert not (tmp_path / "out").exists()
