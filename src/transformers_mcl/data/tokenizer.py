"""Open, check and complete a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, processors
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging

from ..errors import NotConverted, UserError
from ..io import load_json, nearest_path, one_line
from ..models.adapters import Adapter, find_adapter
from ..models.folders import check_config, find_file
from ..models.loading import loading_in_silence, refused_code, with_trust
from ..models.structure import input_names, longest_row
from .tokenizer_training import SPECIAL_TOKENS, template

__all__ = [
    "add_special_tokens",
    "check_tokenizer",
    "fit_tokenizer",
    "load_tokenizer",
    "vocabulary_size",
]

logger = logging.get_logger(__name__)

# What a file is opened by where nothing beside it says so.
_CLASSES = {
    "tokenizer.json": "PreTrainedTokenizerFast",
    "vocab.txt": "BertTokenizer",
    "vocab.json": "RobertaTokenizer",
    "sentencepiece.bpe.model": "XLMRobertaTokenizer",
    "spiece.model": "AlbertTokenizer",
    "spm.model": "DebertaV2Tokenizer",
}
# What else says of a tokenizer what it is.
_JSON = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_MOST_HOLES = 16
# The usual names of the special tokens, of BERT's and of RoBERTa's kind.
_USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
_NEEDED = ("pad", "cls", "sep", "mask")


def load_tokenizer(
    name_or_path: str,
    cache_dir: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool | None = None,
    **more: Any,
) -> PreTrainedTokenizerBase:
    """`AutoTokenizer.from_pretrained`, with one-line errors; also of a file, or of a folder that holds no more than a
    vocabulary: `tokenizer.json`, `vocab.txt`, `vocab.json` with `merges.txt`, or a model of SentencePiece.

    `more` are other arguments of `from_pretrained`, `local_files_only` say.

    Raises:
        UserError: no such file, directory or repository, or one that holds no tokenizer.
    """
    given = {"cache_dir": cache_dir, "revision": revision, "token": token, "trust_remote_code": trust_remote_code}
    hub = with_trust({**given, **more})
    path = Path(name_or_path).expanduser()
    try:
        _check_files(name_or_path, hub)
        with _panics_as_errors():
            return _plausible(_with_named_tokens(_open(name_or_path, path, hub)))
    except (NotConverted, UserError) as error:
        raise UserError(f"tokenizer: {error}") from error
    except Exception as error:
        if refused := refused_code(error, f"tokenizer: {name_or_path!r}"):
            raise refused from error
        if (adapter := find_adapter(name_or_path, **hub)) is not None:
            return _of_adapted(name_or_path, adapter, hub)
        raise UserError(
            f"tokenizer: {name_or_path!r} {_problem(path)}: {one_line(error)}{nearest_path(name_or_path)}"
        ) from error


def _problem(path: Path) -> str:
    if path.is_file():
        return f"cannot be read as one of {', '.join(_CLASSES)}"
    if path.is_dir():
        return f"is a directory without a tokenizer that can be read; {_culprit(path)}"
    return "is no directory here, and the Hub gave no tokenizer"


def _of_adapted(name_or_path: str, adapter: Adapter, hub: dict[str, Any]) -> PreTrainedTokenizerBase:
    """That of the model that an adapter is of."""
    try:
        return load_tokenizer(adapter.base, **adapter.hub(hub))
    except UserError as error:
        raise UserError(f"tokenizer: {name_or_path!r} is an adapter without one; and of its model: {error}") from error


def _open(name_or_path: str, path: Path, hub: dict[str, Any]) -> PreTrainedTokenizerBase:
    if path.is_file():
        return _not_empty(_open_file(path))
    try:
        with loading_in_silence():
            opened = AutoTokenizer.from_pretrained(name_or_path, **hub)
        return _not_empty(opened)
    except NotConverted:
        raise
    except Exception as error:  # besides OSError and ValueError, whatever a malformed file leads to
        file = next((path / name for name in _CLASSES if (path / name).is_file()), None)
        # What lies beside others has been tried, and they say what it is.
        if file is None or file.name == "tokenizer.json" or refused_code(error, ""):
            raise
        return _not_empty(_open_file(file))


def _check_files(name_or_path: str, hub: dict[str, Any]) -> None:
    """Raises UserError if a file of the tokenizer's is no JSON."""
    check_config(name_or_path, **hub)
    for name in _JSON:
        if (file := find_file(name_or_path, name, **hub)) is not None:
            load_json(file)


def _plausible(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Its largest id may be far beyond its entries, but a model would have a row for each."""
    if (size := vocabulary_size(tokenizer)) > _MOST_HOLES * (len(tokenizer) + 1000):
        raise ValueError(f"it has {len(tokenizer):,} tokens, and ids up to {size - 1:,}")
    tokenizer("a word")  # some are damaged in what they do alone
    return tokenizer


def _culprit(folder: Path) -> str:
    """Which of the files is to be looked at."""
    there = [name for name in (*_JSON, *_CLASSES, "chat_template.jinja") if (folder / name).is_file()]
    if not there:
        return f"the files known are {', '.join(_CLASSES)}"
    if "tokenizer.json" in there:
        try:
            with _panics_as_errors():
                Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception:  # of no class of its own
            there = ["tokenizer.json"]
    return f"look at {' and '.join(there)}"


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """What `tokenizers`, of which the inside is Rust, raises at some files is no Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError(str(error)) from error
        raise


def _not_empty(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes of a checkpoint without one
        raise ValueError("there are no tokens but the special ones")
    return tokenizer


def _open_file(file: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a vocabulary with nothing beside it that says what it is."""
    name = _CLASSES.get(file.name, "PreTrainedTokenizerFast" if file.suffix == ".json" else "")
    if not name:
        raise ValueError(f"{file.name!r} is none of these names")
    options: dict[str, Any] = {}
    if file.name == "vocab.txt":
        entries = file.read_text(encoding="utf-8").split()
        options["do_lower_case"] = not any(entry != entry.lower() for entry in entries if entry[0] not in "[<")
    elif file.name == "vocab.json" and "<mask>" not in load_json(file):
        name = "GPT2Tokenizer"
    if name == "PreTrainedTokenizerFast":
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    else:
        tokenizer = getattr(transformers, name).from_pretrained(str(file.parent), **options)
    given = "".join(f", {option}={value}" for option, value in options.items())
    logger.warning(f"nothing beside {str(file)!r} says what it is: it is opened as {name}{given}")
    tokenizer.name_or_path = str(file)
    return tokenizer


def _with_named_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """With the special tokens of the usual names, where none is said to be one, as in a `tokenizer.json` alone."""
    if all(getattr(tokenizer, f"{kind}_token") is None for kind in _NEEDED):
        entries = tokenizer.get_vocab()
        found = {kind: next((name for name in names if name in entries), None) for kind, names in _USUAL.items()}
        tokenizer.add_special_tokens({f"{kind}_token": name for kind, name in found.items() if name})
    return tokenizer


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many embeddings a model needs for it: its largest id and one more, since a vocabulary may have holes."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, vocab_size: int | None = None) -> None:
    """That a model can be pre-trained with `tokenizer`.

    Raises:
        UserError: it is not a fast tokenizer, lacks one of the four special tokens that pre-training needs, has one
            token for padding or masking and for something else, or has an id beyond `vocab_size`, the model's number
            of embeddings.
    """
    name = tokenizer.name_or_path or type(tokenizer).__name__
    if not tokenizer.is_fast:
        raise UserError(
            f"tokenizer: {name!r} is a {type(tokenizer).__name__}, which has no fast tokenizer: choose another, or "
            "make one from your text with `transformers-mcl tokenizer`"
        )
    if problem := _missing(tokenizer) or _shared(tokenizer):
        raise UserError(
            f"tokenizer: {name!r} has {problem}; pre-training needs them as the tokenizers of BERT and ELECTRA have "
            f"them: `transformers-mcl tokenizer --tokenizer_name {name} --add_special_tokens true --output_dir NEW` "
            "adds what is missing"
        )
    if vocab_size is not None and (needed := vocabulary_size(tokenizer)) > vocab_size:
        raise UserError(f"tokenizer: {name!r} has {needed} tokens, but the model's vocab_size is only {vocab_size}")


def _missing(tokenizer: PreTrainedTokenizerBase) -> str:
    kinds = [kind for kind in _NEEDED if getattr(tokenizer, f"{kind}_token_id") is None]
    return " and ".join(f"no {kind}_token" for kind in kinds)


def _shared(tokenizer: PreTrainedTokenizerBase) -> str:
    return next((f"one token, {tokens[0]!r}, as {' and '.join(tokens[1:])}" for tokens in _same(tokenizer)), "")


def _same(tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str, str]]:
    """The tokens of padding and masking that mean something else as well: what is masked would read as unknown, and
    what is padding as a separator. That the others are one does no harm: GPT-2 has one for all of them."""
    kinds = {kind: getattr(tokenizer, f"{kind}_token_id") for kind in SPECIAL_TOKENS}
    return [
        (str(getattr(tokenizer, f"{kind}_token")), f"{kind}_token", f"{other}_token")
        for kind in ("pad", "mask")
        for other in kinds
        if kind != other and kinds[kind] is not None and kinds[kind] == kinds[other]
    ]


def add_special_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    """A tokenizer with the same ids, and with the special tokens that [`check_tokenizer`] misses, as `[PAD]`, `[CLS]`,
    `[SEP]` and `[MASK]`, after its largest id where it has none of these names; a row is then `[CLS] text [SEP]`.

    Raises:
        UserError: it is not a fast tokenizer.
    """
    if not tokenizer.is_fast:
        check_tokenizer(tokenizer)
    tokens = {f"{kind}_token": getattr(tokenizer, f"{kind}_token") for kind in SPECIAL_TOKENS}
    shared = {kind for _, kind, _ in _same(tokenizer)}
    for kind in _NEEDED:
        if tokens[f"{kind}_token"] is None or f"{kind}_token" in shared:
            tokens[f"{kind}_token"] = SPECIAL_TOKENS[kind]
    complete = PreTrainedTokenizerFast(
        tokenizer_object=_without_holes(tokenizer.backend_tokenizer),
        model_input_names=tokenizer.model_input_names,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        **{name: token for name, token in tokens.items() if token is not None},
    )
    row = complete("a").input_ids
    if row[:1] != [complete.cls_token_id] or row[-1:] != [complete.sep_token_id]:
        backend, cls, sep = complete.backend_tokenizer, str(complete.cls_token), str(complete.sep_token)
        trims = [processors.ByteLevel(trim_offsets=True)] if isinstance(backend.decoder, decoders.ByteLevel) else []
        around = template(cls, complete.cls_token_id, sep, complete.sep_token_id)
        backend.post_processor = processors.Sequence([*trims, around])
    return complete


def _without_holes(backend: Tokenizer) -> Tokenizer:
    """With `[unused9]` as token 9 where there is none: a token that is added would get an id that is in use."""
    state = json.loads(backend.to_str())
    vocab = state["model"]["vocab"]
    if isinstance(vocab, dict):
        taken = set(backend.get_vocab(with_added_tokens=True).values())
        vocab |= {f"[unused{number}]": number for number in range(max(taken, default=0)) if number not in taken}
    return Tokenizer.from_str(json.dumps(state))


def check_words(tokenizer: PreTrainedTokenizerBase) -> None:
    """That `tokenizer` tells words apart, which whole-word masking needs.

    Raises:
        UserError: it takes two words for one, as one without a pre-tokenizer does.
    """
    if len(set(tokenizer(["a b"], add_special_tokens=False).word_ids(0))) == 1:
        name = tokenizer.name_or_path or type(tokenizer).__name__
        raise UserError(
            f"whole_word_mask: the tokenizer {name!r} takes 'a b' for one word, since it does not split text into "
            "words before their pieces: leave whole_word_mask out, or take one with a pre_tokenizer"
        )


def tokens_a_word(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> float:
    """How many tokens a word of `texts`, one or more, has in the mean; 0 if they have none."""
    encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
    words = [encoded.word_ids(number) for number in range(len(texts))]
    return sum(map(len, words)) / max(sum(len(set(its)) for its in words), 1)


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
