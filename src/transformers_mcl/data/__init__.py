"""From raw text to packed blocks of ids: arguments, corpus, tokenizer, packing, collator."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import DataArguments
    from .collator import DataCollatorForMcl
    from .corpus import load_corpus
    from .packing import CorpusStatistics, tokenize_and_pack
    from .streaming import StreamLoader, StreamStatistics, TextStream, load_stream
    from .tokenizer import check_tokenizer, load_tokenizer, vocabulary_size
    from .tokenizer_training import train_tokenizer

_MODULES = {
    "DataArguments": "arguments",
    "DataCollatorForMcl": "collator",
    "load_corpus": "corpus",
    "CorpusStatistics": "packing",
    "tokenize_and_pack": "packing",
    "StreamLoader": "streaming",
    "StreamStatistics": "streaming",
    "TextStream": "streaming",
    "load_stream": "streaming",
    "check_tokenizer": "tokenizer",
    "load_tokenizer": "tokenizer",
    "train_tokenizer": "tokenizer_training",
    "vocabulary_size": "tokenizer",
}

__all__ = [
    "CorpusStatistics",
    "DataArguments",
    "DataCollatorForMcl",
    "StreamLoader",
    "StreamStatistics",
    "TextStream",
    "check_tokenizer",
    "load_corpus",
    "load_stream",
    "load_tokenizer",
    "tokenize_and_pack",
    "train_tokenizer",
    "vocabulary_size",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that the command line can describe DataArguments without importing torch and datasets.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
