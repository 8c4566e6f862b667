"""The picture of `docs/health.md` is drawn from what a trainer writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "health_curves.py"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("health_curves", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_draws_runs_and_prints_their_warnings(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {name: 0.1 for _, names, _ in script.PANELS for name in names}
    log = [{"step": step, "loss": 1.0, **figures} for step in (10, 20)] + [{"step": 20, "eval_loss": 1.0}]
    warning = {"step": 20, "message": "step 20: the generator is too weak"}
    for name, callbacks in (("good", {}), ("bad", {"HealthCallback": {"attributes": {"warnings": [warning]}}})):
        state = {"log_history": log, "stateful_callbacks": callbacks}
        (tmp_path / f"{name}.json").write_text(json.dumps(state))
    monkeypatch.chdir(tmp_path)
    script.main(["good=good.json", "bad=bad.json", "--output", "picture.png"])
    assert capsys.readouterr().out == "bad: step 20: the generator is too weak\n"
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn_is_what_the_trainer_logs(script: Any) -> None:
    from transformers_mcl.method.courses import all_losses
    from transformers_mcl.method.metrics import COURSE_FIGURES

    logged = {f"rtd_{figure}" for figure in COURSE_FIGURES} | {f"{loss}_loss" for loss in all_losses()}
    assert {name for _, names, _ in script.PANELS for name in names} <= logged
