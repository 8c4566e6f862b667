"""transformers-mcl: pre-train encoders with the multi-perspective course learner (arXiv 2305.03981)."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ._registration import register

try:
    __version__ = version("transformers-mcl")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

# Public names by the module that holds them. They are imported on first use, so that importing the package, and
# `transformers-mcl --help`, cost nothing.
_MODULES = {
    "MclConfig": "configuration_mcl",
    "MclDiscriminator": "modeling_mcl",
    "MclForMaskedLM": "modeling_mcl",
    "MclForMultipleChoice": "modeling_mcl",
    "MclForPreTraining": "modeling_mcl",
    "MclForQuestionAnswering": "modeling_mcl",
    "MclForSequenceClassification": "modeling_mcl",
    "MclForTokenClassification": "modeling_mcl",
    "MclModel": "modeling_mcl",
    "UserError": "errors",
}

__all__ = [  # noqa: PLE0604
    "MclConfig",
    "MclDiscriminator",
    "MclForMaskedLM",
    "MclForMultipleChoice",
    "MclForPreTraining",
    "MclForQuestionAnswering",
    "MclForSequenceClassification",
    "MclForTokenClassification",
    "MclModel",
    "UserError",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register()
