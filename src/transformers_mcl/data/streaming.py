"""Text to batches of packed rows while it is read: shuffled, divided among processes and workers, resumed exactly."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from .arguments import DataArguments
from .corpus import DOCUMENTS, read_files
from .packing import DEFAULT_SEQ_LENGTH, tokenize_batch
from .shards import Reading, Shard, find_shards, read_documents
from .tokenizer import check_tokenizer

# The tokenizer keeps a few hundred bytes a token of what it is given at once.
_CHARACTERS_A_BATCH = 1 << 17
BEGIN_ANEW = "--ignore_data_skip true to begin the stream anew"


@dataclass(frozen=True)
class StreamStatistics:
    """What is known of a stream before it is read.

    Attributes:
        files: how many.
        shards: parts of files, which are read in a new order every epoch.
        bytes: of the local files, as they are stored.
    """

    files: int
    shards: int
    bytes: int

    def __str__(self) -> str:
        size = f"{self.bytes:,} bytes" if self.bytes else "size unknown"
        return f"a stream of {self.files:,} files in {self.shards:,} shards, {size}; its tokens are not counted"


@dataclass(frozen=True)
class StreamPosition:
    """Where one consumer of a stream is: what was read before its present block of rows, and how much of that is out.

    Attributes:
        epoch, shard, document: the next document: that of the consumer's shards of that epoch.
        rest: ids of a row that those before left incomplete, at most `max_seq_length - 3`.
        row: rows of the block that are given out.
    """

    epoch: int = 0
    shard: int = 0
    document: int = 0
    rest: tuple[int, ...] = ()
    row: int = 0


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

    The consumers, which are the loader workers of all processes, share the shards of an epoch, or its documents if
    there are fewer shards than consumers. An epoch gives each document to one consumer. One that is through with its
    share begins the next epoch at once, so none waits for another.

    Args:
        shards: as `find_shards` finds them.
        tokenizer: with `[CLS]` and `[SEP]`.
        reading: how the shards are read.
        max_seq_length: ids of a row.
        document_attention: whether each document gets a `[CLS]` of its own.
        shuffle_buffer_size: rows; 0 keeps rows and shards in order.
        seed: of all orders.

    Attributes:
        process, processes: whose share this process reads, and of how many.

    Raises:
        UserError: at once, the tokenizer lacks a special token.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        tokenizer: PreTrainedTokenizerBase,
        *,
        reading: Reading = Reading(),  # noqa: B008 - frozen
        max_seq_length: int = DEFAULT_SEQ_LENGTH,
        document_attention: bool = False,
        shuffle_buffer_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        check_tokenizer(tokenizer)
        self.shards = list(shards)
        self.tokenizer = tokenizer
        self.reading = reading
        self.max_seq_length = max_seq_length
        self.document_attention = document_attention
        self.shuffle_buffer_size = shuffle_buffer_size
        self.seed = seed
        self.process, self.processes = 0, 1
        self._positions: dict[int, StreamPosition] = {}
        self._first = 0

    @property
    def statistics(self) -> StreamStatistics:
        paths = {shard.path for shard in self.shards}
        return StreamStatistics(
            len(paths), len(self.shards), sum(os.path.getsize(path) for path in paths if "://" not in path)
        )

    def identity(self) -> dict[str, int | str]:
        """What has to be the same for a position to mean the same, by the names of the arguments."""
        # Not the folder: a data set may move.
        parts = [(os.path.basename(shard.path), shard.start, shard.stop, shard.skip) for shard in self.shards]
        return {
            "text": f"{len(parts)} shards {hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}",
            "text_column": self.reading.text_column,
            "document_separator": self.reading.separator,
            "text_errors": self.reading.text_errors,
            "tokenizer": hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:12],
            "max_seq_length": self.max_seq_length,
            "document_attention": self.document_attention,
            "shuffle_buffer_size": self.shuffle_buffer_size,
            "seed": self.seed,
        }

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
                seed = [self.seed, consumer, start.epoch, start.shard, start.document]
                np.random.default_rng(seed).shuffle(order)
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
        block = _Block(at)
        for texts, after, epoch_ends in self._batches(at, consumer, consumers):
            documents = tokenize_batch(texts, self.tokenizer, before)["input_ids"] if texts else []
            ids = np.concatenate([rest, np.fromiter(chain.from_iterable(documents), dtype=np.int32)])
            packed = np.empty((len(ids) // body, self.max_seq_length), dtype=np.int32)
            packed[:, 0], packed[:, -1] = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
            packed[:, 1:-1] = ids[: len(packed) * body].reshape(-1, body)
            rest = ids[len(packed) * body :]
            block.rows.extend(packed)
            block.complete = epoch_ends or len(block.rows) >= self.shuffle_buffer_size
            yield block
            if block.complete:
                block = _Block(replace(after, rest=tuple(rest.tolist())))

    def _batches(
        self, at: StreamPosition, consumer: int, consumers: int
    ) -> Iterator[tuple[list[str], StreamPosition, bool]]:
        """The consumer's documents, some at a time, with the position after them; none where an epoch ends."""
        while True:
            order = np.arange(len(self.shards))
            if self.shuffle_buffer_size:
                np.random.default_rng([self.seed, at.epoch]).shuffle(order)
            by_shard = len(order) >= consumers
            shards = order[consumer::consumers] if by_shard else order
            found = at.shard > 0 or at.document > 0
            for number in range(at.shard, len(shards)):
                documents = enumerate(read_documents(self.shards[shards[number]], self.reading), 1)
                read = at.document if number == at.shard else 0
                unread = islice(documents, read, None)
                for read, texts in _batched(unread if by_shard else _share(unread, consumer, consumers)):
                    found = True
                    yield texts, StreamPosition(at.epoch, number, read), False
            if not found:
                raise UserError(
                    f"the stream has no document for loader worker {consumer + 1} of {consumers}, those of all "
                    "processes: give more text, or a smaller dataloader_num_workers"
                )
            at = StreamPosition(at.epoch + 1)
            yield [], at, True


def _finish(growing: Iterator[_Block], block: _Block | None = None) -> _Block:
    while block is None or not block.complete:
        block = next(growing)
    return block


def _share(documents: Iterable[tuple[int, str]], consumer: int, consumers: int) -> Iterator[tuple[int, str]]:
    return ((number, text) for number, text in documents if number % consumers == consumer)


def _batched(documents: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """As many as the tokenizer takes at once, with the number of the last."""
    texts: list[str] = []
    number = characters = 0
    for number, text in documents:
        texts.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_A_BATCH:
            yield number, texts
            texts, characters = [], 0
    if texts:
        yield number, texts


class StreamLoader:
    """The batches of this process's share of a stream, and where the stream is after those that are given out.

    What loader workers have read ahead does not count: each batch brings the position after it along. So the state
    is small, and it takes the same time to go on from anywhere: the worker's present and next block are made again.

    Args:
        stream: `process` and `processes` of it are set.
        batches: how many there are for a whole run; `len()` of the loader.
        collate_fn: makes a batch of a list of rows `{"input_ids": ids}`.
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
        shards = len(self.stream.shards)
        share = shards / consumers if shards >= consumers else shards
        epochs = [position.epoch + min(position.shard / share, 1) for position in self._positions.values()]
        return sum(epochs) / self._workers

    def _collate(self, items: list[Any]) -> tuple[Any, StreamPosition | None]:
        for item in items:
            if isinstance(item, UserError):
                return item, None
        return self.collate_fn([{"input_ids": row} for row, _ in items]), items[-1][1]

    def _identity(self) -> dict[str, int | str]:
        return {
            **self.stream.identity(),
            "dataloader_num_workers": self.options.get("num_workers", 0),
            "processes": self.stream.processes,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, as JSON can hold them."""
        positions = {str(turn): asdict(position) for turn, position in self._positions.items()}
        return {"stream": self._identity(), "batches": self._given, "positions": positions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next iteration go on where the state was taken.

        Raises:
            UserError: the state is of another stream, or of other workers or processes.
        """
        for name, value in self._identity().items():
            saved = state["stream"].get(name)
            if saved != value:
                raise UserError(
                    f"{name} is {value!r}, but the checkpoint's stream had {saved!r}: give that, or {BEGIN_ANEW}"
                )
        self._given = state["batches"]
        self._positions = {
            int(turn): StreamPosition(**{**position, "rest": tuple(position["rest"])})
            for turn, position in state["positions"].items()
        }


def load_stream(
    args: DataArguments,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_seq_length: int | None = None,
    seed: int = 0,
    cache_dir: str | None = None,
) -> tuple[TextStream, DatasetDict]:
    """The stream of the training text that `args` names, and the held-out documents, as split `validation`.

    Held out is the validation text that `args` names, all of it; of a dataset of the Hub the first
    `args.validation_documents` of its validation split; where there is none, as many at the beginning of the training
    text, which the stream then leaves out.

    Args:
        args: names files or a dataset, as for `load_corpus`.
        tokenizer: of the stream; held-out documents are text.
        max_seq_length: length of a row; if None that of `args`, or else 128.
        seed: of the order of shards and rows.
        cache_dir: where `datasets` keeps what it has read of validation files.

    Raises:
        UserError: a file or dataset is missing or unreadable, lacks the text column, or is too short to hold out from.
    """
    splits = find_shards(args)
    train, count, how = splits["train"], args.validation_documents, Reading.of(args)
    if "validation" in splits and all("://" not in shard.path for shard in splits["validation"]):
        held_out = read_files(list(dict.fromkeys(shard.path for shard in splits["validation"])), args, cache_dir)
    elif "validation" in splits:
        held_out = _documents(_hold_out(splits["validation"], count, how)[0])
    else:
        texts, train = _hold_out(train, count, how)
        held_out = _documents(texts)
        if next(chain.from_iterable(read_documents(shard, how) for shard in train), None) is None:
            raise UserError(
                f"validation_documents is {count}, but the whole text has no more than {len(texts)}: give fewer, or "
                "validation_file"
            )
    stream = TextStream(
        train,
        tokenizer,
        reading=how,
        max_seq_length=max_seq_length or args.max_seq_length or DEFAULT_SEQ_LENGTH,
        document_attention=bool(args.document_attention),
        shuffle_buffer_size=args.shuffle_buffer_size,
        seed=seed,
    )
    return stream, DatasetDict(validation=held_out)


def _hold_out(shards: list[Shard], count: int, how: Reading) -> tuple[list[str], list[Shard]]:
    """The first `count` documents, and the shards without them."""
    held_out: list[str] = []
    left = list(shards)
    for number, shard in enumerate(shards):
        if len(held_out) >= count:
            break
        taken = list(islice(read_documents(shard, how), count - len(held_out)))
        left[number] = shard._replace(skip=len(taken))
        held_out += taken
    return held_out, left


def _documents(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts}, features=DOCUMENTS)
