"""How much of a text a tokenizer knows: in characters, since one unknown token may stand for a whole line."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..errors import UserError
from ..io import printable
from .shares import spread

__all__ = ["Coverage", "check_coverage", "measure_coverage", "sample_texts"]

logger = logging.get_logger(__name__)

_DOCUMENTS = 400
_CHARACTERS = 200_000  # of all of them together: a part of a second
_WARNED = 0.01
_REFUSED = 0.5


@dataclass(frozen=True)
class Coverage:
    """What a tokenizer makes of some texts.

    Attributes:
        characters: those that can be seen: neither white space nor control or format characters.
        unknown: of these, those of which nothing is left in the tokens: they are in the unknown token, or in none.
        words: between spaces.
        tokens: special tokens not counted.
        examples: the most frequent unknown characters.
    """

    characters: int
    unknown: int
    words: int
    tokens: int
    examples: tuple[str, ...]

    @property
    def unknown_fraction(self) -> float:
        """Share of the characters that are unknown."""
        return self.unknown / max(self.characters, 1)

    @property
    def shown_examples(self) -> str:
        """A few unknown characters with their numbers, for a terminal."""
        return ", ".join(f"'{printable(one)}' (U+{ord(one):04X})" for one in self.examples[:3])


def sample_texts(texts: Sequence[str], documents: int = _DOCUMENTS, characters: int = _CHARACTERS) -> list[str]:
    """Parts of at most `documents` of the texts, at even distances, of at most so many `characters` in all."""
    numbers = np.unique(np.linspace(0, len(texts) - 1, min(documents, len(texts)), dtype=np.int64))
    parts = []
    for turn, number in enumerate(numbers):
        text, longest = texts[int(number)], characters // len(numbers)
        start = int(spread(turn) * max(len(text) - longest, 0))  # not all beginnings, which may be alike
        parts.append(text[start : start + longest])
    return parts


def measure_coverage(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Coverage:
    """Tokenizes texts as for pre-training, and finds the characters that are in no known token.

    Args:
        texts: whole, or cut anywhere.
        tokenizer: a fast one.
    """
    if not texts:
        return Coverage(0, 0, 0, 0, ())
    unknown: Counter[str] = Counter()
    characters = tokens = 0
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        known = np.zeros(len(text) + 1, dtype=np.int64)
        for token, (start, stop) in zip(ids, offsets, strict=True):
            if token != tokenizer.unk_token_id:
                known[start] += 1
                known[stop] -= 1
        for character, count in zip(text, known.cumsum(), strict=False):
            if _is_seen(character):
                characters += 1
                if not count:
                    unknown[character] += 1
        tokens += len(ids)
    examples = tuple(character for character, _ in unknown.most_common(3))
    return Coverage(characters, unknown.total(), sum(len(text.split()) for text in texts), tokens, examples)


def _is_seen(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def check_coverage(what: str, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Coverage:
    """The coverage of a sample of `texts`, with a warning if a hundredth of it is unknown.

    Args:
        what: the name of the texts in messages, as `train`.

    Raises:
        UserError: more is unknown than known.
    """
    coverage = measure_coverage(sample_texts(texts), tokenizer)
    share, name = coverage.unknown_fraction, tokenizer.name_or_path or type(tokenizer).__name__
    said = f"{share:.1%} of the characters of the {what} text are unknown to the tokenizer {name!r}"
    remedy = "make one that knows them with `transformers-mcl tokenizer`"
    if share > _REFUSED:
        raise UserError(f"{said}, such as {coverage.shown_examples}: {remedy}")
    if share >= _WARNED:
        logger.warning(f"{said}, such as {coverage.shown_examples}, and are lost to the model; {remedy}")
    return coverage
