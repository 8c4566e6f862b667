"""``transformers-mcl tokenizer``: train a tokenizer on text, or complete one, for ``pretrain --tokenizer_name``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ..data import DataArguments, load_corpus, load_tokenizer, train_tokenizer
from ..data.coverage import measure_coverage, sample_texts
from ..data.tokenizer import add_special_tokens, check_tokenizer, vocabulary_size
from ..data.tokenizer_training import ModelName, NormalizerName
from ..errors import UserError
from ..io import check_writable, files_into, printable
from ..locks import claimed
from ..models.loading import TRUST_HELP, trusting
from ..ranges import check_numbers
from .arguments import parse_arguments
from .main import COMMANDS, PROG

_EXAMPLES = 10
_EXAMPLE_CHARACTERS = 48


@dataclass
class TokenizerArguments:
    """What the tokenizer is to be.

    Raises:
        UserError: a number outside its range, or an `output_dir` that cannot be written or is in use.
    """

    output_dir: str = field(metadata={"help": "Directory for the tokenizer."})
    vocab_size: int = field(default=30_522, metadata={"help": "Entries of the vocabulary, special tokens included."})
    model: ModelName = field(
        default="wordpiece",
        metadata={"help": "Kind of pieces: those of BERT, of GPT and RoBERTa (of bytes), or of SentencePiece."},
    )
    lowercase: bool = field(default=False, metadata={"help": "Lower-case the text; accents stay."})
    strip_accents: bool = field(
        default=False, metadata={"help": "Remove the accents of Latin, Greek and Cyrillic letters."}
    )
    unicode_normalizer: NormalizerName = field(
        default="nfc",
        metadata={"help": "nfc: é is one character, however it is stored; nfkc: also ① is 1, and full width is half."},
    )
    min_frequency: int = field(
        default=2, metadata={"help": "How often a pair of pieces must occur to become one; unigram has no such bound."}
    )
    max_train_documents: int | None = field(
        default=None, metadata={"help": "Learn from a random sample of so many documents; all if not given."}
    )
    seed: int = field(default=42, metadata={"help": "Of this sample."})
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "With --add_special_tokens: the tokenizer to complete; no text is read."}
    )
    add_special_tokens: bool = field(
        default=False,
        metadata={"help": "Give --tokenizer_name the special tokens of pre-training that it lacks; its ids stay."},
    )
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})
    overwrite_output_dir: bool = field(
        default=False,
        metadata={"help": "Write into an output_dir that is not empty, over its tokenizer."},
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        if bool(self.tokenizer_name) != self.add_special_tokens:
            raise UserError("tokenizer_name and add_special_tokens true belong together: give both, or none")
        output = check_writable(self.output_dir)
        self.output_dir = str(output)
        if not self.overwrite_output_dir and output.is_dir() and any(output.iterdir()):
            raise UserError(
                f"output_dir {self.output_dir!r} is not empty: choose another, or write into it with"
                " --overwrite_output_dir"
            )


def run(argv: list[str]) -> None:
    """Train a tokenizer and write it, or complete one; `argv` is what follows ``transformers-mcl tokenizer``."""
    arguments: TokenizerArguments
    data: DataArguments
    arguments, data = parse_arguments(
        [TokenizerArguments, DataArguments], argv, prog=f"{PROG} tokenizer", description=COMMANDS["tokenizer"]
    )
    with claimed(arguments.output_dir, beside=True), trusting(arguments.trust_remote_code):
        if arguments.tokenizer_name:
            _complete(arguments.tokenizer_name, Path(arguments.output_dir))
        else:
            _train(arguments, data)


def _train(arguments: TokenizerArguments, data: DataArguments) -> None:
    corpus = load_corpus(data)
    documents, held_out = _sample(corpus["train"], arguments), corpus["validation"]["text"]
    few = f", a sample of {len(corpus['train']):,}" if len(documents) < len(corpus["train"]) else ""
    print(
        f"Training a tokenizer of model {arguments.model}, {'lower-cased' if arguments.lowercase else 'cased'}",
        f"  text        {corpus['train'].info.description}",
        f"  documents   {len(documents):,}{few}; {len(held_out):,} more are held out, to measure it",
        f"  vocabulary  {arguments.vocab_size:,} entries, of pairs seen {arguments.min_frequency} times or more",
        f"  output      {arguments.output_dir}",
        sep="\n",
        flush=True,
    )
    tokenizer = train_tokenizer(
        documents["text"],
        arguments.vocab_size,
        arguments.model,
        lowercase=arguments.lowercase,
        strip_accents=arguments.strip_accents,
        unicode_normalizer=arguments.unicode_normalizer,
        min_frequency=arguments.min_frequency,
    )
    _save(tokenizer, Path(arguments.output_dir))
    given = {"--train_file": data.train_file, "--dataset_name": data.dataset_name}
    source = [word for flag, names in given.items() if names for word in (flag, *names)]
    following = [PROG, "pretrain", *source, "--tokenizer_name", arguments.output_dir]
    following += ["--preset", "mini", "--max_hours", "1", "--output_dir", "my-pair"]
    print(
        f"Wrote {arguments.output_dir}: {len(tokenizer):,} entries",
        *_report(tokenizer, held_out),
        f"Next: {shlex.join(following)}",
        sep="\n",
    )


def _sample(documents: Dataset, arguments: TokenizerArguments) -> Dataset:
    """At most `max_train_documents`, drawn at random, since a corpus may be sorted; in their order."""
    count = arguments.max_train_documents
    if count is None or count >= len(documents):
        return documents
    drawn = np.random.default_rng(arguments.seed).choice(len(documents), count, replace=False)
    return documents.select(np.sort(drawn))


def _report(tokenizer: PreTrainedTokenizerBase, held_out: list[str]) -> list[str]:
    """What it makes of held-out text: figures, and examples, the pieces of each on the line below it."""
    sample = sample_texts(held_out)
    found = measure_coverage(sample, tokenizer)
    lost = f", such as {found.shown_examples}" if found.unknown else ""
    lines = [
        f"  held out    {found.tokens / max(found.words, 1):.2f} tokens a word, "
        f"{found.tokens / max(found.characters, 1):.3f} a character",
        f"  lost        {found.unknown_fraction:.3%} of the characters are unknown{lost}",
    ]
    encoding = sys.stdout.encoding or "utf-8"
    for text in _examples(" ".join(sample)):
        encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        pieces = [
            str(tokenizer.unk_token) if token == tokenizer.unk_token_id else text[start:stop]
            for token, (start, stop) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]
        lines += [f"  {printable(text, encoding)}", f"    {printable(' | '.join(pieces), encoding)}"]
    return lines


def _examples(text: str) -> Iterator[str]:
    """Short parts of a text, at even distances, of whole words where there are spaces."""
    step = max(len(text) // _EXAMPLES, _EXAMPLE_CHARACTERS)
    for start in range(0, max(len(text) - step // 2, 1), step)[:_EXAMPLES]:
        part = text[start : start + _EXAMPLE_CHARACTERS]
        first = part.find(" ") + 1 if start else 0
        last = part.rfind(" ") if start + len(part) < len(text) else len(part)
        if shown := " ".join((part[first:last] if last > first else part).split()):
            yield shown


def _complete(name: str, output: Path) -> None:
    tokenizer = load_tokenizer(name)
    before = set(tokenizer.get_vocab())
    complete = add_special_tokens(tokenizer)
    check_tokenizer(complete)
    _save(complete, output)
    new = ", ".join(sorted(token for token in complete.get_vocab() if token not in before)) or "none was missing"
    kinds = {kind: getattr(complete, f"{kind}_token") for kind in ("pad", "unk", "cls", "sep", "mask")}
    print(
        f"Wrote {output}: {len(complete):,} entries, for a model of {vocabulary_size(complete):,} embeddings",
        f"  new         {printable(new)}",
        f"  special     {printable(', '.join(f'{kind} {token}' for kind, token in kinds.items()))}",
        sep="\n",
    )


def _save(tokenizer: PreTrainedTokenizerBase, output: Path) -> None:
    with files_into(output) as draft:
        tokenizer.save_pretrained(draft)
