"""What is in the states of a frozen encoder: a linear classifier on each layer, on the tasks of `finetune`.

Importing this registers `evaluate --task probe`.
"""

from __future__ import annotations

from .arguments import ProbeArguments
from .evaluation import Probe

__all__ = ["Probe", "ProbeArguments"]
