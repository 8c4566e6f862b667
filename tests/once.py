"""What takes long is made once, for the tests of all workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["Once"]

Once = Callable[[str, Callable[[Path], object]], Path]
"""Of the fixture `once`: a name and what fills a folder, to that folder, filled."""
