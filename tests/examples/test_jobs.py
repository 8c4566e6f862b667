from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jobs import Job, _expected, exit_status, run_jobs, share_devices
from transformers_mcl.errors import Interrupted, UserError


def job(folder: Path, name: str, code: str) -> Job:
    return Job(name, [sys.executable, "-S", "-c", code], folder / f"{name}.log")


def test_jobs_run_side_by_side_each_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=time.sleep)
    monkeypatch.setattr("jobs.time", clock)  # however busy the machine is
    wait = "import os, time, pathlib\nme, other = {}\npathlib.Path(r'{}', me).touch()\n"
    wait += "while not pathlib.Path(r'{}', other).exists(): time.sleep(0.01)\nprint(os.environ['DEVICE'])"
    jobs = [
        job(tmp_path, "a", wait.format(("a", "b"), tmp_path, tmp_path)),
        job(tmp_path, "b", wait.format(("b", "a"), tmp_path, tmp_path)),
        job(tmp_path, "c", "import os; print(os.environ['DEVICE'])"),
    ]
    said: list[str] = []
    run_jobs(jobs, [{"DEVICE": "0"}, {"DEVICE": "1"}], said.append, "training")
    assert [(tmp_path / f"{name}.log").read_text().strip() for name in "ab"] == ["0", "1"]
    assert (tmp_path / "c.log").read_text().strip() in "01"
    assert said[0] == f"[1/3] training a: see {tmp_path / 'a.log'}" and "[3/3] training c" in "".join(said)
    assert sum(" done in 0 s" in line for line in said) == 3 and "left" in said[2] and "left" not in said[-1]


@pytest.mark.parametrize(
    ("took", "costs", "seconds"),
    [
        ([(1.0, 100.0)], [1e9, 1.0], 200.0),  # nothing is known yet of what a cost of 1e9 makes
        ([(0.0, 100.0), (10.0, 200.0)], [5.0, 20.0], 150.0 + 300.0),
        ([(1.0, 50.0), (3.0, 250.0)], [4.0], 300.0),  # the line would begin below 0, and say 350
        ([(1.0, 90.0), (3.0, 30.0)], [10.0], 300.0),  # or end there
        ([(1.0, 90.0)], [], 0.0),
    ],
)
def test_how_long_the_rest_takes(took: Any, costs: Any, seconds: float) -> None:
    assert _expected(took, costs) == pytest.approx(seconds)


def test_a_crash_stops_no_other(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "print('now'); raise SystemExit('oh no')"), job(tmp_path, "b", "print('done')")]
    with pytest.raises(UserError, match=r"1 of 2 failed: a \(exit status 1: oh no\)"):
        run_jobs(jobs, [{}], lambda line: None, "training")
    assert (tmp_path / "b.log").read_text() == "done\n"


def test_what_was_refused_would_be_refused_again(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "raise SystemExit(2)"), job(tmp_path, "b", "print('done')")]
    with pytest.raises(UserError, match=r"a \(exit status 2: nothing was said\)"):
        run_jobs(jobs, [{}], lambda line: None, "training")
    assert not (tmp_path / "b.log").exists()


def test_sigterm_ends_the_jobs_too(tmp_path: Path) -> None:
    code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved') or 0))\n"
    os.mkfifo(tmp_path / "ready")
    code += f"open({str(tmp_path / 'ready')!r}, 'w').close()\nsignal.pause()"

    def end_when_ready() -> None:
        (tmp_path / "ready").read_text()  # waits for the job to open it
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_ready, daemon=True).start()
    with pytest.raises(Interrupted, match="goes on"):
        run_jobs([job(tmp_path, "a", code)], [{}], lambda line: None, "training")
    assert (tmp_path / "a.log").read_text() == "saved\n"


def test_none_runs_twice_at_a_time(tmp_path: Path) -> None:
    """Not even one whose parent has gone."""
    os.mkfifo(tmp_path / "end")  # a job that reads it works until somebody has written
    code = "import sys, jobs; from pathlib import Path\n"
    code += "jobs._start(jobs.Job('a', ['cat', sys.argv[1] + '/end'], Path(sys.argv[1], 'a.log')), {})"
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, env=where)
    again = [job(tmp_path, "a", "print('again')")]
    try:
        with pytest.raises(UserError, match="a is at work already"):
            run_jobs(again, [{}], lambda line: None, "training")
    finally:
        (tmp_path / "end").write_text("the first\n")
    with open(tmp_path / "a.lock", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for its end
    run_jobs(again, [{}], lambda line: None, "training")
    assert (tmp_path / "a.log").read_text() == "the first\nagain\n"


def test_devices_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert share_devices(4, 1, use_cpu=True) == [{"OMP_NUM_THREADS": "2"}] * 4
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert share_devices(None, 2, use_cpu=False) == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert share_devices(2, 1, use_cpu=False) == [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "5"}]


@pytest.mark.parametrize(
    ("jobs", "each", "said"), [(0, 1, "num_jobs=0"), (1, 0, "devices_per_job=0"), (3, 2, "4 GPUs")]
)
def test_devices_that_are_not_there(jobs: Any, each: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(UserError, match=said):
        share_devices(jobs, each, use_cpu=False)


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (None, 0, ""),
        (UserError("no\n  file"), 2, "run.py: error: no file\n"),
        (Interrupted("saved"), 143, "run.py: saved\n"),
        (KeyboardInterrupt(), 130, "\nrun.py: interrupted; the same command goes on\n"),
    ],
)
def test_how_a_script_ends(
    raised: BaseException | None, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        if raised is not None:
            raise raised

    assert exit_status("run.py", work) == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "script",
    [
        "experiments/run.py",
        *(pytest.param(f"{name}.py", marks=pytest.mark.slow) for name in ("course_soups/run", "experiments/peer")),
    ],
)
def test_a_script_finds_what_it_imports(script: str, tmp_path: Path) -> None:
    """Without this process's path: as its user calls it."""
    path = Path(__file__).parents[2] / "examples" / script
    done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr
