"""The small pair inside the package, that its own recipe trained: for a first look, and for examples."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["SHIPPED_PAIR", "find_pair", "name_of", "shipped_figures", "shipped_pair"]

SHIPPED_PAIR = "mcl-pair"
"""What the command line calls it: `--model_name_or_path mcl-pair`."""


def shipped_pair() -> Path:
    """Its folder, which opens as that of any checkpoint does; its card says what it is and what it knows."""
    return Path(__file__).parent / "pair"


def find_pair(name_or_path: str) -> str:
    """The folder of `mcl-pair`, unless there is one of this name here; any other name as it is."""
    is_shipped = name_or_path == SHIPPED_PAIR and not Path(SHIPPED_PAIR).exists()
    return str(shipped_pair()) if is_shipped else name_or_path


def name_of(name_or_path: str) -> str:
    """The reverse, for people: what is shown to others is no folder of this machine."""
    return SHIPPED_PAIR if name_or_path == str(shipped_pair()) else name_or_path


def shipped_figures() -> dict[str, float]:
    """What it reaches on its own held-out text, by the names of the trainer's log without `eval_`."""
    figures = json.loads((shipped_pair() / "eval_results.json").read_text(encoding="utf-8"))
    return {name.removeprefix("eval_"): value for name, value in figures.items()}
