"""``transformers-mcl inspect``: what the courses of a pre-trained pair do to a sentence."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import COMMANDS, PROG
from transformers_mcl.cli.terminal import print_drawn
from transformers_mcl.data.shipped import SHIPPED_PAIR, name_of
from transformers_mcl.errors import UserError
from transformers_mcl.inspection import (
    Inspection,
    check_page,
    check_text,
    check_threshold,
    inspect_text,
    open_pair,
    page_frame,
    render,
    write_page,
)
from transformers_mcl.method.courses import COURSES
from transformers_mcl.models.loading import TRUST_HELP, trusting
from transformers_mcl.ranges import check_numbers


@dataclass
class InspectArguments:
    """Which pair, which sentence, and how to show them.

    Raises:
        UserError: empty text, a threshold that no probability is above, or a page that cannot be written.
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
    threshold: float = field(
        default=0.5, metadata={"help": "Probability above which a token is called replaced; in training 0.5."}
    )
    html: str | None = field(
        default=None,
        metadata={"help": "Write a page to look at and play with into this file, in place of the picture."},
    )
    compare_with: str | None = field(
        default=None, metadata={"help": "A second pair, which the page shows beside the first."}
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        check_text(self.text)
        check_threshold(self.threshold)
        if self.html is not None:
            check_page(self.html)
        elif self.compare_with is not None:
            raise UserError("compare_with: two pairs are shown side by side in a page: give --html FILE as well")


def run(argv: list[str]) -> None:
    """Open a pair and show what it does to a sentence; `argv` is what follows ``transformers-mcl inspect``."""
    arguments: InspectArguments
    (arguments,) = parse_arguments([InspectArguments], argv, prog=f"{PROG} inspect", description=COMMANDS["inspect"])
    names = [course.ratio_name for course in COURSES.values()]
    ratios = {name: ratio for name in names if (ratio := getattr(arguments, name, None)) is not None}
    with trusting(arguments.trust_remote_code):
        inspection = _inspect(arguments, ratios)
    if arguments.json:
        print(json.dumps(inspection.to_dict()))
    elif arguments.html is not None:
        print(f"{arguments.html}: open it in a browser")
    else:
        show(inspection, arguments.color)


def _inspect(arguments: InspectArguments, ratios: dict[str, float]) -> Inspection:
    """What the pair does to the sentence, and the page of it, if one is asked for."""
    given: dict[str, Any] = {"seed": arguments.seed, "courses": arguments.courses, "threshold": arguments.threshold}
    model, tokenizer = open_pair(arguments.model_name_or_path, ratios)
    inspection = inspect_text(model, tokenizer, arguments.text, thresholds=arguments.html is not None, **given)
    if arguments.html is not None:
        models = {name_of(arguments.model_name_or_path): [inspection]}
        if arguments.compare_with is not None:
            model, tokenizer = open_pair(arguments.compare_with, ratios, "compare_with")
            models[arguments.compare_with] = [inspect_text(model, tokenizer, arguments.text, thresholds=True, **given)]
        write_page(check_page(arguments.html), [page_frame(models)])
    return inspection


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
