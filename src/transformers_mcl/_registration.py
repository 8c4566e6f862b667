"""Registration with transformers' Auto classes, as late as it can be: when the Auto classes themselves are imported.

`import transformers_mcl` must make `AutoModel` know our models, and must not cost the seconds that importing torch and
transformers' models takes. Our modules register their own classes as they are imported; what is left to do is to
import them right after the module of transformers that they register with, and to replace the one function that keeps
Auto classes from opening repositories of fairseq's (`hub.load_by_name`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["register", "unregister"]

# Each module of transformers, and the one of ours that is to follow it.
_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "transformers_mcl.models.configuration_mcl",
    "transformers.models.auto.tokenization_auto": "transformers_mcl.models.tokenization_mcl",
    "transformers.models.auto.modeling_auto": "transformers_mcl.models.pretraining",
}

# `AutoConfig.from_pretrained` as it was found ("theirs") and as it is now ("ours"); empty while it is as found.
_hook: dict[str, Any] = {}

# What `unregister` took out of transformers' tables: the table, the key and the class.
_taken_out: list[tuple[dict[Any, Any], Any, type]] = []


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
    if auto := sys.modules.get("transformers.models.auto.configuration_auto"):
        _put_hook(auto.AutoConfig)


def _put_hook(auto: Any) -> None:
    from .hub.by_name import open_fairseq_too

    if not _hook:  # asked last: that import may have led here, too
        _hook["theirs"] = vars(auto)["from_pretrained"]
        _hook["ours"] = staticmethod(open_fairseq_too(auto.from_pretrained))
        auto.from_pretrained = _hook["ours"]


def _remove_hook(auto: Any) -> None:
    if _hook and vars(auto)["from_pretrained"] is _hook["ours"]:
        auto.from_pretrained = _hook["theirs"]
        _hook.clear()


def _tables() -> Iterator[dict[Any, Any]]:
    """Where the Auto classes that are imported keep what was registered with them."""
    for name in _FOLLOWERS:
        for content in vars(sys.modules.get(name, sys)).values():
            if isinstance(table := getattr(content, "_extra_content", None), dict):
                yield table
    if tokenizers := sys.modules.get("transformers.models.auto.tokenization_auto"):
        yield tokenizers.REGISTERED_TOKENIZER_CLASSES


def register() -> None:
    """Makes transformers' Auto classes know MCL's, and open repositories of fairseq's.

    `import transformers_mcl` calls it. Calling it again does nothing.
    """
    if not any(isinstance(finder, _Following) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Following())
    for table, key, kind in _taken_out:
        table[key] = kind
    _taken_out.clear()
    _follow()


def unregister() -> None:
    """Undoes `register`: transformers is as if this package had never been imported. Calling it again does nothing.

    Importing one of this package's models or configurations for the first time registers that one.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Following)]
    for table in _tables():
        for key, kind in list(table.items()):
            if kind.__module__.startswith("transformers_mcl."):
                _taken_out.append((table, key, table.pop(key)))
    if auto := sys.modules.get("transformers.models.auto.configuration_auto"):
        _remove_hook(auto.AutoConfig)
