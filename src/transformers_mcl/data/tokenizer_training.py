"""A tokenizer from text: WordPiece, BPE, byte-level BPE or Unigram, each without a character that is lost."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Model, Unigram, WordPiece
from tokenizers.trainers import BpeTrainer, Trainer, UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from ..errors import UserError, check_name

__all__ = ["SPECIAL_TOKENS", "ModelName", "NormalizerName", "template", "train_tokenizer"]

logger = logging.get_logger(__name__)

ModelName = Literal["wordpiece", "bpe", "byte_bpe", "unigram"]
NormalizerName = Literal["nfc", "nfkc", "none"]
SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

# Characters without a space that a model is given at once, so that time grows with the text. Of longer words BERT's
# tokenizer, whose time grows with the square, makes [UNK]: up to this length WordPiece here and there are the same.
_LONGEST = 100
# Unigram's time grows faster: of a longer run it learns from the beginning alone.
_LEARNT_RUN = re.compile(r"(\S{10000})\S+")
_HAN = r"\p{Han}\x{20000}-\x{3FFFF}"  # with the ideographs that are younger than the tables of Regex
_SYMBOLS = r"!-/:-@\[-`{-~"  # of ASCII, which BERT takes for punctuation
_LETTERS = r"\p{L}\p{M}\p{Cf}"  # and what joins or parts letters inside a word
_WITHOUT_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\x{3000}-\x{303F}\x{FF00}-\x{FF65}"
_SPACE = "▁"  # as SentencePiece writes it
# Scripts of thousands of characters, of which a text has only some, and the encodings that hold the common ones.
_LARGE_SCRIPTS = ((range(0x4E00, 0xA000), ("gb2312", "big5", "shift_jis")), (range(0xAC00, 0xD7A4), ("euc_kr",)))
_BLOCK = 0x80  # code points; Unicode gives a script one of them, or several
_MUCH = 0.01  # of a text's characters: from here on it is written in such a script


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    model: ModelName = "wordpiece",
    *,
    lowercase: bool = False,
    strip_accents: bool = False,
    unicode_normalizer: NormalizerName = "nfc",
    min_frequency: int = 2,
) -> PreTrainedTokenizerFast:
    """A tokenizer as ELECTRA uses it: `[PAD] [UNK] [CLS] [SEP] [MASK]` are ids 0 to 4, a pair `[CLS] a [SEP] b [SEP]`.

    Every character that occurs twice or more is in the vocabulary. The room that pieces leave is given to characters
    that occur once, and then to those of ASCII and of the text's scripts that it lacks, the common ones of Chinese,
    Japanese and Korean first. A character that is unknown nevertheless is one `[UNK]`, and takes no other with it. The
    same texts give the same tokenizer.

    WordPiece reads each Han character by itself, and words as BERT's tokenizer does, except those of over 100
    characters, which it reads in parts. The others make pieces of several Han characters as well, and keep the space
    before a word in its first piece, so that ids decode to the text.

    Args:
        texts: read twice; a generator is first read into memory.
        vocab_size: entries to aim at; fewer if the texts hold too few pieces.
        model: `wordpiece`, `bpe`, `byte_bpe`, whose pieces are bytes, so that no character is unknown, or `unigram`.
        lowercase: whether to lower-case text; accents stay.
        strip_accents: whether to remove the accents of Latin, Greek and Cyrillic letters; the vowel signs of other
            scripts stay.
        unicode_normalizer: `nfc`, by which é is the same whether it is written as one code point or two; `nfkc`, by
            which ① and 1, ﬁ and fi, full and half width are the same as well; or `none`.
        min_frequency: how often two neighbouring pieces must occur to become one. Unigram has no such bound.

    Raises:
        UserError: there is no text, or `vocab_size` does not even hold the special tokens and the characters.
    """
    check_name("model", model, get_args(ModelName))
    check_name("unicode_normalizer", unicode_normalizer, get_args(NormalizerName))
    texts = list(texts) if isinstance(texts, Iterator) else texts
    normalizer = _normalizer(unicode_normalizer, lowercase, strip_accents)
    counts = _count_characters(normalizer.normalize_str(text) for text in texts)
    kept = sorted(character for character, count in counts.items() if count > 1)
    if not kept:
        raise UserError("no text to train a tokenizer on: no character occurs twice")
    pieces = [piece for forms in _pieces(model, kept).values() for piece in forms]
    _check_room(vocab_size, len(pieces), model)
    # What is not kept parts words, so that it is in no piece.
    rare = {} if model == "byte_bpe" else {ord(character): " " for character in counts.keys() - set(kept)}
    entries, merges = _train(
        (normalizer.normalize_str(text).translate(rare) for text in texts),
        model,
        vocab_size,
        _pre_tokenizer(model, kept),
        _trainer(model, vocab_size, min_frequency, pieces),
    )
    if model != "byte_bpe":
        kept += _fill(entries, vocab_size, model, [*sorted(map(chr, rare)), *_lacking(counts)])
    if len(entries) < vocab_size:
        logger.warning(f"vocab_size is {vocab_size}, but the text holds only {len(entries)} frequent enough pieces")
    backend = Tokenizer(_model(model, entries, merges))
    backend.normalizer = normalizer
    backend.pre_tokenizer = _pre_tokenizer(model, kept)
    backend.decoder = _decoder(model)
    backend.post_processor = template("[CLS]", 2, "[SEP]", 3)
    if model == "byte_bpe":  # whose pieces begin with a space, which is no part of the word
        backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), backend.post_processor])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in SPECIAL_TOKENS.items()},
    )


def template(cls: str, cls_id: int, sep: str, sep_id: int) -> processors.TemplateProcessing:
    """`[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`, of token type 1 from `b` on."""
    return processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, cls_id), (sep, sep_id)],
    )


def _normalizer(unicode_normalizer: NormalizerName, lowercase: bool, strip_accents: bool) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if unicode_normalizer != "none":
        steps.append(normalizers.NFC() if unicode_normalizer == "nfc" else normalizers.NFKC())
    if lowercase:
        steps.append(normalizers.Lowercase())
    if strip_accents:
        # Not StripAccents, which takes Hindi's vowel signs and Japanese's voicing as well; and composed again, or
        # Korean would stay in parts.
        accents = normalizers.Replace(Regex(r"[\x{300}-\x{36F}]"), "")
        steps += [normalizers.NFD(), accents, normalizers.NFC()]
    return normalizers.Sequence(steps)


def _count_characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return Counter({character: count for character, count in counts.items() if not character.isspace()})


def _pieces(model: ModelName, characters: list[str]) -> dict[str, list[str]]:
    """Of each character the entries without which it would be unknown somewhere; of bytes all, as those of none."""
    if model == "byte_bpe":
        return {"": sorted(pre_tokenizers.ByteLevel.alphabet())}
    if model != "wordpiece":
        return {character: [character] for character in [_SPACE, *characters]}
    splits = _pre_tokenizer(model, characters)
    inside = {character: len(splits.pre_tokenize_str(character * 2)) == 1 for character in characters}
    return {character: [character, f"##{character}"] if inside[character] else [character] for character in characters}


def _check_room(vocab_size: int, characters: int, model: ModelName) -> None:
    least = len(SPECIAL_TOKENS) + characters
    if vocab_size < least:
        what = "bytes" if model == "byte_bpe" else "characters that occur twice or more"
        remedy = "" if model == "byte_bpe" else ", or take model byte_bpe, which knows every character with 261"
        raise UserError(
            f"vocab_size is {vocab_size}: the special tokens and the {what} take {least} entries: give at least so "
            f"many{remedy}"
        )


def _pre_tokenizer(model: ModelName, characters: list[str]) -> pre_tokenizers.PreTokenizer:
    """Where text is always cut; of WordPiece `characters` are those that it knows."""
    if model == "wordpiece":
        # As BERT's, but that what it does not know is cut off as well: one such character makes a whole word unknown.
        inside = rf"[{_ranges(characters)}&&[^{_HAN}\p{{P}}{_SYMBOLS}]]"
        return pre_tokenizers.Split(Regex(rf"{inside}{{1,{_LONGEST}}}|\S"), "removed", invert=True)
    space = " " if model == "byte_bpe" else _SPACE
    kinds = (f"[{_LETTERS}]", r"\p{N}", rf"[^\s{_LETTERS}\p{{N}}]")
    runs = "|".join(f"{space}?{kind}{{1,{_LONGEST}}}" for kind in kinds)
    if model == "byte_bpe":  # of several spaces, the last goes with the word, as in GPT-2
        split = pre_tokenizers.Split(Regex(rf"{runs}|\s{{1,{_LONGEST}}}(?!\S)|\s"), "isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    # Spaces are taken away, and then put before words, so that the offsets of a piece do not begin with one.
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always", split=False),
            pre_tokenizers.Split(Regex(runs), "isolated"),
        ]
    )


def _ranges(characters: list[str]) -> str:
    """The inside of a class of a regular expression that holds `characters`."""
    ranges: list[list[int]] = []
    for number in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in ranges)


def _trainer(model: ModelName, vocab_size: int, min_frequency: int, pieces: list[str]) -> Trainer:
    special = list(SPECIAL_TOKENS.values())
    shown: dict[str, Any] = {"vocab_size": vocab_size, "show_progress": sys.stderr.isatty()}  # else empty lines
    if model == "unigram":
        alphabet = [piece for piece in pieces if len(piece) == 1]
        return UnigramTrainer(unk_token="[UNK]", special_tokens=special, initial_alphabet=alphabet, **shown)
    # BPE's trainer, which is WordPiece's too, numbers pieces like ##a in the order of a hash map, another one in each
    # process, and breaks ties by these numbers. Giving it all pieces of one character makes it deterministic.
    shown |= {"special_tokens": special + pieces, "min_frequency": min_frequency}
    return WordPieceTrainer(**shown) if model == "wordpiece" else BpeTrainer(**shown)


_Entries = dict[str, float]


def _train(
    texts: Iterable[str], model: ModelName, vocab_size: int, splits: pre_tokenizers.PreTokenizer, trainer: Trainer
) -> tuple[_Entries, list[tuple[str, str]]]:
    """The vocabulary in the order of its ids, Unigram's with its scores; and BPE's merges."""
    backend = Tokenizer(_model(model, {}, []))
    backend.pre_tokenizer = splits
    if model == "unigram":
        texts = (_LEARNT_RUN.sub(r"\1 ", text) for text in texts)
    backend.train_from_iterator(texts, trainer=trainer)
    trained = json.loads(backend.to_str())["model"]
    if model == "unigram":
        return _settled(trained["vocab"], vocab_size), []
    entries = dict(sorted(trained["vocab"].items(), key=lambda entry: entry[1]))
    return entries, [(one, other) for one, other in trained.get("merges", ())]


def _settled(vocab: list[tuple[str, float]], vocab_size: int) -> _Entries:
    """Unigram's pieces, at most `vocab_size`, with scores that are the same in every process.

    The trainer adds numbers up in the order of a hash map, which changes the last digits, and gives characters that it
    has no use for scores that rise in such an order from the least one on, by 0.0001 each.
    """
    special = dict.fromkeys(SPECIAL_TOKENS.values(), 0.0)
    scores = {piece: round(score, 6) for piece, score in vocab if piece not in special}
    least = min(scores.values(), default=0.0)
    idle = least + 1e-4 * len(scores)
    scores = {piece: least if len(piece) == 1 and score < idle else score for piece, score in scores.items()}
    ranked = sorted(scores, key=lambda piece: (-scores[piece], piece))
    for piece in [piece for piece in reversed(ranked) if len(piece) > 1][: max(len(special | scores) - vocab_size, 0)]:
        ranked.remove(piece)
    return special | {piece: scores[piece] for piece in ranked}


def _fill(entries: _Entries, vocab_size: int, model: ModelName, characters: list[str]) -> list[str]:
    """Gives `characters` the room that there is; those that found some."""
    least = min(entries.values())
    found = []
    for character, pieces in _pieces(model, characters).items():
        new = [piece for piece in pieces if piece not in entries]
        if len(entries) + len(new) > vocab_size:
            break
        for piece in new:
            entries[piece] = least if model == "unigram" else len(entries)
        found.append(character)
    return found


def _lacking(counts: Counter[str]) -> list[str]:
    """What texts in these scripts hold, whether this one does or not: ASCII, the blocks of the letters that it is
    written in, and of scripts of thousands of characters the common ones first."""
    much = _MUCH * counts.total()
    blocks: Counter[int] = Counter()
    for character, count in counts.items():
        blocks[ord(character) // _BLOCK] += count
    numbers = list(range(0x80))
    for block, count in sorted(blocks.items()):
        if count > much and not any(block * _BLOCK in script for script, _ in _LARGE_SCRIPTS):
            numbers += range(block * _BLOCK, (block + 1) * _BLOCK)
    for script, encodings in _LARGE_SCRIPTS:
        if sum(counts[chr(number)] for number in script) > much:
            numbers += sorted(script, key=lambda n: (not any(_encodes(chr(n), name) for name in encodings), n))
    characters = dict.fromkeys(map(chr, numbers))
    return [one for one in characters if not counts[one] and unicodedata.category(one)[0] not in "CZ"]


def _encodes(character: str, encoding: str) -> bool:
    try:
        return bool(character.encode(encoding))
    except UnicodeEncodeError:
        return False


def _model(model: ModelName, entries: _Entries, merges: list[tuple[str, str]]) -> Model:
    if model == "unigram":
        return Unigram(list(entries.items()), unk_id=1) if entries else Unigram()
    vocab = {piece: number for number, piece in enumerate(entries)}
    if model == "wordpiece":
        return WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=_LONGEST)
    return BPE(vocab, merges) if model == "byte_bpe" else BPE(vocab, merges, unk_token="[UNK]")


def _decoder(model: ModelName) -> decoders.Decoder:
    if model == "byte_bpe":
        return decoders.ByteLevel()
    if model != "wordpiece":
        return decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")
    between = Regex(f"(?<=[{_WITHOUT_SPACES}]) (?=[{_WITHOUT_SPACES}])")
    return decoders.Sequence([decoders.WordPiece(prefix="##"), decoders.Fuse(), decoders.Replace(between, "")])
