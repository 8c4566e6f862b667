"""``transformers-mcl inspect``: what the courses of a pre-trained pair do to a sentence."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import Literal

from transformers import PreTrainedTokenizerBase

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import COMMANDS, PROG
from transformers_mcl.cli.terminal import print_drawn
from transformers_mcl.data.shipped import SHIPPED_PAIR
from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.errors import UserError
from transformers_mcl.inspection import Inspection, check_text, inspect_text, render
from transformers_mcl.method.courses import COURSES
from transformers_mcl.models.configuration_mcl import MclConfig
from transformers_mcl.models.loading import TRUST_HELP, load_config, open_model, trusting
from transformers_mcl.models.pretraining import MclForPreTraining
from transformers_mcl.ranges import check_numbers


@dataclass
class InspectArguments:
    """Which pair, which sentence, and how to show them.

    Raises:
        UserError: empty text.
    """

    text: str = field(metadata={"help": "The sentence."})
    model_name_or_path: str = field(
        default=SHIPPED_PAIR,
        metadata={
            "help": "The pair that `pretrain` wrote: its directory or name on the Hub; mcl-pair is the one inside "
            "the package."
        },
    )
    seed: int = field(default=42, metadata={"help": "Seed of all draws: positions and the generator's samples."})
    courses: list[str] | None = field(
        default=None, metadata={"help": "Courses to show (rtd, std, itd); by default all that the pair takes."}
    )
    mask_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to mask; default: the pair's."})
    swap_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to swap; default: the pair's."})
    insert_ratio: float | None = field(default=None, metadata={"help": "Share to insert; default: the pair's."})
    color: Literal["auto", "always", "never"] = field(
        default="auto", metadata={"help": "auto: on a terminal, unless NO_COLOR is set in the environment."}
    )
    json: bool = field(default=False, metadata={"help": "Print JSON in place of the picture."})
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})

    def __post_init__(self) -> None:
        check_numbers(self)
        check_text(self.text)


def run(argv: list[str]) -> None:
    """Open a pair and show what it does to a sentence; `argv` is what follows ``transformers-mcl inspect``."""
    arguments: InspectArguments
    (arguments,) = parse_arguments([InspectArguments], argv, prog=f"{PROG} inspect", description=COMMANDS["inspect"])
    names = [course.ratio_name for course in COURSES.values()]
    ratios = {name: ratio for name in names if (ratio := getattr(arguments, name, None)) is not None}
    with trusting(arguments.trust_remote_code):
        model, tokenizer = _open_pair(arguments.model_name_or_path, ratios)
    inspection = inspect_text(model, tokenizer, arguments.text, seed=arguments.seed, courses=arguments.courses)
    if arguments.json:
        print(json.dumps(inspection.to_dict()))
    else:
        show(inspection, arguments.color)


def show(inspection: Inspection, color: str = "auto") -> None:
    """Print an inspection as this terminal can: its width, its characters, and its colours if it is one.

    Args:
        inspection: what [`inspect_text`] returned.
        color: `"auto"`, `"always"` or `"never"`; `"auto"` follows https://no-color.org.
    """
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    colored = color == "always" or (color == "auto" and terminal)
    encoding = sys.stdout.encoding or "utf-8"
    print_drawn(render(inspection, color=colored, width=shutil.get_terminal_size().columns, encoding=encoding))


def _open_pair(name_or_path: str, ratios: dict[str, float]) -> tuple[MclForPreTraining, PreTrainedTokenizerBase]:
    """A pair and its tokenizer, with other ratios than those it was trained with."""
    where = f"model_name_or_path: {name_or_path!r}"
    config = load_config(name_or_path)
    if not isinstance(config, MclConfig):
        raise UserError(f"{where} is a {config.model_type!r} checkpoint; give a pair that `{PROG} pretrain` wrote")
    config = MclConfig.from_dict({**config.to_dict(), **ratios})
    tokenizer = load_tokenizer(name_or_path)
    opened = open_model(MclForPreTraining, name_or_path, where, config=config)
    if opened.missing:
        kind = ", ".join(config.architectures or ["unknown architecture"])
        parts = ", ".join(sorted({key.split(".")[0] for key in opened.missing}))
        raise UserError(
            f"{where} ({kind}) is not a whole pair: weights of {parts} are missing; give what `{PROG} pretrain` wrote"
        )
    return opened.model, tokenizer
