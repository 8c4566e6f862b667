"""How tests start several processes."""

from __future__ import annotations

import sys

from transformers.testing_utils import get_torch_dist_unique_port

__all__ = ["torchrun"]


def torchrun(processes: int = 2) -> list[str]:
    """What stands before a script, or `-m` and a module, for so many processes on this machine."""
    port = str(get_torch_dist_unique_port())
    return [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", port]
