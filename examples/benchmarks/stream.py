"""A text streamed to packed batches: memory over time, speed beside the cached path, time to resume early and late.

OMP_NUM_THREADS=1 python examples/benchmarks/stream.py --megabytes 1000
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Arguments, Step, interleaved
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.data import (
    DataArguments,
    DataCollatorForMcl,
    StreamLoader,
    load_corpus,
    load_stream,
    load_tokenizer,
    tokenize_and_pack,
)
from transformers_mcl.training.run import DEMO_FOLDER


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, help="of text to stream once through")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--compared_megabytes", type=int, default=20, help="of text for the cached path beside it")
    parser.add_argument("--max_seq_length", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--shuffle_buffer_size", type=int, default=10_000)
    parser.add_argument("--dataloader_num_workers", type=int, default=0)
    parser.add_argument("--batches", type=int, default=500, help="to load in each round")
    parser.add_argument("--steps", type=int, default=5, help="to train in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--clock", default="wall", choices=["wall", "cpu"], help="cpu: processor time, for a busy machine; no workers"
    )
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def write_text(folder: Path, megabytes: int, files: int, seed: int) -> None:
    """Documents of 20 to 600 words, one a line, drawn with the frequencies of the package's own text."""
    counts = Counter((DEMO_FOLDER / "train.txt").read_text(encoding="utf-8").split())
    words = np.array(list(counts), dtype=object)
    shares = np.array(list(counts.values())) / counts.total()
    draws = np.random.default_rng(seed)
    for number in range(files):
        with (folder / f"{number:03}.txt").open("w", encoding="utf-8") as file:
            while file.tell() < megabytes * 1e6 / files:
                text = words[draws.choice(len(words), 200_000, p=shares)]
                ends = np.cumsum(draws.integers(20, 600, 600))
                file.writelines(" ".join(document) + "\n" for document in np.split(text, ends[ends < len(text)]))


def resident() -> float:
    """Megabytes of this process and its loader workers."""
    pids = [
        os.getpid(),
        *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()),
    ]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_loader(folder: Path, tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> StreamLoader:
    data = DataArguments(
        train_file=[str(folder)],
        document_separator="line",
        streaming=True,
        shuffle_buffer_size=args.shuffle_buffer_size,
        max_seq_length=args.max_seq_length,
    )
    stream, _ = load_stream(data, tokenizer, seed=args.seed)
    collator = DataCollatorForMcl(tokenizer)
    return StreamLoader(stream, 10**12, collator, batch_size=args.batch_size, num_workers=args.dataloader_num_workers)


def stream_once(folder: Path, tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Streams one epoch; prints memory and speed twenty times, and returns the first state and the last."""
    loader = make_loader(folder, tokenizer, args)
    begin = time.perf_counter()
    tokens, told, states = 0, 0, []
    shards = len(loader.stream.shards) // max(args.dataloader_num_workers, 1)
    print(f"{'% read':>8} {'million tokens':>15} {'tokens/s':>10} {'resident MB':>12}")
    for batch in loader:
        tokens += batch["input_ids"].numel()
        place = loader._positions[0].places[0]
        if place.epoch:
            break
        read = 100 * place.piece // shards
        if read >= told:
            speed = tokens / (time.perf_counter() - begin)
            print(f"{read:8} {tokens / 1e6:15.1f} {speed:10,.0f} {resident():12.1f}", flush=True)
            states.append(loader.state_dict())
            told = read - read % 5 + 5
    print(f"an epoch: {tokens / 1e6:.1f} million tokens in {time.perf_counter() - begin:.0f} s")
    return [states[0], states[-1]]


def resume_once(state: dict[str, Any], folder: Path, tokenizer: PreTrainedTokenizerBase, args: Any, _: int) -> None:
    loader = make_loader(folder, tokenizer, args)
    loader.load_state_dict(json.loads(json.dumps(state)))
    next(iter(loader))


def compare(folder: Path, tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> None:
    """Loading alone and training, from the stream and from the cached path in turn."""
    data = DataArguments(train_file=[str(folder)], document_separator="line", max_seq_length=args.max_seq_length)
    begin = time.perf_counter()
    rows = tokenize_and_pack(load_corpus(data, cache_dir=str(folder.parent / "cache")), tokenizer, data)[0]["train"]
    print(f"preparing the cache of {args.compared_megabytes} MB: {time.perf_counter() - begin:.1f} s")
    cached: DataLoader[Any] = DataLoader(
        rows,
        batch_size=args.batch_size,
        shuffle=True,
        num_workers=args.dataloader_num_workers,
        collate_fn=DataCollatorForMcl(tokenizer),
    )
    loaders = {"stream": iter(make_loader(folder, tokenizer, args)), "cached": chain.from_iterable(repeat(cached))}
    step = make_step(tokenizer, args)
    for name, work, batches in (("loading alone", len, args.batches), ("training", step, args.steps)):
        sides = {side: functools.partial(feed, loader, work, batches) for side, loader in loaders.items()}
        seconds = interleaved(sides, measured(args))
        tokens = batches * args.batch_size * args.max_seq_length
        listed = ", ".join(
            f"{side} {tokens / statistics.median(taken):,.0f} tokens/s" for side, taken in seconds.items()
        )
        ratios = [cache / stream for stream, cache in zip(seconds["stream"], seconds["cached"], strict=True)]
        print(f"{name}: {listed}; ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def feed(
    batches: Iterator[dict[str, torch.Tensor]], work: Callable[[torch.Tensor], object], count: int, _: int
) -> None:
    for batch in islice(batches, count):
        work(batch["input_ids"])


def make_step(tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> Step:
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    build = getattr(MclConfig, args.preset)
    torch.manual_seed(args.seed)
    model = MclForPreTraining(build(vocab_size=len(tokenizer), max_position_embeddings=args.max_seq_length, **ids))
    return Step(model, [lambda clean: model(input_ids=clean).loss], measured(args))


def measured(args: argparse.Namespace) -> Arguments:
    return Arguments(rounds=args.rounds, warmup_rounds=1, clock=args.clock, device="cpu")


def main() -> None:
    args = parse_arguments()
    tokenizer = load_tokenizer(str(DEMO_FOLDER / "tokenizer"))
    with tempfile.TemporaryDirectory() as name:
        text, compared = Path(name) / "text", Path(name) / "compared"
        for folder, megabytes in ((text, args.megabytes), (compared, args.compared_megabytes)):
            folder.mkdir()
            write_text(folder, megabytes, args.files, args.seed)
        print(f"{sum(file.stat().st_size for file in text.iterdir()) / 1e6:,.0f} MB in {args.files} files")
        early, late = stream_once(text, tokenizer, args)
        resume = {
            place: functools.partial(resume_once, state, text, tokenizer, args)
            for place, state in (("at the beginning", early), ("at the end", late))
        }
        for place, seconds in interleaved(resume, measured(args)).items():
            print(f"from resuming {place} to the first batch: {statistics.median(seconds):.2f} s")
        print(f"state: {len(json.dumps(late))} bytes", flush=True)
        compare(compared, tokenizer, args)


if __name__ == "__main__":
    main()
