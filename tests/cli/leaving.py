"""Run by `test_main.py`: a command that makes a process group, and a process that would abort as it ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from types import ModuleType

import torch.distributed

from transformers_mcl.cli.main import entry, main


def run(argv: list[str]) -> int:
    torch.distributed.init_process_group("gloo", init_method=f"file://{argv[0]}", rank=0, world_size=1)
    atexit.register(lambda: sys.stdout.write("what was registered is done"))
    if argv[1] == "fails":
        raise ValueError("a bug")
    return int(argv[1])


class AbortsAsPythonEnds:
    """What a thread of gloo's does that lets go of its last tensor."""

    def __del__(self, abort: Callable[[], None] = os.abort) -> None:
        abort()


if __name__ == "__main__":
    command = ModuleType("transformers_mcl.cli.inspect")
    command.run = run  # type: ignore[attr-defined]
    sys.modules[command.__name__] = command
    if sys.argv[2] != "fails":
        sys.kept_to_the_end = AbortsAsPythonEnds()  # type: ignore[attr-defined]
    entry(lambda: main(["inspect", *sys.argv[1:]]))
