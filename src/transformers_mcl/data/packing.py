"""Documents to rows of ids: tokenized once, then packed without padding or cut one document a row."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, List, Value
from datasets.fingerprint import Hasher
from transformers import BatchEncoding, PreTrainedTokenizerBase

from ..errors import UserError
from .arguments import DataArguments
from .cached import map_once
from .coverage import check_coverage
from .tokenizer import check_tokenizer, check_words

DEFAULT_SEQ_LENGTH = 128
_RAGGED = Features({"input_ids": List(Value("int32"))})
_RAGGED_WORDS = Features({**_RAGGED, "word_starts": List(Value("bool"))})
# Added to the id of a token that begins a word, from tokenizing to rows: so all that moves ids moves words with them.
_WORD_START = 1 << 30
# Small, since the tokenizer keeps offsets and strings of a whole batch: a few hundred bytes a token.
_DOCUMENTS_A_BATCH = 200


@dataclass(frozen=True)
class CorpusStatistics:
    """What one split holds: all its text, or where `max_train_samples` or `max_eval_samples` limits the rows, the
    documents that the rows are made of.

    Attributes:
        documents: those with at least one token.
        tokens: of these documents, special tokens not counted.
        rows: of ids.
        dropped_tokens: tokens and separators in no row: the incomplete last row, the ends that `line_by_line` cuts
            off, the rest of the document in which the last row allowed ends.
        unknown_fraction: of the characters of a sample of the split, those that the tokenizer does not know.
    """

    documents: int
    tokens: int
    rows: int
    dropped_tokens: int
    unknown_fraction: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents,"
            f" {self.tokens:,} tokens ({self.unknown_fraction:.2%} of characters unknown),"
            f" {self.rows:,} rows, {self.dropped_tokens:,} tokens dropped"
        )


class TokenStream:
    """All tokens of a tokenized split, end to end, read from the memory-mapped table when sliced.

    Args:
        documents: column `input_ids`, int32 lists.
    """

    def __init__(self, documents: Dataset) -> None:
        column = documents.data.column("input_ids")
        self._chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
        self._ends = np.cumsum([len(chunk) for chunk in self._chunks], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, tokens: slice) -> np.ndarray:
        """Tokens `start` to `stop`, both given and inside the stream."""
        first, last = np.searchsorted(self._ends, [tokens.start, tokens.stop - 1], side="right")
        parts, begin = [], int(self._ends[first]) - len(self._chunks[first])
        for chunk in self._chunks[first : last + 1]:  # views: of a long chunk only what is wanted is read
            parts.append(chunk[max(tokens.start - begin, 0) : tokens.stop - begin])
            begin += len(chunk)
        return np.concatenate(parts)


def tokenize_and_pack(
    corpus: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    args: DataArguments | None = None,
    *,
    max_seq_length: int | None = None,
) -> tuple[DatasetDict, dict[str, CorpusStatistics]]:
    """Rows of ids from documents, with what each split holds.

    A packed row is `[CLS]`, then `max_seq_length - 2` tokens of the stream, then `[SEP]`. The stream is the tokens of
    all documents of a split, each document followed by one `[SEP]`; so rows hold parts of several documents and no
    padding, and only the incomplete last row is dropped. With `args.document_attention` the stream has a `[CLS]`
    before each document as well, so that every part of one in a row begins with `[CLS]` and ends with `[SEP]`. With
    `args.line_by_line` a row is `[CLS] document [SEP]`, cut to `max_seq_length`, of its own length. Text never becomes
    a special token, even if it reads `[MASK]`. With `args.whole_word_mask` the rows of the split `train` say where
    words begin as well: those of the tokenizer, whatever part of one is in a row.

    The result does not depend on the number of processes. It is cached beside the files of `corpus`.

    Args:
        corpus: splits with the column `text`, as `load_corpus` returns them.
        args: `line_by_line`, `document_attention`, `whole_word_mask`, `preprocessing_num_workers`, `overwrite_cache`,
            `max_train_samples` and `max_eval_samples` count here, and `max_seq_length` where it is not given
            separately.
        max_seq_length: length of a row; if None that of `args`, or else 128.

    Returns:
        The splits of `corpus` with the column `input_ids` (int32), in whole words also `word_starts` (bool), and the
        statistics of each.

    Raises:
        UserError: a split holds too little text for one row, or the tokenizer lacks a special token, or words, or
            knows less than half of the characters.
    """
    args = args or DataArguments()
    length = max_seq_length or args.max_seq_length or DEFAULT_SEQ_LENGTH
    check_tokenizer(tokenizer)
    if args.whole_word_mask:
        check_words(tokenizer)
    limits = {"train": args.max_train_samples, "validation": args.max_eval_samples}
    splits, statistics = {}, {}
    for split, texts in corpus.items():
        its = replace(args, whole_word_mask=args.whole_word_mask and split == "train")  # evaluations take tokens
        coverage = check_coverage(split, texts["text"], tokenizer)
        documents = _tokenize(texts, tokenizer, its)
        splits[split], laid_out = _lay_out(split, documents, length, limits.get(split), tokenizer, its)
        statistics[split] = replace(laid_out, unknown_fraction=coverage.unknown_fraction)
    return DatasetDict(splits), statistics


def _lay_out(
    split: str,
    documents: Dataset,
    length: int,
    limit: int | None,
    tokenizer: PreTrainedTokenizerBase,
    args: DataArguments,
) -> tuple[Dataset, CorpusStatistics]:
    """Rows of tokenized documents, at most `limit`."""
    around = 2 if args.document_attention else 1  # special ids of a document
    stream = TokenStream(documents)
    if args.line_by_line:
        rows = _cut(documents, length, tokenizer, args)
    else:
        rows = _pack(documents, len(stream) // (length - 2), length, tokenizer, args)
    if not len(rows):
        raise UserError(
            f"the {split} text has {len(stream) - around * len(documents)} tokens, too few for one row of "
            f"max_seq_length {length}: give more text or a smaller max_seq_length"
        )
    if limit is not None and limit < len(rows):
        rows = rows.select(range(limit))
        needed = limit if args.line_by_line else _documents_of(documents, limit * (length - 2))
        documents = documents.select(range(needed))
        stream = TokenStream(documents)
    tokens = len(stream) - around * len(documents)
    # Added to the stream's ids: [CLS], and in a packed row also the final [SEP].
    added = len(rows) * (1 if args.line_by_line else 2)
    return rows, CorpusStatistics(
        documents=len(documents),
        tokens=tokens,
        rows=len(rows),
        dropped_tokens=len(stream) - len(TokenStream(rows)) + added,
    )


def _documents_of(documents: Dataset, ids: int) -> int:
    """How many of the documents hold the first `ids` of their stream."""
    lengths = pc.list_value_length(documents.data.column("input_ids")).to_numpy()
    return int(np.searchsorted(lengths.cumsum(), ids)) + 1


def _tokenize(texts: Dataset, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> Dataset:
    """Each document's ids with `[SEP]` after them, and `[CLS]` before them where documents are kept apart: the same
    for every length of rows."""
    before = [tokenizer.cls_token_id] if args.document_attention else []
    return map_once(
        texts,
        tokenize_words if args.whole_word_mask else tokenize_batch,
        input_columns="text",
        remove_columns=texts.column_names,
        features=_RAGGED,
        batch_size=_DOCUMENTS_A_BATCH,
        fn_kwargs={"tokenizer": tokenizer, "before": before},
        desc="Tokenizing",
        **args.map_options(len(texts)),
    )


def tokenize_batch(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, before: list[int]
) -> dict[str, list[list[int]]]:
    documents = _encode(texts, tokenizer)["input_ids"]
    return {"input_ids": [[*before, *document, tokenizer.sep_token_id] for document in documents if document]}


def tokenize_words(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, before: list[int]
) -> dict[str, list[list[int]]]:
    """As `tokenize_batch`, with the beginnings of words marked in the ids, for `with_words` to read."""
    encoded, documents = _encode(texts, tokenizer), []
    for number, ids in enumerate(encoded["input_ids"]):
        words = encoded.word_ids(number)
        starts = (word is None or word != last for word, last in zip(words, [None, *words], strict=False))
        marked = [token + _WORD_START * start for token, start in zip(ids, starts, strict=True)]
        if marked:
            documents.append([*before, *marked, tokenizer.sep_token_id])
    return {"input_ids": documents}


def with_words(ids: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a row, or of several, whose ids `tokenize_words` has marked."""
    return {"input_ids": ids & ~_WORD_START, "word_starts": ids >= _WORD_START}


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> BatchEncoding:
    return tokenizer(
        texts,
        add_special_tokens=False,
        split_special_tokens=True,  # "[MASK]" in a text is text
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # no warning at documents longer than the model
    )


def _cut(documents: Dataset, length: int, tokenizer: PreTrainedTokenizerBase, args: DataArguments) -> Dataset:
    """Rows `[CLS] document [SEP]` of at most `length` ids."""
    return map_once(
        documents,
        _cut_words if args.whole_word_mask else _cut_batch,
        input_columns="input_ids",
        features=_RAGGED_WORDS if args.whole_word_mask else _RAGGED,
        fn_kwargs={"cls": tokenizer.cls_token_id, "length": length},
        desc="Cutting",
        **args.map_options(len(documents)),
    )


def _cut_batch(documents: list[list[int]], cls: int, length: int) -> dict[str, list[list[int]]]:
    return {"input_ids": [[cls, *ids[:-1][: length - 2], ids[-1]] for ids in documents]}


def _cut_words(documents: list[list[int]], cls: int, length: int) -> dict[str, list[np.ndarray]]:
    rows = [with_words(np.array(ids)) for ids in _cut_batch(documents, cls, length)["input_ids"]]
    return {name: [row[name] for row in rows] for name in _RAGGED_WORDS}


def _pack(
    documents: Dataset, rows: int, length: int, tokenizer: PreTrainedTokenizerBase, args: DataArguments
) -> Dataset:
    """The first `rows * (length - 2)` tokens of the stream as rows of `length`."""
    packer = _Packer(documents, length, tokenizer.cls_token_id, tokenizer.sep_token_id, bool(args.whole_word_mask))
    # The map runs over row numbers, which have no file: so we say where the result belongs, and what it follows from.
    fingerprint = Hasher.hash([documents._fingerprint, length, packer.cls, packer.sep])
    files = [Path(file["filename"]) for file in documents.cache_files]
    return map_once(
        Dataset.from_dict({"row": np.arange(rows)}),
        packer,
        input_columns="row",
        remove_columns=["row"],
        features=Features(
            {
                name: List(ids.feature, length=length)
                for name, ids in (_RAGGED_WORDS if packer.words else _RAGGED).items()
            }
        ),
        new_fingerprint=fingerprint,
        cache_file_name=str(files[0].with_name(f"cache-{fingerprint}.arrow")) if files else None,
        desc="Packing",
        **args.map_options(rows),
    )


@dataclass
class _Packer:
    documents: Dataset
    length: int
    cls: int
    sep: int
    words: bool

    @functools.cached_property
    def stream(self) -> TokenStream:
        return TokenStream(self.documents)  # once a process

    def __call__(self, rows: list[int]) -> pa.Table:
        """Rows `rows[0]` to `rows[-1]`, which follow one another."""
        body = self.length - 2
        packed = np.empty((len(rows), self.length), dtype=np.int32)
        packed[:, 0] = self.cls
        packed[:, 1:-1] = self.stream[rows[0] * body : (rows[-1] + 1) * body].reshape(-1, body)
        packed[:, -1] = self.sep
        columns = with_words(packed) if self.words else {"input_ids": packed}
        return pa.table(
            {name: pa.FixedSizeListArray.from_arrays(rows.ravel(), self.length) for name, rows in columns.items()}
        )
