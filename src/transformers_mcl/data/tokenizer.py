"""Train, load and check a tokenizer."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import AutoTokenizer, BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from ..errors import NotConverted, UserError
from ..io import nearest_path, one_line
from ..models.structure import input_names, longest_row

logger = logging.get_logger(__name__)

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_MAX_CHARACTERS = 1000


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, lowercase: bool = False, min_frequency: int = 2
) -> BertTokenizer:
    """A WordPiece tokenizer as BERT and ELECTRA use it, with `[PAD] [UNK] [CLS] [SEP] [MASK]` as ids 0 to 4.

    The same texts give the same tokenizer. It is of transformers' own class for ELECTRA and BERT.

    Args:
        texts: read twice; a generator is first read into memory.
        vocab_size: entries to aim at; fewer if the texts hold too few pieces. The 1000 most frequent characters are
            always among them.
        lowercase: whether to lower-case text and remove accents.
        min_frequency: how often two neighbouring pieces must occur to become one.

    Raises:
        UserError: there is no text, or `vocab_size` does not even hold the special tokens and the characters.
    """
    texts = list(texts) if isinstance(texts, Iterator) else texts
    blank = BertTokenizer(do_lower_case=lowercase)
    characters, pieces = _alphabet(texts, blank)
    least = len(_SPECIAL_TOKENS) + len(pieces)
    if not pieces:
        raise UserError("no text to train a tokenizer on")
    if vocab_size < least:
        raise UserError(
            f"vocab_size is {vocab_size}: the special tokens and the characters of this text take at least {least}"
        )
    vocab = _train(texts, blank, vocab_size, _SPECIAL_TOKENS + pieces, characters, min_frequency)
    if len(vocab) < vocab_size:
        logger.warning(f"vocab_size is {vocab_size}, but the text holds only {len(vocab)} frequent enough pieces")
    return BertTokenizer(vocab=vocab, do_lower_case=lowercase)


def _alphabet(texts: Iterable[str], blank: BertTokenizer) -> tuple[list[str], list[str]]:
    """The most frequent characters, and the pieces of one character (`a`, `##a`) that occur in `texts`, sorted."""
    counts: Counter[str] = Counter()

    def counted() -> Iterator[str]:
        for text in texts:
            counts.update(text)
            yield text

    found = set(_train(counted(), blank, 0, _SPECIAL_TOKENS, [], 0)) - set(_SPECIAL_TOKENS)
    normalized: Counter[str] = Counter()
    for character, count in counts.items():
        for part in blank.backend_tokenizer.normalizer.normalize_str(character):
            normalized[part] += count * (part in found)
    ranked = sorted(normalized, key=lambda character: (-normalized[character], character))
    kept = set(ranked[:_MAX_CHARACTERS])
    return sorted(kept & found), sorted(piece for piece in found if piece[-1] in kept)


def _train(
    texts: Iterable[str],
    blank: BertTokenizer,
    vocab_size: int,
    first: list[str],
    alphabet: list[str],
    min_frequency: int,
) -> dict[str, int]:
    """A WordPiece vocabulary that begins with `first`; an empty `alphabet` stands for all characters."""
    # The trainer numbers pieces of one character in the order of a hash map, another one in each process, and breaks
    # ties between pairs by these numbers. Giving it those pieces as its first tokens makes it deterministic.
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=first,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet) or 0x110000,
        show_progress=bool(alphabet) and sys.stderr.isatty(),  # elsewhere it writes empty lines
    )
    backend = Tokenizer(WordPiece(unk_token=blank.unk_token))
    backend.normalizer = blank.backend_tokenizer.normalizer
    backend.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    backend.train_from_iterator(texts, trainer=trainer)
    return backend.get_vocab()


def load_tokenizer(
    name_or_path: str,
    cache_dir: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool | None = None,
) -> PreTrainedTokenizerBase:
    """`AutoTokenizer.from_pretrained`, with one-line errors.

    Raises:
        UserError: no such directory or repository, or one that holds no tokenizer.
    """
    try:
        hub = {"cache_dir": cache_dir, "revision": revision, "token": token, "trust_remote_code": trust_remote_code}
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, **hub)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes of a checkpoint without one
            raise ValueError("there are no tokens but the special ones")
        return tokenizer
    except NotConverted as error:
        raise UserError(f"tokenizer: {error}") from error
    except Exception as error:  # besides OSError and ValueError, whatever a malformed file leads to
        if os.path.isdir(name_or_path):
            problem = "is a directory without a tokenizer that can be read"
        else:
            problem = "is no directory here, and the Hub gave no tokenizer"
        raise UserError(
            f"tokenizer: {name_or_path!r} {problem}: {one_line(error)}{nearest_path(name_or_path)}"
        ) from error


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, vocab_size: int | None = None) -> None:
    """That a model can be pre-trained with `tokenizer`.

    Raises:
        UserError: it is not a fast tokenizer, lacks one of the four special tokens that pre-training needs, or has
            more tokens than `vocab_size`, the model's number of embeddings.
    """
    name = tokenizer.name_or_path or type(tokenizer).__name__
    if not tokenizer.is_fast:
        raise UserError(f"tokenizer: {name!r} is not a fast tokenizer; save it with a tokenizer.json")
    missing = [kind for kind in ("pad", "cls", "sep", "mask") if getattr(tokenizer, f"{kind}_token_id") is None]
    if missing:
        raise UserError(
            f"tokenizer: {name!r} has no {' and no '.join(f'{kind}_token' for kind in missing)};"
            " pre-training needs one, as the tokenizers of BERT and ELECTRA have"
        )
    if vocab_size is not None and len(tokenizer) > vocab_size:
        raise UserError(
            f"tokenizer: {name!r} has {len(tokenizer)} tokens, but the model's vocab_size is only {vocab_size}"
        )


def fit_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, trained_length: int = 0) -> None:
    """Has a tokenizer give what the model takes and cut where its positions end, here and wherever it is saved: one
    made for BERT gives token types, which are an error to DistilBERT, and 1 among them to RoBERTa.

    Args:
        trained_length: of the rows that the model is trained on, however few the tokenizer was made for.
    """
    tokenizer.model_input_names = [name for name in input_names(model) if name in tokenizer.model_input_names]
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    most = min(tokenizer.model_max_length, longest_row(model) or tokenizer.model_max_length)
    tokenizer.model_max_length = max(most, trained_length)
