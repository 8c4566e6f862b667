"""``transformers-mcl tokenizer``: train a tokenizer on text, for ``transformers-mcl pretrain --tokenizer_name``."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PreTrainedTokenizerBase

from ..data import DataArguments, load_corpus, train_tokenizer
from ..errors import UserError
from .arguments import parse_arguments
from .main import COMMANDS, PROG

_EXAMPLE_WORDS = 12


@dataclass
class TokenizerArguments:
    """What the tokenizer is to be.

    Raises:
        UserError: a number outside its range, or an `output_dir` that cannot be written or is in use.
    """

    output_dir: str = field(metadata={"help": "Directory for the tokenizer."})
    vocab_size: int = field(default=30_522, metadata={"help": "Entries of the vocabulary, special tokens included."})
    lowercase: bool = field(default=False, metadata={"help": "Lower-case the text and remove its accents."})
    min_frequency: int = field(default=2, metadata={"help": "How often a pair of pieces must occur to become one."})
    overwrite_output_dir: bool = field(
        default=False,
        metadata={"help": "Write into an output_dir that is not empty, over its tokenizer."},
    )

    def __post_init__(self) -> None:
        for name in ("vocab_size", "min_frequency"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        output = Path(self.output_dir).expanduser()
        self.output_dir = str(output)
        nearest = next(path for path in (output, *output.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise UserError(f"output_dir {self.output_dir!r}: cannot write to {str(nearest)!r}; choose another")
        if not self.overwrite_output_dir and nearest == output and any(output.iterdir()):
            raise UserError(
                f"output_dir {self.output_dir!r} is not empty: choose another, or write into it with"
                " --overwrite_output_dir"
            )


def run(argv: list[str]) -> None:
    """Train a tokenizer and write it; `argv` is what follows ``transformers-mcl tokenizer``."""
    arguments: TokenizerArguments
    data: DataArguments
    arguments, data = parse_arguments(
        [TokenizerArguments, DataArguments], argv, prog=f"{PROG} tokenizer", description=COMMANDS["tokenizer"]
    )
    corpus = load_corpus(data)
    texts = corpus["train"]["text"]
    print(
        f"Training a WordPiece tokenizer, {'uncased' if arguments.lowercase else 'cased'}",
        f"  text        {corpus['train'].info.description}",
        f"  documents   {len(texts):,}; {len(corpus['validation']):,} more are held out and not read",
        f"  vocabulary  {arguments.vocab_size:,} entries, of pairs seen {arguments.min_frequency} times or more",
        f"  output      {arguments.output_dir}",
        sep="\n",
        flush=True,
    )
    tokenizer = train_tokenizer(
        texts, arguments.vocab_size, lowercase=arguments.lowercase, min_frequency=arguments.min_frequency
    )
    _save(tokenizer, Path(arguments.output_dir))

    example = " ".join(next(text for text in texts if text.strip()).split()[:_EXAMPLE_WORDS])
    given = {"--train_file": data.train_file, "--dataset_name": data.dataset_name}
    source = [word for flag, names in given.items() if names for word in (flag, *names)]
    following = [PROG, "pretrain", *source, "--tokenizer_name", arguments.output_dir, "--output_dir", "my-mcl"]
    print(
        f"Wrote {arguments.output_dir}: {len(tokenizer):,} entries",
        f"  {example}",
        f"  {' '.join(tokenizer.tokenize(example))}",
        f"Next: {shlex.join(following)}",
        sep="\n",
    )


def _save(tokenizer: PreTrainedTokenizerBase, output: Path) -> None:
    """Write all files aside, then move them, so that a failure leaves no half of a tokenizer."""
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output, prefix=".") as aside:
        tokenizer.save_pretrained(aside)
        for path in Path(aside).iterdir():
            path.replace(output / path.name)
