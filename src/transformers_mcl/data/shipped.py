"""The small pair inside the package, that its own recipe trained: for a first look, and for examples."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["SHIPPED_PAIR", "shipped_figures", "shipped_pair"]

SHIPPED_PAIR = "mcl-pair"
"""What the command line calls it: `--model_name_or_path mcl-pair`."""


def shipped_pair() -> Path:
    """Its folder, which opens as that of any checkpoint does; its card says what it is and what it knows."""
    return Path(__file__).parent / "pair"


def shipped_figures() -> dict[str, float]:
    """What it reaches on its own held-out text, by the names of the trainer's log without `eval_`."""
    figures = json.loads((shipped_pair() / "eval_results.json").read_text(encoding="utf-8"))
    return {name.removeprefix("eval_"): value for name, value in figures.items()}
