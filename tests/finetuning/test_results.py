"""Medians, the best setting, the average, the table and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from transformers_mcl.finetuning import results
from transformers_mcl.finetuning.results import averaged, results_markdown, results_tex, save_results, summarize_runs


def run(task: str, seed: int, score: float, **settings: Any) -> dict[str, Any]:
    metrics = {"accuracy": score, "loss": 1.0, "total": 9}
    return {"task": task, "main_metric": "accuracy", "seed": seed, "settings": settings, "metrics": metrics}


def test_median_and_spread_and_the_best_setting() -> None:
    scores = {1e-5: [0.5, 0.7, 0.9, 0.6, 0.8], 2e-5: [0.75, 0.72, 0.71, 0.1, 0.99]}
    runs = [
        run("rte", seed, score, learning_rate=rate) for rate, row in scores.items() for seed, score in enumerate(row)
    ]
    low, high = summarize_runs(runs)
    assert low["metrics"]["accuracy"] == pytest.approx(
        {"median": 0.7, "min": 0.5, "max": 0.9, "mean": 0.7, "std": 0.025**0.5}
    )
    assert high["metrics"]["accuracy"]["median"] == 0.72
    assert (low["best"], high["best"]) == (False, True)
    text = results_markdown([low, high])
    assert "| rte | **accuracy** | 0.7200 | 0.6540 ± 0.3303 | 0.1000 | 0.9900 | 5 | learning_rate 2e-05 |" in text
    assert "total" not in text
    assert "chosen on the same validation set" in text


def test_the_average_is_of_eight_tasks() -> None:
    names = ["qqp", "qnli", "sst2", "cola", "rte", "mrpc", "stsb", "wnli"]
    runs = [run(name, 0, 0.0 if name == "wnli" else 0.5) for name in names]
    assert averaged(summarize_runs(runs)) is None
    runs.append(run("mnli", 0, 0.8))
    runs[-1]["metrics"]["accuracy_mm"] = 1.0
    assert averaged(summarize_runs(runs)) == pytest.approx((7 * 0.5 + 0.9) / 8)


def test_files(tmp_path: Path) -> None:
    runs = [run("rte", 0, 0.5), run("rte", 1, float("nan")), run("cola", 0, 0.25)]
    text = save_results(runs, tmp_path, "a model", model="m")
    written = json.loads((tmp_path / "results.json").read_text())
    assert (written["model"], len(written["runs"]), len(written["summary"])) == ("m", 3, 2)
    assert written["summary"][0]["metrics"]["accuracy"]["median"] == 0.5  # of what is a number
    assert text in (tmp_path / "results.md").read_text()
    assert (tmp_path / "results.tex").read_text() == results_tex(written["summary"])
    with Image.open(tmp_path / "results.png") as picture:
        assert picture.width > 500


def test_percentages_are_drawn_beside_shares() -> None:
    scales = {task: results._scale({"task": task}) for task in ("cola", "squad_v2", "question_answering")}
    assert scales == {"cola": 1, "squad_v2": 0.01, "question_answering": 0.01}


def test_a_run_that_diverged_is_of_no_figure_and_never_the_best(tmp_path: Path) -> None:
    lost = {"diverged": True}
    runs = [run("rte", 0, 0.5, rate=1), run("rte", 0, 0.9, rate=2) | lost]
    low, high = summarize_runs(runs)
    assert (low["best"], high["best"], high["metrics"]) == (True, False, {})
    mostly = [run("rte", 0, 0.5, rate=1), run("rte", 1, 0.6, rate=1)]
    mostly += [run("rte", 0, 0.9, rate=2), run("rte", 1, 0.9, rate=2) | lost]
    low, high = summarize_runs(mostly)
    assert (low["best"], high["best"], high["metrics"]["accuracy"]["median"]) == (True, False, 0.9)
    assert "rte with rate 2: 1 of 2 runs diverged, which no figure is of." in results_markdown([low, high])
    (tmp_path / "results.png").write_text("of before")
    save_results([runs[1]], tmp_path, "a model")
    assert "**accuracy**" not in (tmp_path / "results.md").read_text()
    assert not (tmp_path / "results.png").exists()


def test_a_table_for_a_paper() -> None:
    runs = [run("text_classification", seed, score) for seed, score in enumerate((0.5, 0.7, 0.9))]
    runs.append({**run("squad_v2", 0, 0), "main_metric": "f1", "metrics": {"f1": 80.0}})
    lines = results_tex(summarize_runs(runs)).splitlines()
    assert lines[4:6] == [
        r"text\_classification & accuracy & $70.00 \pm 20.00$ & $70.00$ & 3 \\",
        r"squad\_v2 & f1 & $80.00$ & $80.00$ & 1 \\",
    ]
