"""What text to read and how to cut it into rows: the command line's data arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError
from ..ranges import check_numbers
from .forms import FILE_FORMATS

# "[CLS] a b [SEP]": with fewer than two ordinary tokens in a row nothing can be swapped.
MIN_SEQ_LENGTH = 4
_CHOICES = {
    "document_separator": ("auto", "line", "blank_line", "file"),
    "file_format": FILE_FORMATS,
    "text_errors": ("replace", "skip", "strict"),
}


@dataclass
class DataArguments:
    """Where the text comes from and how it becomes rows of ids; names as in transformers' `run_mlm.py`.

    Raises:
        UserError: a value outside its range, or one that does not go with another.
    """

    # Whether to look for held-out documents in the training text: not where there is none but in name.
    looks_for_overlap = True

    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Training text: files, globs, directories; text, JSON, CSV, TSV, parquet, Arrow, also compressed."
        },
    )
    validation_file: list[str] | None = field(
        default=None,
        metadata={"help": "Held-out text, in the same forms. Without it, a part of the training text is held out."},
    )
    dataset_name: list[str] | None = field(
        default=None,
        metadata={"help": "Datasets of the Hub, directories of data files, or such as `datasets` saves."},
    )
    dataset_config_name: list[str] | None = field(
        default=None, metadata={"help": "The configuration of each --dataset_name, where they have several."}
    )
    mixing_weights: list[float] | None = field(
        default=None,
        metadata={
            "help": "Shares of the documents, one for each --train_file, then for each --dataset_name. Without them "
            "all text is read as it is, one after the other."
        },
    )
    deduplicate: bool = field(
        default=False,
        metadata={"help": "Train on the first of equal documents alone, and on none that is held out."},
    )
    text_column: str = field(
        default="text",
        metadata={"help": "The column (or JSON key) that holds the text; one inside another as meta.text."},
    )
    validation_split_percentage: float = field(
        default=5, metadata={"help": "Percentage of the documents to hold out when no validation text is given."}
    )
    max_seq_length: int | None = field(
        default=None, metadata={"help": "Length of a row in tokens, [CLS] and [SEP] included; 128 if not given."}
    )
    line_by_line: bool = field(
        default=False,
        metadata={"help": "One document a row, truncated and padded, instead of packed rows of one length."},
    )
    document_attention: bool | None = field(
        default=None,
        metadata={
            "help": "Keep the documents of a packed row apart: each begins with [CLS], attends to itself alone and "
            "has positions of its own. No, or as the checkpoint that training goes on from."
        },
    )
    whole_word_mask: bool | None = field(
        default=None,
        metadata={
            "help": "Train on whole words of the tokenizer: all tokens of a word are masked, or swapped, or none. No, "
            "or as the checkpoint that training goes on from."
        },
    )
    document_separator: Literal["auto", "line", "blank_line", "file"] = field(
        default="auto",
        metadata={
            "help": "What ends a document in plain text; auto: blank lines if a file has any in its first 4 MB, else "
            "lines; file: each file is one document."
        },
    )
    file_format: Literal["auto", "text", "json", "csv", "tsv", "parquet", "arrow"] = field(
        default="auto", metadata={"help": "What the files hold; auto: what the endings of their names say."}
    )
    text_errors: Literal["replace", "skip", "strict"] = field(
        default="replace",
        metadata={
            "help": "Bytes that are not UTF-8, and half surrogates: replaced by U+FFFD, their documents passed over, "
            "or refused."
        },
    )
    preprocessing_num_workers: int | None = field(
        default=None, metadata={"help": "Number of processes that tokenize and pack."}
    )
    overwrite_cache: bool = field(default=False, metadata={"help": "Prepare the text again, even if it is cached."})
    streaming: bool = field(
        default=False,
        metadata={"help": "Read, tokenize and pack the text while training, without preparing it; it has no epochs."},
    )
    shuffle_buffer_size: int = field(
        default=10_000,
        metadata={"help": "Rows of a stream that each loader worker shuffles together; 0 keeps the text's order."},
    )
    validation_documents: int = field(
        default=1000,
        metadata={"help": "Documents to hold out at the beginning of a stream, when no validation text is given."},
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Use at most this many training rows."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use at most this many held-out rows."})

    def __post_init__(self) -> None:
        for name in ("train_file", "validation_file", "dataset_name", "dataset_config_name"):
            if isinstance(getattr(self, name), str):  # a YAML file may give one as a plain string
                setattr(self, name, [getattr(self, name)])
        if self.validation_file and not (self.train_file or self.dataset_name):
            raise UserError(f"validation_file {self.validation_file[0]!r} needs train_file or dataset_name beside it")
        check_numbers(self)
        self._check_sources()
        self._check_apart("document_attention", "line_by_line", "it has one document a row")
        self._check_apart("streaming", "line_by_line", "a stream is packed")
        self._check_apart("streaming", "max_train_samples", "max_steps or max_tokens says where it ends")
        self._check_apart("streaming", "deduplicate", "a worker does not know what the others have read")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        if self.max_seq_length is not None and self.max_seq_length < MIN_SEQ_LENGTH:
            raise UserError(f"max_seq_length={self.max_seq_length} must be at least {MIN_SEQ_LENGTH}")

    def _check_sources(self) -> None:
        names, configs, weights = self.dataset_name or [], self.dataset_config_name, self.mixing_weights
        if configs and not names:
            raise UserError(f"dataset_config_name {configs[0]!r} needs dataset_name beside it")
        if configs and len(configs) != len(names):
            raise UserError(
                f"dataset_config_name {' '.join(configs)!r}: give one for each dataset_name ({' '.join(names)})"
            )
        sources = len(self.train_file or []) + len(names)
        if weights is not None and len(weights) != sources:
            raise UserError(
                f"mixing_weights are {len(weights)}, but train_file and dataset_name name {sources} sources: give one "
                "for each (a file, folder or quoted pattern is one)"
            )

    def _check_apart(self, one: str, other: str, why: str) -> None:
        if getattr(self, one) and getattr(self, other):
            raise UserError(f"{one} does not go with {other} {getattr(self, other)!r} ({why}): leave one of them out")

    def map_options(self, rows: int) -> dict[str, Any]:
        """Keywords for `datasets.Dataset.map` over `rows` rows."""
        workers = min(self.preprocessing_num_workers or 1, rows)
        # One process is asked for as None: num_proc=1 would start a pool of one.
        return {
            "batched": True,
            "num_proc": workers if workers > 1 else None,
            "load_from_cache_file": not self.overwrite_cache,
        }
