"""The tokenizer of models that fairseq trained: SentencePiece's pieces, numbered as a `dict.txt` numbers them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from transformers import BatchEncoding, XLMRobertaTokenizer
from transformers.convert_slow_tokenizer import import_protobuf
from transformers.utils import logging

from ..errors import UserError
from . import hooks

__all__ = ["MclTokenizer"]

logger = logging.get_logger(__name__)

_FIRST = ["<s>", "<pad>", "</s>", "<unk>"]
_NORMAL = 1  # the type of pieces that are neither special nor user-defined, in SentencePiece's protocol buffers


class MclTokenizer(XLMRobertaTokenizer):
    """
    SentencePiece's Unigram with fairseq's numbers: `<s> <pad> </s> <unk>` are 0 to 3, the lines of `dict.txt` follow
    in their order, and then `<mask>`, `<mask_0>` and so on, and `madeupword0000` and so on up to a round number.

    A sentence becomes `<s> a </s>`, and a pair `<s> a </s> </s> b </s>`, with no segment ids. Saving and opening are
    [`~transformers.XLMRobertaTokenizer`]'s, from one `tokenizer.json` that needs neither SentencePiece nor fairseq. A
    text next to a special token is not given the space that begins a text: in `"a word<mask>."` the full stop is the
    piece that follows words.

    What `return_offsets_mapping` says of a token begins at its word, not at the space before it, which is part of the
    piece: answers and tags that are cut out of a text by it begin with no space. `token_to_chars` includes the space.
    """

    @classmethod
    def from_fairseq(
        cls,
        sentencepiece_file: str | os.PathLike[str],
        dict_file: str | os.PathLike[str],
        extra_masks: int = 100,
        multiple: int = 8,
        **kwargs: Any,
    ) -> MclTokenizer:
        """The tokenizer that these two files of a fairseq repository describe.

        Args:
            sentencepiece_file: SentencePiece's model, of type Unigram (`sentencepiece.bpe.model`; the name is no sign
                of its type).
            dict_file: one piece and its count on each line; only the order counts.
            extra_masks: how many of `<mask_0>`, `<mask_1>` and so on follow `<mask>`.
            multiple: what the number of tokens is rounded up to a multiple of, with `madeupword0000` and so on.
            kwargs: of any tokenizer, as `model_max_length`.

        Raises:
            UserError: a file that cannot be read, or that is none of these; a piece that `dict_file` has twice; a
                model that is not a Unigram, or was trained with options that have no counterpart here.
        """
        backend = _backend(Path(sentencepiece_file), Path(dict_file), extra_masks, multiple)
        return cls(tokenizer_object=backend, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As any tokenizer's, repositories of fairseq's included."""
        opened = super().from_pretrained(hooks.locate(pretrained_model_name_or_path, **kwargs), *args, **kwargs)
        opened.name_or_path = str(pretrained_model_name_or_path)
        return opened

    def _encode_plus(  # type: ignore[override]  # its other arguments are given by name
        self, text: Any, text_pair: Any = None, **kwargs: Any
    ) -> BatchEncoding:
        """As any tokenizer's, but for the offsets."""
        if not kwargs.get("return_offsets_mapping") or kwargs.get("is_split_into_words"):  # words have no spaces
            return super()._encode_plus(text, text_pair, **kwargs)
        tensors, one = kwargs.pop("return_tensors", None), isinstance(text, str)
        texts, pairs = ([text], text_pair and [text_pair]) if one else (text, text_pair)
        found = super()._encode_plus(texts, pairs, **kwargs)
        given = list(zip(texts, pairs, strict=True)) if pairs else [(t,) if isinstance(t, str) else t for t in texts]
        encodings, data = found.encodings or [], found.data
        samples = data.get("overflow_to_sample_mapping", range(len(encodings)))
        data["offset_mapping"] = [_from_words(e, given[i]) for e, i in zip(encodings, samples, strict=True)]
        if one and tensors is None and not kwargs.get("return_overflowing_tokens"):
            data = {name: rows[0] if isinstance(rows[0], list) else rows for name, rows in data.items()}
        return BatchEncoding(data, encodings, tensor_type=tensors)

    @classmethod
    def convert_to_native_format(cls, trust_remote_code: bool = False, **kwargs: Any) -> dict[str, Any]:
        """As any tokenizer's, but that without a `tokenizer.json` there is none, instead of an empty one."""
        if not kwargs.get("tokenizer_file"):
            raise ValueError("there is no tokenizer.json, which MclTokenizer is opened from")
        return super().convert_to_native_format(trust_remote_code=trust_remote_code, **kwargs)


def _from_words(encoding: Encoding, texts: Sequence[str]) -> list[tuple[int, int]]:
    """The offsets of its tokens in one or two texts, without the spaces that they begin with."""
    places = zip(encoding.offsets, encoding.sequence_ids, strict=True)
    ends = [(end, "" if i is None else texts[i][begin:end].lstrip()) for (begin, end), i in places]
    return [(end - len(word), end) for end, word in ends]


def _backend(sentencepiece_file: Path, dict_file: Path, extra_masks: int, multiple: int) -> Tokenizer:
    model = _read_model(sentencepiece_file)
    words = _read_dictionary(dict_file)
    masks = ["<mask>", *(f"<mask_{number}>" for number in range(extra_masks))]
    specials = [*_FIRST, *(mask for mask in masks if mask not in words)]
    specials += [f"madeupword{number:04d}" for number in range(-(len(words) + len(specials)) % multiple)]
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
    if missing := scores.keys() - set(words):
        logger.warning(
            f"{dict_file} lacks {len(missing)} pieces of {sentencepiece_file}, such as {min(missing)!r}: where fairseq"
            " reads <unk>, this tokenizer reads shorter pieces"
        )
    # Symbols that are no pieces get the least score of all. A lower one would change the price of unknown characters.
    least = min(scores.values())
    vocab = [(symbol, scores.get(symbol, least)) for symbol in [*_FIRST, *words]]
    backend = Tokenizer(Unigram(vocab, _FIRST.index("<unk>")))
    backend.normalizer, spaces, backend.decoder = _spaces(model)
    strangers = [symbol for symbol, _ in vocab if symbol not in scores and len(symbol) > 1]
    backend.pre_tokenizer = pre_tokenizers.Sequence([spaces, _parting(strangers, scores)])
    backend.add_special_tokens(specials)
    return backend


def _parting(strangers: list[str], scores: dict[str, float]) -> pre_tokenizers.PreTokenizer:
    """Has none of `strangers`, which are in the vocabulary and no pieces of SentencePiece's, ever found in a text.

    Each is cut in two, preferably between characters that no piece has side by side, where SentencePiece cuts as well.
    """
    pairs = {piece[i : i + 2] for piece in scores for i in range(len(piece) - 1)}
    patterns = []
    for stranger in strangers:
        places = range(1, len(stranger))
        known = [i for i in places if not scores.keys().isdisjoint(stranger[i - 1 : i + 1])]
        place = next((i for i in known if stranger[i - 1 : i + 1] not in pairs), places[-1])
        patterns.append(f"(?<={re.escape(stranger[:place])}){re.escape(stranger[place:])}")
    return pre_tokenizers.Split(Regex("|".join(patterns)), "merged_with_next")


def _spaces(model: Any) -> tuple[normalizers.Normalizer, pre_tokenizers.PreTokenizer, decoders.Decoder]:
    """What SentencePiece does to characters, and to spaces, before it looks for pieces, and undoes after."""
    spec = model.normalizer_spec
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:  # those before a text are the one that `first` puts there
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r" \z"), "")]
    scheme = "first" if spec.add_dummy_prefix else "never"
    split = not any("▁" in piece.piece[1:] for piece in model.pieces)
    return (
        normalizers.Sequence(steps),
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split),
        decoders.Metaspace(replacement="▁", prepend_scheme=scheme),
    )


def _read_model(path: Path) -> Any:
    """SentencePiece's `ModelProto`."""
    model = import_protobuf().ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's, of a class that depends on how it is built
        raise UserError(f"{str(path)!r} is no SentencePiece model: {error}") from error
    trained, normalized = model.trainer_spec, model.normalizer_spec
    problems = {
        "is of a type other than Unigram": trained.model_type != trained.UNIGRAM,
        "has user-defined symbols": any(piece.type == piece.USER_DEFINED for piece in model.pieces),
        "was trained with byte_fallback": trained.byte_fallback,
        "was trained with treat_whitespace_as_suffix": trained.treat_whitespace_as_suffix,
        "was trained with escape_whitespaces=false": not normalized.escape_whitespaces,
        "has no pieces": not any(piece.type == _NORMAL for piece in model.pieces),
    }
    for problem, found in problems.items():
        if found:
            raise UserError(f"SentencePiece model {str(path)!r} {problem}, which MclTokenizer has no counterpart for")
    return model


def _read_dictionary(path: Path) -> list[str]:
    """The symbols of fairseq's `dict.txt` in order: `symbol count` on each line, and perhaps `#fairseq:overwrite`."""
    words: dict[str, None] = {}
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        word, _, count = line.rstrip().rpartition(" ")
        if not word or not count.isdecimal():
            raise UserError(
                f"{str(path)!r}, line {number}: {line!r} is not a piece and its count, as fairseq writes them"
            )
        if word in words or word in _FIRST:
            raise UserError(f"{str(path)!r}, line {number}: {word!r} occurs twice")
        words[word] = None
    return list(words)
