"""Run by `test_resume.py`: commands that are killed at a chosen call, one after the other.

Takes `[{"words": […], "kill": {"attribute": "module.name", "call": 2, "signal": 9, "half": false}}, …]`. Each command
runs in a process of its own, forked since importing takes longer than the run; under torchrun, which has processes
already, there is one. The exit codes go to stdout as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.training.splits import shard_on_cpu
from transformers_mcl.cli.main import entry, main
from transformers_mcl.training import trainer as _  # noqa: F401  imported before forking


def kill_at(attribute: str, call: int, signal: int, half: bool = False) -> None:
    """Sends `signal` to this process at the `call`-th call; with `half`, when half of a file was written."""
    where, name = attribute.rsplit(".", 1)
    try:
        holder: Any = importlib.import_module(where)
    except ImportError:
        where, class_name = where.rsplit(".", 1)
        holder = getattr(importlib.import_module(where), class_name)
    original, calls = getattr(holder, name), 0

    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            if half:
                original(*args, **kwargs)
                path = next(Path(arg) for arg in args if isinstance(arg, (str, Path)))
                os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal)
        return original(*args, **kwargs)

    setattr(holder, name, watched)


def run(words: list[str], kill: dict[str, Any] | None) -> int:
    if kill and int(os.environ.get("RANK", 0)) == kill.pop("rank", 0):
        kill_at(**kill)
    return main(words)


def forked(words: list[str], kill: dict[str, Any] | None) -> int:
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    status = 1
    try:
        status = run(words, kill)
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    todo = json.loads(sys.argv[1])
    if "RANK" in os.environ:
        shard_on_cpu()
        entry(lambda: run(todo[0]["words"], todo[0].get("kill")))
    sys.stdout.write("\n" + json.dumps([forked(one["words"], one.get("kill")) for one in todo]))
