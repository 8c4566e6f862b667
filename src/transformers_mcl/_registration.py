"""Registration with transformers' Auto classes, as late as it can be: when the Auto classes themselves are imported.

`import transformers_mcl` must make `AutoModel` know our models, and must not cost the seconds that importing torch and
transformers' models takes. Our modules register their own classes as they are imported; what is left to do is to
import them right after the module of transformers that they register with.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["announce", "register"]

# Each module of transformers, and the one of ours that is to follow it.
_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "transformers_mcl.configuration_mcl",
    "transformers.models.auto.modeling_auto": "transformers_mcl.modeling_mcl",
}
_ready: set[str] = set()


class _Following(MetaPathFinder):
    """Finds the modules of `_FOLLOWERS` as Python would, and has each announced once it has been executed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _FOLLOWERS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            execute: Any = spec.loader.exec_module

            def execute_and_announce(module: ModuleType) -> None:
                execute(module)
                announce(name)

            spec.loader.exec_module = execute_and_announce  # type: ignore[method-assign]
        return spec


def announce(name: str) -> None:
    """Says that all names of the module `name`, theirs or ours, are there; imports ours where its time has come."""
    _ready.add(name)
    # transformers' modules import each other in circles: ours wait until none of them is half imported. The last to
    # finish comes by here.
    if any(module in sys.modules and module not in _ready for pair in _FOLLOWERS.items() for module in pair):
        return
    for theirs, ours in _FOLLOWERS.items():
        if theirs in _ready:
            importlib.import_module(ours)


def register() -> None:
    """Makes transformers' Auto classes know MCL's; `import transformers_mcl` calls it. Calling it again does
    nothing."""
    if not any(isinstance(finder, _Following) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Following())
    for theirs in [name for name in _FOLLOWERS if name in sys.modules and name not in _ready]:
        announce(theirs)
