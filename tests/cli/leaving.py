"""Run by `test_main.py`: a command that makes a process group, and a look at it as Python ends."""

from __future__ import annotations

import atexit
import sys
from types import ModuleType

import torch.distributed

from transformers_mcl.cli.main import main


def run(argv: list[str]) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{argv[0]}", rank=0, world_size=1)


if __name__ == "__main__":
    command = ModuleType("transformers_mcl.cli.inspect")
    command.run = run  # type: ignore[attr-defined]
    sys.modules[command.__name__] = command
    # Called in the order opposite to their registration: this one last.
    atexit.register(lambda: sys.stdout.write("in a group" if torch.distributed.is_initialized() else "left"))
    sys.exit(main(["inspect", sys.argv[1]]))
