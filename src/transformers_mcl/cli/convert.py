"""`transformers-mcl convert SOURCE DESTINATION`: a fairseq checkpoint as one of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..hub.push import check_repo_name, push_folder
from ..locks import claimed
from ..ranges import check_numbers
from .arguments import parse_arguments
from .main import COMMANDS, PROG


@dataclass
class ConvertArguments:
    """Which checkpoint, where to, and what its file does not say."""

    source: str = field(
        metadata={
            "help": "A fairseq checkpoint, a folder that holds one, or the name of such a repository on the Hub."
        }
    )
    destination: str = field(metadata={"help": "A directory that is empty or does not exist."})
    revision: str | None = field(default=None, metadata={"help": "Of the repository: a branch, a tag or a commit."})
    num_attention_heads: int | None = field(
        default=None, metadata={"help": "Where the checkpoint has no relative position bias, whose shape tells."}
    )
    mask_token_id: int | None = field(default=None, metadata={"help": "Where no dict.txt lies beside the checkpoint."})
    course_heads: dict[str, Any] | None = field(
        default=None,
        metadata={"help": 'Which detection head is which course\'s, as JSON: {"rtd": "discriminator_lm_head", ...}.'},
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace an earlier conversion in the destination."})
    check: bool = field(
        default=False, metadata={"help": "Have the pair fill in and judge a built-in text, and say how well it did."}
    )
    push_to_hub: str | None = field(default=None, metadata={"help": "Upload it to the repository of this name."})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "Whether a new repository is private."})
    token: str | None = field(default=None, metadata={"help": "For the Hub; by default the one you logged in with."})

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.push_to_hub is not None:
            check_repo_name(self.push_to_hub)


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl convert --help`."""
    given: ConvertArguments
    (given,) = parse_arguments(
        [ConvertArguments], _named(argv), prog=f"{PROG} convert", description=COMMANDS["convert"]
    )
    with claimed(given.destination, beside=True):
        _write(given)


def _write(given: ConvertArguments) -> None:
    from ..hub.fairseq import convert_fairseq_checkpoint

    report = convert_fairseq_checkpoint(
        given.source,
        given.destination,
        revision=given.revision,
        token=given.token,
        num_attention_heads=given.num_attention_heads,
        mask_token_id=given.mask_token_id,
        course_heads=given.course_heads,
        overwrite=given.overwrite,
    )
    print(report)
    if given.check:
        from ..hub.fairseq.check import check_pair

        print(f"\n{check_pair(given.destination)}")
    if given.push_to_hub is not None:
        url = push_folder(
            given.destination, given.push_to_hub, private=given.hub_private_repo, token=given.token, message="Convert"
        )
        print(f"uploaded to {url}")


def _named(argv: list[str]) -> list[str]:
    """`SOURCE DESTINATION …` as `--source SOURCE --destination DESTINATION …`; they may stand in a file as well."""
    places = ["--source", "--destination"]
    words = []
    for word, place in zip(argv, places, strict=False):
        if word.startswith("-"):
            break
        words += [place, word]
    return [*words, *argv[len(words) // 2 :]]
