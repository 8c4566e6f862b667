"""transformers-mcl: pre-train encoders with the multi-perspective course learner (arXiv 2305.03981)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._registration import register, unregister

if TYPE_CHECKING:
    from .errors import UserError
    from .hub.fairseq import ConversionReport, convert_fairseq_checkpoint
    from .models.configuration_mcl import MclConfig
    from .models.modeling_mcl import (
        MclDiscriminator,
        MclForMaskedLM,
        MclForMultipleChoice,
        MclForQuestionAnswering,
        MclForSequenceClassification,
        MclForTokenClassification,
        MclModel,
    )
    from .models.pretraining import MclForPreTraining
    from .models.tokenization_mcl import MclTokenizer
    from .soups.methods import make_soup
    from .training.arguments import MclTrainingArguments
    from .training.trainer import MclTrainer

    __version__: str

__all__ = [
    "ConversionReport",
    "MclConfig",
    "MclDiscriminator",
    "MclForMaskedLM",
    "MclForMultipleChoice",
    "MclForPreTraining",
    "MclForQuestionAnswering",
    "MclForSequenceClassification",
    "MclForTokenClassification",
    "MclModel",
    "MclTokenizer",
    "MclTrainer",
    "MclTrainingArguments",
    "UserError",
    "convert_fairseq_checkpoint",
    "make_soup",
    "register",
    "unregister",
]

# Where the public names are. They are imported on first use, so that importing the package, and
# `transformers-mcl --help`, cost nothing.
_MODULES = {
    "ConversionReport": "hub.fairseq",
    "MclConfig": "models.configuration_mcl",
    "MclForPreTraining": "models.pretraining",
    "MclTokenizer": "models.tokenization_mcl",
    "MclTrainer": "training.trainer",
    "MclTrainingArguments": "training.arguments",
    "UserError": "errors",
    "convert_fairseq_checkpoint": "hub.fairseq",
    "make_soup": "soups.methods",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = importlib.import_module(f".{_MODULES.get(name, 'models.modeling_mcl')}", __name__)
        return getattr(module, name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib import metadata  # most of what importing this package would cost

    try:
        return metadata.version("transformers-mcl")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


register()
