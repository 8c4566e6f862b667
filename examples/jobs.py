"""Commands that run side by side, each on devices of its own; a crash of one stays its own. And how a script ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, linear_regression
from types import FrameType
from typing import IO

import torch

from transformers_mcl.errors import Interrupted, UserError
from transformers_mcl.io import at_sigterm

__all__ = ["Job", "exit_status", "run_jobs", "share_devices"]

_REFUSED = 2  # the exit status of a command that was given something wrong: the next would fail alike
_PATIENCE = 0.2  # seconds between looks


@dataclass(frozen=True)
class Job:
    """A command, what people call it, where its output goes, and about how long it takes beside others."""

    name: str
    command: Sequence[str]
    log: Path
    cost: float = 1.0


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    began: float


def share_devices(num_jobs: int | None, devices_per_job: int, use_cpu: bool) -> list[dict[str, str]]:
    """What to set in the environment of each of the jobs that run at a time.

    Args:
        num_jobs: by default as many as there are devices for; one on the CPU.
        devices_per_job: GPUs that each sees.

    Raises:
        UserError: more than there are.
    """
    count = 0 if use_cpu else torch.cuda.device_count()
    if num_jobs is not None and num_jobs < 1:
        raise UserError(f"num_jobs={num_jobs} must be at least 1")
    if devices_per_job < 1:
        raise UserError(f"devices_per_job={devices_per_job} must be at least 1")
    if not count:
        jobs = num_jobs or 1
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
        return [{"OMP_NUM_THREADS": threads} for _ in range(jobs)]
    jobs = num_jobs or max(1, count // devices_per_job)
    if jobs * devices_per_job > count:
        raise UserError(f"num_jobs={jobs} with devices_per_job={devices_per_job} need more than the {count} GPUs")
    names = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    shares = [names[job * devices_per_job : (job + 1) * devices_per_job] for job in range(jobs)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares]


def run_jobs(
    jobs: Sequence[Job], environments: Sequence[Mapping[str, str]], say: Callable[[str], object], what: str
) -> None:
    """Runs all of `jobs`, as many at a time as there are `environments`.

    A job that fails stops no other, but if it was refused what it was given. Whatever ends this ends the jobs, with
    SIGTERM, at which a training saves a checkpoint.

    Args:
        say: is told what begins, what ended, and how long the rest may take.
        what: the kind of job, for people.

    Raises:
        UserError: some failed; names them and the end of their logs.
        Interrupted: SIGTERM.
    """
    waiting, free = deque(jobs), deque(environments)
    running: list[_Running] = []
    failed: list[str] = []
    took: list[tuple[float, float]] = []
    with _ending_all(running):
        while waiting or running:
            while waiting and free:
                job, environment = waiting.popleft(), free.popleft()
                say(f"[{len(jobs) - len(waiting)}/{len(jobs)}] {what} {job.name}: see {job.log}")
                running.append(_Running(job, _start(job, environment), environment, time.monotonic()))
            time.sleep(_PATIENCE)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.environment)
                seconds, status = time.monotonic() - one.began, one.process.returncode
                took.append((one.job.cost, seconds))
                rest = _expected(took, [job.cost for job in waiting])
                rest += _expected(took, [other.job.cost for other in running]) / 2
                left = f"; about {_duration(rest / len(environments))} left" if waiting or running else ""
                if status:
                    failed.append(f"{one.job.name} (exit status {status}: {_last_line(one.job.log)})")
                    say(f"{what} {failed[-1]} failed after {_duration(seconds)}{left}")
                else:
                    say(f"{what} {one.job.name} done in {_duration(seconds)}{left}")
                if status == _REFUSED:
                    waiting.clear()
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} failed: {'; '.join(failed)}. The same command goes on")


def _expected(took: Sequence[tuple[float, float]], costs: Sequence[float]) -> float:
    """Seconds that jobs of these costs take: some that are the same for all, judging say, and some by the cost."""
    known, seconds = zip(*took, strict=True)
    if len(set(known)) == 1:
        return fmean(seconds) * len(costs)
    slope, same = linear_regression(known, seconds)
    if same < 0 or slope < 0:  # chance, which a line would draw out
        slope, same = sum(seconds) / sum(known), 0.0
    return sum(same + slope * cost for cost in costs)


def _start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "ab") as log:
        lock = _locked(job)
        try:
            return subprocess.Popen(
                list(job.command),
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=() if lock is None else (lock.fileno(),),
            )
        finally:
            if lock is not None:
                lock.close()


def _locked(job: Job) -> IO[bytes] | None:
    """A lock that the job inherits and that ends with it, so that none runs twice at a time: not beside itself after
    whoever started it was killed, and not from two machines that share the folder. filelock's end with who took them.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    lock = open(job.log.with_suffix(".lock"), "wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise UserError(f"{job.name} is at work already ({job.log}): wait for it, or end it") from error
    return lock


@contextmanager
def _ending_all(running: Sequence[_Running]) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("SIGTERM: what was at work has ended; the same command goes on")

    try:
        with at_sigterm(stop):
            yield
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.wait()


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing was said"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def exit_status(script: str, work: Callable[[], object]) -> int:
    """Does the `work` of a script; says what stops it, and returns its exit status, as the package's commands do."""
    try:
        work()
    except UserError as error:
        print(f"{script}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return _REFUSED
    except Interrupted as ended:
        print(f"{script}: {ended}", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print(f"\n{script}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0
