"""Results where the Hub's leaderboards find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, parse_eval_result_entries

from transformers_mcl.hub import card_results

REGISTERED = {"name": "CoLA", "tasks": [{"id": "cola", "config": "cola", "split": "validation"}]}


def result(dataset: str, split: str | None, metric: str, value: float, config: str | None = "cola") -> EvalResult:
    data: dict[str, Any] = {"dataset_type": dataset, "dataset_name": dataset, "dataset_split": split}
    metrics: dict[str, Any] = {"metric_type": metric, "metric_value": value}
    return EvalResult(task_type="text-classification", dataset_config=config, **data, **metrics)


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that has two data sets, of which one is a registered benchmark."""

    def fetched(name: str, file: str, **rest: Any) -> str | None:
        assert (file, rest["repo_type"]) == ("eval.yaml", "dataset")
        if name == "ada/gone":
            raise OSError("no such repository")
        if name != "ada/glue":
            return None
        (tmp_path / "eval.yaml").write_text(yaml.safe_dump(REGISTERED))
        return str(tmp_path / "eval.yaml")

    monkeypatch.setattr(card_results, "cached_file", fetched)


def test_results_on_a_registered_benchmark(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    results = [
        result("ada/glue", "validation", "matthews_correlation", 0.5),
        result("ada/glue", "validation", "accuracy", 0.75),  # not the main one
        result("ada/other", "validation", "accuracy", 0.25),
    ]
    card_results.save_registered(folder, results)
    (file,) = (folder / ".eval_results").iterdir()
    assert file.name == "ada--glue--cola.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("ada/glue", "cola", 0.5)


@pytest.mark.parametrize(
    "other",
    [
        result("ada/glue", "validation[:64]", "accuracy", 0.5),
        result("ada/glue", "test", "accuracy", 0.5),
        result("ada/glue", "validation", "accuracy", 0.5, config="sst2"),
        result("ada/gone", "validation", "accuracy", 0.5),
        result("files", None, "accuracy", 0.5),
    ],
)
def test_all_else_is_no_such_result(other: EvalResult, tmp_path: Path) -> None:
    card_results.save_registered(tmp_path / "model", [other])
    assert not (tmp_path / "model").exists()
