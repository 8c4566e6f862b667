"""A text divided among many loader workers: how evenly, how soon the first batch comes, how large a worker's state is.

The shards are made up, and their documents are not read from anywhere: what is measured is what dividing them costs.

OMP_NUM_THREADS=1 python examples/benchmarks/balance.py --clock cpu
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from collections.abc import Iterator
from itertools import takewhile

import numpy as np
from measure import Arguments, interleaved
from transformers import PreTrainedTokenizerBase

from transformers_mcl.data import DataCollatorForMcl, StreamLoader, TextStream, load_tokenizer, streaming
from transformers_mcl.data.forms import Form
from transformers_mcl.data.shards import Reading, Shard
from transformers_mcl.data.streaming import Place
from transformers_mcl.training.run import DEMO_FOLDER

TEXT = "the fox saw the grapes and jumped " * 20
TEXT_FORM = Form("text")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--consumers", type=int, default=1024, help="loader workers of all processes")
    parser.add_argument("--documents", type=int, default=200_000, help="of the whole text, however many shards it has")
    parser.add_argument("--sigma", type=float, default=1.5, help="of the logarithm of a shard's size")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"], help="cpu: processor time")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def made_up(shards: int, args: argparse.Namespace) -> list[Shard]:
    """Shards of uneven size; `stop` is how many documents there are in each."""
    shares = np.random.default_rng(args.seed).lognormal(sigma=args.sigma, size=shards)
    counts = np.round(shares * args.documents / shares.sum()).astype(int)
    return [Shard(str(number), TEXT_FORM, 0, count) for number, count in enumerate(counts.tolist())]


def read_documents(shard: Shard, _: Reading) -> Iterator[str]:
    return (TEXT for _ in range(shard.stop or 0))


def sizes(shards: list[Shard]) -> np.ndarray:
    return np.array([max(len(TEXT) * (shard.stop or 0), 1) for shard in shards])


def load(shards: list[Shard], tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> StreamLoader:
    stream = TextStream(shards, tokenizer, shuffle_buffer_size=16, seed=args.seed)
    alone = {"process_index": args.consumers - 1, "num_processes": args.consumers}
    return StreamLoader(stream, 1, DataCollatorForMcl(tokenizer), batch_size=16, **alone)


def first_batch(shards: list[Shard], tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace, _: int) -> None:
    next(iter(load(shards, tokenizer, args)))


def main() -> None:
    args = parse_arguments()
    streaming.read_documents, streaming.shard_sizes = read_documents, sizes  # type: ignore[assignment]
    tokenizer = load_tokenizer(str(DEMO_FOLDER / "tokenizer"))
    texts = {f"{shards:,}": made_up(shards, args) for shards in args.shards}
    sides = {name: functools.partial(first_batch, shards, tokenizer, args) for name, shards in texts.items()}
    seconds = interleaved(sides, Arguments(rounds=args.rounds, warmup_rounds=1, clock=args.clock, device="cpu"))
    print("| shards | documents a consumer, least | mean | most | seconds to the first batch | bytes of state |")
    print("|---|---|---|---|---|---|")
    for name, shards in texts.items():
        loader = load(shards, tokenizer, args)
        consumers = range(args.consumers)
        of_epoch = (loader.stream._documents(0, Place(), consumer, args.consumers) for consumer in consumers)
        read = [sum(1 for _ in takewhile(lambda item: item[0] is not None, documents)) for documents in of_epoch]
        assert sum(read) == sum(shard.stop or 0 for shard in shards)
        next(iter(loader))
        print(
            f"| {name} | {min(read)} | {statistics.mean(read):.1f} | {max(read)} | "
            f"{statistics.median(seconds[name]):.3f} | {len(json.dumps(loader.state_dict()))} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
