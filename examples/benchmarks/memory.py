"""Peak memory: of a training step over what is there between steps, and of anything else while it runs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

# With these, glibc gives every larger block back to the system when it is freed, so that resident memory is memory in
# use. They are read when a process starts: the figure is only right in a process started with them.
PEAK_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "2"}


def peak_over_static(step: Callable[[], object], device: str, steps: int = 3) -> float:
    """Bytes by which memory in use exceeds, at its peak during a step, that after one: weights, gradients, optimizer.

    On a GPU, as its allocator counts; on a CPU, resident memory of the process as Linux counts it, exact to a page and
    without sampling, temporary buffers of the kernels included. NaN elsewhere.
    """
    step()  # makes gradients and the optimizer's state
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        static = torch.cuda.memory_allocated(device)
        _repeat(step, steps)
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - static)
    if sys.platform != "linux":
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts again from here
    static = resident("VmRSS")
    _repeat(step, steps)
    return float(resident("VmHWM") - static)


def _repeat(step: Callable[[], object], steps: int) -> None:
    for _ in range(steps):
        step()


def resident(name: str) -> int:
    """A field of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def watching(*names: str) -> Iterator[dict[str, int]]:
    """The most that each of these fields is seen to hold, looked at every 5 ms; complete afterwards."""
    peak, done = {name: resident(name) for name in names}, threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for name in names:
                peak[name] = max(peak[name], resident(name))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
