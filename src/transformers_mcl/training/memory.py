"""How much memory there is, and how much was in use at most."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

__all__ = ["format_bytes", "memory_limit", "peak_memory", "reset_peak_memory"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# What a container may have: of cgroups of version 2, and of version 1.
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit(device: torch.device) -> float:
    """Bytes that this process can have: of a GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device))
    limits = [float(psutil.virtual_memory().available + psutil.Process().memory_info().rss)]
    for path in _CGROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            limits.append(float(path.read_text(encoding="utf-8")))
    return min(limits, default=float("inf"))


def reset_peak_memory(device: torch.device) -> None:
    """Has `peak_memory` begin from what is in use now; of a process, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR.write_text("5", encoding="utf-8")


def peak_memory(device: torch.device) -> float:
    """Bytes in use at most: by torch on a GPU; by the whole process on a CPU, Python and libraries included."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, StopIteration):
        return _field(_STATUS, "VmHWM")
    if (windows := getattr(psutil.Process().memory_info(), "peak_wset", None)) is not None:
        return float(windows)
    import resource  # which Windows lacks

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def format_bytes(number: float) -> str:
    """`1.3 GiB`, `870 MiB`."""
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.0f} MiB"


def _field(path: Path, name: str) -> float:
    """Of a file of `/proc`, in bytes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
