"""`transformers-mcl export`: one half of a pair, as an artefact that other tools open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from transformers import PreTrainedTokenizerBase

from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..hub.export import export_model, open_half, written_format
from ..hub.export_card import file_of
from ..hub.push import check_repo_name, push_folder
from ..io import check_empty_folder
from ..locks import claimed
from ..models.loading import TRUST_HELP, trusting
from .arguments import parse_arguments
from .main import COMMANDS, PROG


@dataclass
class ExportArguments:
    """Which half of which checkpoint, in what form, and where to."""

    model_name_or_path: str = field(
        metadata={
            "help": "A pair, one half of one, or a fine-tuned model: its directory, or its name on the Hub. One of "
            "Transformers' own classes needs no export, but for onnx."
        }
    )
    output_dir: str = field(metadata={"help": "A directory that is empty or does not exist."})
    half: Literal["discriminator", "generator"] = field(
        default="discriminator", metadata={"help": "A fine-tuned model counts as a discriminator."}
    )
    format: Literal["mcl", "electra", "native", "remote-code", "onnx"] = field(
        default="mcl",
        metadata={
            "help": "mcl: a small checkpoint of this package, and of a pair of another family the same as native; "
            "native: one that Transformers opens without it, by its own class of the family; electra: as native, of "
            "ELECTRA alone; remote-code: with its code beside it, for trust_remote_code=True; onnx: a graph."
        },
    )
    push_to_hub: str | None = field(default=None, metadata={"help": "Upload it to the repository of this name."})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "Whether a new repository is private."})
    token: str | None = field(default=None, metadata={"help": "For the Hub; by default the one you logged in with."})
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})

    def __post_init__(self) -> None:
        check_empty_folder(self.output_dir)
        if self.push_to_hub is not None:
            check_repo_name(self.push_to_hub)


def _tokenizer(given: ExportArguments) -> PreTrainedTokenizerBase | None:
    """That beside the model, if there is one.

    Raises:
        UserError: there is, and it cannot be opened.
    """
    try:
        return load_tokenizer(given.model_name_or_path, token=given.token)
    except UserError:
        if any(file_of(given.model_name_or_path, file) for file in ("tokenizer_config.json", "tokenizer.json")):
            raise
        return None


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl export --help`."""
    given: ExportArguments
    (given,) = parse_arguments([ExportArguments], argv, prog=f"{PROG} export", description=COMMANDS["export"])
    with claimed(given.output_dir, beside=True), trusting(given.trust_remote_code):
        _write(given)


def _write(given: ExportArguments) -> None:
    model = open_half(given.model_name_or_path, given.half, given.format, token=given.token)
    tokenizer = _tokenizer(given)
    exported = export_model(
        model,
        given.output_dir,
        half=given.half,
        format=given.format,
        tokenizer=tokenizer,
        name=given.push_to_hub or "",
    )
    format = written_format(model.config, given.format, given.model_name_or_path)
    beside = "with its tokenizer and card" if tokenizer else "with its card; no tokenizer lies beside the model"
    print(f"{type(exported).__name__}, format {format}, {beside}: {given.output_dir}")
    if given.push_to_hub is not None:
        url = push_folder(
            given.output_dir, given.push_to_hub, private=given.hub_private_repo, token=given.token, message="Export"
        )
        print(f"uploaded to {url}")
