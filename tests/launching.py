"""How tests start several processes."""

from __future__ import annotations

import os
import sys

import pytest

__all__ = ["posix_only", "torchrun"]

posix_only = pytest.mark.skipif(os.name == "nt", reason="forks, signals, pipes with names or a shell of POSIX")


def torchrun(processes: int = 2) -> list[str]:
    """What stands before a script, or `-m` and a module, for so many processes on this machine."""
    if os.name == "nt":
        pytest.skip("torch's processes find each other by what its builds for Windows lack")
    # Standalone takes a port that is free, so that two suites can run at a time.
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
