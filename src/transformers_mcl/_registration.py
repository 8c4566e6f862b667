"""Registration with transformers' Auto classes, as late as it can be: when the Auto classes themselves are imported.

`import transformers_mcl` must make `AutoModel` know our models, and must not cost the seconds that importing torch and
transformers' models takes. Our modules register their own classes as they are imported; what is left to do is to
import them right after the module of transformers that they register with.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["register"]

# Each module of transformers, and the one of ours that is to follow it.
_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "transformers_mcl.configuration_mcl",
    "transformers.models.auto.modeling_auto": "transformers_mcl.modeling_mcl_pretraining",
}


class _Following(MetaPathFinder):
    """Finds transformers' modules and ours as Python would, and sees when the outermost of them is done.

    These modules import each other in circles: while one of them is half imported, ours may find names missing.
    """

    def __init__(self) -> None:
        self.here = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(("transformers.", "transformers_mcl.")) or getattr(self.here, "finding", False):
            return None
        self.here.finding = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.here.finding = False
        if spec is None or spec.loader is None:
            return spec
        execute: Any = spec.loader.exec_module

        def execute_and_follow(module: ModuleType) -> None:
            self.here.depth = getattr(self.here, "depth", 0) + 1
            try:
                execute(module)
            finally:
                self.here.depth -= 1
            if not self.here.depth:
                _follow()

        spec.loader.exec_module = execute_and_follow  # type: ignore[method-assign]
        return spec


def _follow() -> None:
    for theirs, ours in _FOLLOWERS.items():
        if theirs in sys.modules and ours not in sys.modules:
            importlib.import_module(ours)


def register() -> None:
    """Makes transformers' Auto classes know MCL's; `import transformers_mcl` calls it.

    Calling it again does nothing.
    """
    if not any(isinstance(finder, _Following) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Following())
    _follow()
