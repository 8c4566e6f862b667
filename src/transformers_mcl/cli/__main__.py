"""``python -m transformers_mcl.cli``: the command line for launchers that start a module (torchrun, accelerate)."""

from __future__ import annotations

from .main import entry

entry()
