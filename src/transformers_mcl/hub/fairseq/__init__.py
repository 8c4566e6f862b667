"""Checkpoints written by fairseq, as checkpoints of this package."""

from __future__ import annotations

from .conversion import convert_fairseq_checkpoint
from .reading import find_checkpoint
from .report import ConversionReport

__all__ = ["ConversionReport", "convert_fairseq_checkpoint", "find_checkpoint"]
