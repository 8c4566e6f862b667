"""Text to batches of packed rows while it is read: shuffled, divided among processes and workers, resumed exactly."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..errors import UserError
from .arguments import DataArguments
from .corpus import DOCUMENTS, read_files
from .duplicates import Watch
from .mixing import join
from .packing import DEFAULT_SEQ_LENGTH, tokenize_batch, tokenize_words, with_words
from .remote import is_remote, use_token
from .shards import Reading, Shard, find_shards, read_documents
from .shares import Piece, file_sizes, shard_sizes, share_out, spread
from .sources import find_validation_files
from .tokenizer import check_tokenizer, check_words

logger = logging.get_logger(__name__)

# The tokenizer keeps a few hundred bytes a token of what it is given at once.
_CHARACTERS_A_BATCH = 1 << 17
_EMPTY_EPOCHS = 3  # of another order each; a consumer that finds nothing in so many will find nothing
BEGIN_ANEW = "--ignore_data_skip true to begin the stream anew"


@dataclass(frozen=True)
class StreamStatistics:
    """What is known of a stream before it is read.

    Attributes:
        files: how many.
        shards: parts of files, which are read in a new order every epoch.
        bytes: of the files, as they are stored; 0 if nobody knows.
        unknown_fraction: of the characters of a sample, those that the tokenizer does not know, if that was measured.
    """

    files: int
    shards: int
    bytes: int
    unknown_fraction: float | None = None

    def __str__(self) -> str:
        size = f"{self.bytes:,} bytes" if self.bytes else "size unknown"
        unknown = "" if self.unknown_fraction is None else f" ({self.unknown_fraction:.2%} of characters unknown)"
        files = f"{self.files:,} files in {self.shards:,} shards"
        return f"a stream of {files}, {size}; its tokens are not counted{unknown}"


@dataclass(frozen=True)
class SourcePosition:
    """The next document of a consumer in one source: of that epoch, of that one of its pieces of shards."""

    epoch: int = 0
    piece: int = 0
    document: int = 0


@dataclass(frozen=True)
class StreamPosition:
    """Where one consumer of a stream is: what was read before its present block of rows, and how much of that is out.

    Attributes:
        places: in each source; at the beginning if empty.
        draws: documents that were drawn from the sources.
        rest: ids of a row that those before left incomplete, at most `max_seq_length - 3`.
        row: rows of the block that are given out.
    """

    places: tuple[SourcePosition, ...] = ()
    draws: int = 0
    rest: tuple[int, ...] = ()
    row: int = 0

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> StreamPosition:
        """What `asdict` made of one."""
        places = tuple(SourcePosition(**place) for place in saved["places"])
        return cls(places, saved["draws"], tuple(saved["rest"]), saved["row"])


class _Block:
    """Rows that are shuffled together; they are made again from `start`, so `start` is all there is to save."""

    def __init__(self, start: StreamPosition) -> None:
        self.start = start
        self.rows: list[np.ndarray] = []
        self.complete = False


class TextStream(IterableDataset[tuple[np.ndarray, StreamPosition]]):
    """Endless packed rows of the documents of `shards`, epoch after epoch.

    Rows are as `tokenize_and_pack` makes them, of the documents in the order in which they come. Each epoch reads the
    shards in another order, and rows are shuffled among the `shuffle_buffer_size` that follow one another. An
    incomplete last row goes on with the next epoch's text.

    The consumers, which are the loader workers of all processes, read as much text each, whatever the sizes of the
    shards (`share_out`). An epoch gives each document to one consumer. One that is through with its share begins the
    next epoch at once, so none waits for another.

    Where several sources are mixed, each has its epochs and its shares, and a consumer's documents come from them in
    the proportions of `weights`.

    Args:
        shards: as `find_shards` finds them.
        tokenizer: with `[CLS]` and `[SEP]`.
        weights: a positive number for each source; shares of the documents once they are divided by their sum.
        reading: how the shards are read.
        max_seq_length: ids of a row.
        document_attention: whether each document gets a `[CLS]` of its own.
        whole_word_mask: whether the ids say where words begin, for `with_words` to read.
        shuffle_buffer_size: rows; 0 keeps rows and shards in order.
        seed: of all orders.

    Attributes:
        process, processes: whose share this process reads, and of how many.
        watch: what the first consumer shows all that it reads.

    Raises:
        UserError: at once, the tokenizer lacks a special token, or words.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        tokenizer: PreTrainedTokenizerBase,
        *,
        weights: Sequence[float] = (1.0,),
        reading: Reading = Reading(),  # noqa: B008 - frozen
        max_seq_length: int = DEFAULT_SEQ_LENGTH,
        document_attention: bool = False,
        whole_word_mask: bool = False,
        shuffle_buffer_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        check_tokenizer(tokenizer)
        if whole_word_mask:
            check_words(tokenizer)
        self.shards = list(shards)
        self.tokenizer = tokenizer
        self.weights = np.array(weights) / np.sum(weights)
        self.reading = reading
        self.max_seq_length = max_seq_length
        self.document_attention = document_attention
        self.whole_word_mask = whole_word_mask
        self.shuffle_buffer_size = shuffle_buffer_size
        self.seed = seed
        self.process, self.processes = 0, 1
        self.watch = Watch()
        self._positions: dict[int, StreamPosition] = {}
        self._first = 0
        self._sizes = shard_sizes(self.shards)
        numbers = np.array([shard.source for shard in self.shards])
        self._sources = [np.flatnonzero(numbers == source) for source in range(len(self.weights))]

    @property
    def statistics(self) -> StreamStatistics:
        paths = {shard.path for shard in self.shards}
        return StreamStatistics(len(paths), len(self.shards), sum(file_sizes(paths).values()))

    def identity(self) -> dict[str, Any]:
        """What has to be the same for a position to mean the same, by the names of the arguments."""
        # Not the folder: a data set may move. Sizes say who reads what.
        parts = [
            (os.path.basename(shard.path), shard.start, shard.stop, shard.skip, shard.source, size)
            for shard, size in zip(self.shards, self._sizes.tolist(), strict=True)
        ]
        return {
            "mixing_weights": self.weights.tolist(),
            "text": f"{len(parts)} shards {hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}",
            "text_column": self.reading.text_column,
            "document_separator": self.reading.separator,
            "text_errors": self.reading.text_errors,
            "tokenizer": hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:12],
            "max_seq_length": self.max_seq_length,
            "document_attention": self.document_attention,
            "whole_word_mask": self.whole_word_mask,
            "shuffle_buffer_size": self.shuffle_buffer_size,
            "seed": self.seed,
        }

    def epochs(self, position: StreamPosition, consumers: int) -> float:
        """How often a consumer has read its share of the text, to a shard."""
        read, total = 0.0, 0.0
        for shards, place in zip(self._sources, position.places, strict=True):
            size = float(self._sizes[shards].sum())
            read += size * (place.epoch + min(place.piece * consumers / max(len(shards), consumers), 1))
            total += size
        return read / total

    def start_at(self, positions: dict[int, StreamPosition], first: int) -> None:
        """Makes the next iteration begin with worker `first`'s turn, each at its position, or at the beginning."""
        self._positions, self._first = dict(positions), first

    def __iter__(self) -> Iterator[Any]:
        """Rows, each with the position after it; an error of the user's comes as the last item, since a loader
        worker would wrap it into a traceback."""
        worker = get_worker_info()
        if worker is not None:
            # Workers are the parallelism; without this tokenizers says at each fork that it turns its own off.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        workers = worker.num_workers if worker else 1
        turn = ((worker.id if worker else 0) + self._first) % workers
        position = self._positions.get(turn, StreamPosition())
        try:
            yield from self._rows(position, self.process * workers + turn, self.processes * workers)
        except UserError as error:
            yield error

    def _rows(self, at: StreamPosition, consumer: int, consumers: int) -> Iterator[tuple[np.ndarray, StreamPosition]]:
        growing = self._grow(replace(at, row=0), consumer, consumers)
        block, given = _finish(growing), at.row
        while True:
            start = block.start
            order = np.arange(len(block.rows))
            if self.shuffle_buffer_size:
                places = [number for place in start.places for number in astuple(place)]
                np.random.default_rng([self.seed, consumer, *places]).shuffle(order)
            following: _Block | None = None
            for number in range(given, len(order)):
                # The next block grows as this one is given out, so that no batch waits for a whole block.
                while following is None or not (following.complete or len(following.rows) > number):
                    following = next(growing)
                yield block.rows[order[number]], replace(start, row=number + 1)
            block, given = _finish(growing, following), 0

    def _grow(self, at: StreamPosition, consumer: int, consumers: int) -> Iterator[_Block]:
        """Block after block, each given back after every batch of documents until it is complete."""
        body, rest = self.max_seq_length - 2, np.array(at.rest, dtype=np.int32)
        before = [self.tokenizer.cls_token_id] if self.document_attention else []
        tokenize = tokenize_words if self.whole_word_mask else tokenize_batch
        at = replace(at, places=at.places or (SourcePosition(),) * len(self._sources))
        block = _Block(at)
        for texts, after in self._batches(at, consumer, consumers):
            documents = tokenize(texts, self.tokenizer, before)["input_ids"] if texts else []
            ids = np.concatenate([rest, np.fromiter(chain.from_iterable(documents), dtype=np.int32)])
            packed = np.empty((len(ids) // body, self.max_seq_length), dtype=np.int32)
            packed[:, 0], packed[:, -1] = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
            packed[:, 1:-1] = ids[: len(packed) * body].reshape(-1, body)
            rest = ids[len(packed) * body :]
            block.rows.extend(packed)
            epochs = zip(after.places, block.start.places, strict=True)
            block.complete = len(block.rows) >= self.shuffle_buffer_size or all(a.epoch > b.epoch for a, b in epochs)
            yield block
            if block.complete:
                block = _Block(replace(after, rest=tuple(rest.tolist())))

    def _batches(
        self, at: StreamPosition, consumer: int, consumers: int
    ) -> Iterator[tuple[list[str], StreamPosition]]:
        """The consumer's documents, as many as the tokenizer takes at once, with the position after them.

        A source's epoch ends with a batch.
        """
        places = list(at.places)
        sources = [self._documents(*source, consumer, consumers) for source in enumerate(places)]
        bounds, offset = np.cumsum(self.weights)[:-1].tolist(), consumer / consumers
        texts: list[str] = []
        draws, characters = at.draws, 0
        while True:
            source = bisect(bounds, (spread(draws) + offset) % 1)
            text, places[source] = next(sources[source])
            if text is not None:
                texts.append(text)
                characters += len(text)
                draws += 1
            if text is None or characters >= _CHARACTERS_A_BATCH:
                yield texts, StreamPosition(tuple(places), draws)
                texts, characters = [], 0

    def _documents(
        self, source: int, at: SourcePosition, consumer: int, consumers: int
    ) -> Iterator[tuple[str | None, SourcePosition]]:
        """The consumer's documents of one source, each with the place after it; None where an epoch ends."""
        empty_epochs, found = 0, at != SourcePosition(at.epoch)
        while True:
            pieces = self._pieces(source, at.epoch, consumer, consumers)
            for number, piece in enumerate(pieces[at.piece :], at.piece):
                read = at.document if number == at.piece else 0
                documents = enumerate(read_documents(self.shards[piece.shard], self.reading), 1)
                for document, text in islice(documents, read, None):
                    if piece.has(document):
                        found = True
                        if consumer == 0:
                            self.watch.look_at(text)
                        yield text, SourcePosition(at.epoch, number, document)
            empty_epochs = 0 if found else empty_epochs + 1
            if empty_epochs == _EMPTY_EPOCHS:
                raise UserError(
                    f"the stream has no document{self._named(source)} for loader worker {consumer + 1} of "
                    f"{consumers}, those of all processes: give more text, or a smaller dataloader_num_workers"
                )
            at, found = SourcePosition(at.epoch + 1), False
            yield None, at

    def _pieces(self, source: int, epoch: int, consumer: int, consumers: int) -> list[Piece]:
        order = self._sources[source].copy()
        if self.shuffle_buffer_size:
            np.random.default_rng([self.seed, epoch]).shuffle(order)
        return share_out(self._sizes, order, consumer, consumers)

    def _named(self, source: int) -> str:
        """Which source it is, if there are several."""
        return f" of {self.shards[self._sources[source][0]].path!r}" if len(self._sources) > 1 else ""


def _finish(growing: Iterator[_Block], block: _Block | None = None) -> _Block:
    while block is None or not block.complete:
        block = next(growing)
    return block


class StreamLoader:
    """The batches of this process's share of a stream, and where the stream is after those that are given out.

    What loader workers have read ahead does not count: each batch brings the position after it along. So the state
    is small, and it takes the same time to go on from anywhere: the worker's present and next block are made again.

    Args:
        stream: `process` and `processes` of it are set.
        batches: how many there are for a whole run; `len()` of the loader.
        collate_fn: makes a batch of a list of rows `{"input_ids": ids}`, in whole words with `word_starts`.
        process_index, num_processes: whose share.
        options: of `torch.utils.data.DataLoader`, `batch_size` and `num_workers` among them.

    Raises:
        UserError: while iterating, a file cannot be read.
    """

    def __init__(
        self,
        stream: TextStream,
        batches: int,
        collate_fn: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
        *,
        process_index: int = 0,
        num_processes: int = 1,
        **options: Any,
    ) -> None:
        self.stream, self.batches, self.collate_fn, self.options = stream, batches, collate_fn, options
        stream.process, stream.processes = process_index, num_processes
        self._positions: dict[int, StreamPosition] = {}
        self._given = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        workers = self._workers
        self.stream.start_at(self._positions, self._given % workers)
        # A generator of its own: a loader draws a seed for its workers, and training must not draw another for it.
        loader = DataLoader(self.stream, collate_fn=self._collate, generator=torch.Generator(), **self.options)
        for batch, position in loader:
            if isinstance(batch, UserError):
                raise batch
            self._positions[self._given % workers] = position  # workers take turns
            self._given += 1
            yield batch

    @property
    def _workers(self) -> int:
        return self.options.get("num_workers") or 1

    @property
    def epoch(self) -> float:
        """Epochs that this process's share is through, to a shard; a mean over its workers."""
        consumers = self.stream.processes * self._workers
        epochs = [self.stream.epochs(position, consumers) for position in self._positions.values()]
        return sum(epochs) / self._workers

    def _collate(self, items: list[Any]) -> tuple[Any, StreamPosition | None]:
        for item in items:
            if isinstance(item, UserError):
                return item, None
        rows = [with_words(row) if self.stream.whole_word_mask else {"input_ids": row} for row, _ in items]
        return self.collate_fn(rows), items[-1][1]

    def _identity(self) -> dict[str, int | str]:
        return {
            **self.stream.identity(),
            "dataloader_num_workers": self.options.get("num_workers", 0),
            "processes": self.stream.processes,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, as JSON can hold them."""
        positions = {str(turn): asdict(position) for turn, position in self._positions.items()}
        return {"stream": self._identity(), "epoch": self.epoch, "batches": self._given, "positions": positions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next iteration go on where the state was taken.

        Raises:
            UserError: the state is of another stream, or of other workers or processes.
        """
        for name, value in self._identity().items():
            saved = state["stream"].get(name, False)  # an option that is newer than the checkpoint was off
            if saved != value:
                raise UserError(
                    f"{name} is {value!r}, but the checkpoint's stream had {saved!r}: give that, or {BEGIN_ANEW}, "
                    f"which skips nothing and reads again what was read: {state.get('epoch', 0):.3g} epochs"
                )
        self._given = state["batches"]
        self._positions = {
            int(turn): StreamPosition.from_dict(position) for turn, position in state["positions"].items()
        }


def load_stream(
    args: DataArguments,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_seq_length: int | None = None,
    seed: int = 0,
    cache_dir: str | None = None,
    token: str | None = None,
) -> tuple[TextStream, DatasetDict]:
    """The stream of the training text that `args` names, and the held-out documents, as split `validation`.

    Held out is the validation text that `args` names, all of it, or else, of each source, its validation split, of
    which the first `args.validation_documents` are read if it is at the Hub; or the first documents of its training
    text, its share of `args.validation_documents`, which the stream then leaves out.

    Args:
        args: names files and datasets, as for `load_corpus`.
        tokenizer: of the stream; held-out documents are text.
        max_seq_length: length of a row; if None that of `args`, or else 128.
        seed: of the order of shards and rows.
        cache_dir: where `datasets` keeps what it has read of validation files.
        token: for private repositories of the Hub.

    Raises:
        UserError: a file or dataset is missing or unreadable, lacks the text column, or is too short to hold out from.
    """
    use_token(token)
    files = find_validation_files(args)
    train, held_out = _divide_splits(find_shards(args, token), args, cache_dir, hold_out=not files)
    if files:
        held_out = [read_files(files, args, cache_dir)]
    validation = join(held_out)
    stream = TextStream(
        train,
        tokenizer,
        weights=args.mixing_weights or (1.0,),
        reading=Reading.of(args),
        max_seq_length=max_seq_length or args.max_seq_length or DEFAULT_SEQ_LENGTH,
        document_attention=bool(args.document_attention),
        whole_word_mask=bool(args.whole_word_mask),
        shuffle_buffer_size=args.shuffle_buffer_size,
        seed=seed,
    )
    if both := {os.path.realpath(path) for path in files}.intersection(map(os.path.realpath, _paths(train))):
        logger.warning(
            f"{min(both)!r} is held-out text and training text: the evaluation tells nothing about new text"
        )
    else:
        stream.watch = Watch(validation["text"])
    return stream, DatasetDict(validation=validation)


def _divide_splits(
    found: dict[str, list[Shard]], args: DataArguments, cache_dir: str | None, hold_out: bool
) -> tuple[list[Shard], list[Dataset]]:
    """The shards to train on, of one source if these have no weights, and what is held out of each source."""
    sources = found["train"][-1].source + 1
    weights = np.array(args.mixing_weights or [1.0] * sources)
    counts = np.maximum(np.round(args.validation_documents * weights / weights.sum()).astype(int), 1).tolist()
    how = Reading.of(args)
    train: list[Shard] = []
    held_out: list[Dataset] = []
    for source, count in enumerate(counts):
        shards, given = ([s for s in found.get(split, []) if s.source == source] for split in ("train", "validation"))
        if hold_out and not given:
            texts, shards = _hold_out(shards, count, how)
            held_out.append(_documents(texts))
        elif hold_out and is_remote(given[0].path):
            documents = chain.from_iterable(read_documents(shard, how) for shard in given)
            held_out.append(_documents(list(islice(documents, args.validation_documents))))
        elif hold_out:
            held_out.append(read_files(_paths(given), args, cache_dir))
        train += shards if args.mixing_weights else [shard._replace(source=0) for shard in shards]
    return train, held_out


def _paths(shards: Sequence[Shard]) -> list[str]:
    return list(dict.fromkeys(shard.path for shard in shards))


def _hold_out(shards: list[Shard], count: int, how: Reading) -> tuple[list[str], list[Shard]]:
    """The first `count` documents, and the shards without them; none of the shards that are held out whole."""
    held_out: list[str] = []
    for number, shard in enumerate(shards):
        documents = read_documents(shard, how)
        taken = list(islice(documents, count - len(held_out)))
        held_out += taken
        if next(documents, None) is not None:
            return held_out, [shard._replace(skip=len(taken)), *shards[number + 1 :]]
    raise UserError(
        f"validation_documents is {count}, but the whole text that begins with {shards[0].path!r} has no more than "
        f"{len(held_out)}: give fewer, or validation_file"
    )


def _documents(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts}, features=DOCUMENTS)
