"""The benchmark for GPUs runs on a CPU, and what it does on a GPU alone is right as far as a CPU can tell."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"
ON_CPU = ["--device", "cpu", "--preset", "tiny", "--max_seq_length", "16", "--vocab_size", "400", "--rounds", "2"]
ON_CPU += ["--warmup_rounds", "0", "--objective", "electra", "--backend", "eager"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("gpu")


@pytest.mark.slow
def test_script_prints_a_table_and_writes_figures(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    given = [*ON_CPU, "--families", "bert", "--peak_flops", "1e15", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *given])
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)
    gpu.main()
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    lines = written["lines"]
    assert [(one["pair"], one["compiled"]) for one in lines] == [
        *(("tiny", False), ("tiny", True)),
        *(("bert, tiny", False), ("bert, tiny", True)),
    ]
    assert written["left_out"] == []
    for one in lines:
        assert one["tokens_per_second"] == pytest.approx(4 * 16 / one["seconds"])
        assert one["mfu"] == one["flops_per_second"] / 1e15 > 0
        assert len(one["rounds"]) == 2
    # The goal's pair is below the goal: what takes its time is listed.
    assert ["operators" in one for one in lines] == [True, True, False, False]
    header, _, *rows = [line for line in printed.split("\n\n")[1].splitlines() if line.startswith("| ")]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {header.count("|")}
    assert printed.count("all, and as a share of the step") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--preset", "huge"], "--preset: unknown 'huge'"), (["--families", "bort"], "--families: unknown 'bort'")],
)
def test_what_is_not_known_is_refused(gpu: Any, arguments: list[str], said: str) -> None:
    (given,) = gpu.HfArgumentParser(gpu.GpuArguments).parse_args_into_dataclasses([*ON_CPU, *arguments])
    with pytest.raises(SystemExit, match=said):
        gpu.check(given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_how_to_try_it_out(gpu: Any) -> None:
    with pytest.raises(SystemExit, match="no GPU here: --device cpu"):
        gpu.check(gpu.GpuArguments())


def test_goal_comes_first_and_every_family_is_measured_in_both_sizes(gpu: Any) -> None:
    cells = gpu.cells(gpu.GpuArguments())
    assert [str(cell) for cell in cells[:2]] == ["base, length 512, electra", "base, length 512, mcl"]
    assert len(cells) == 2 * 2 * 2 + len(gpu.FAMILIES) * 2 * 2 == len({str(cell) for cell in cells})
    assert {cell.length for cell in cells[8:]} == {512}
    assert cells[-1].config.backbone_config.hidden_size == 256


def test_rows_are_as_many_as_fit(gpu: Any) -> None:
    peaks = {2: 10e9 + 2e9, 4: 10e9 + 4e9}  # a gigabyte a row
    assert [gpu.fitting_rows(peaks, free, 128) for free in (14e9, 31e9, 80e9, 1e15)] == [1, 8, 32, 128]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by Linux")
def test_rows_and_peak_where_memory_is_known(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, with the CPU's own count."""
    monkeypatch.setattr(gpu, "is_gpu", lambda device: True)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**15, 10**15))
    given = gpu.GpuArguments(["tiny"], [16], ["electra"], ["none"], device="cpu", vocab_size=400, tokens=1000)
    (cell,) = gpu.cells(given)
    side = gpu.Side(cell, False, given)
    assert side.arguments.batch_size == 32  # of 62 rows
    assert side.peak > 0
    figures = side.figures([0.1, 0.2, 0.4], None)
    assert figures["mfu"] is None
    assert figures["tokens_per_second"] == pytest.approx(32 * 16 / 0.2)
    assert gpu.line(figures).startswith("| tiny | 16 | electra | no | 32 | 2,560 | 0.2000 [0.1000, 0.4000] |")


@pytest.mark.parametrize(
    ("seconds", "plain"), [(85, ["base", "mini", "large", "tiny"]), (55, ["base", "mini"])], ids=["most", "few"]
)
def test_what_there_is_no_time_for_is_said_and_compiling_is_left_out_first(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, seconds: int, plain: list[str]
) -> None:
    """Each pair takes 10 s, and compiled 20: of 85 s there are 20 left for the second, but then none for the last."""
    now = [0.0]

    class Side:
        def __init__(self, cell: Any, compiled: bool, given: Any):
            now[0] += 20 if compiled else 10
            self.cell, self.compiled = cell, compiled
            if cell.pair == "small":
                raise torch.OutOfMemoryError("too large\nfor this card")

        def figures(self, seconds: list[float], peak: None) -> dict[str, Any]:
            return {"name": (self.cell.pair, self.compiled), "mfu": None}

    monkeypatch.setattr(gpu, "Side", Side)
    monkeypatch.setattr(gpu, "in_turn", lambda sides: [(side, [1.0]) for side in sides])
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: now[0])
    presets = ["base", "small", "mini", "large", "tiny"]
    given = gpu.GpuArguments(presets, [16], ["electra"], ["none"], device="cpu", minutes=seconds / 60)
    left_out: list[str] = []
    names = [figures["name"] for figures in gpu.measure(given, left_out)]
    assert names == [("base", False), ("base", True), *((name, False) for name in plain[1:])]
    assert left_out[0] == "small, length 16, electra: OutOfMemoryError: too large"
    wanted = {(name, compiled) for name in presets for compiled in (False, True)}
    assert len(left_out) == len(wanted - set(names))
    assert all(one.endswith("no time left, see --minutes") for one in left_out[1:])
    assert left_out[1].startswith("small, length 16, electra, compiled: ")
