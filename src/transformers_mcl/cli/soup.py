"""`transformers-mcl soup`: checkpoints to one, whose weights are their average."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ..errors import UserError
from ..hub.push import check_repo_name, push_folder
from ..locks import claimed
from ..models.loading import TRUST_HELP, trusting
from ..ranges import check_numbers
from ..soups.card import soup_table
from ..soups.diagnosis import diagnose_into
from ..soups.methods import make_soup
from ..soups.score_arguments import ScoreArguments
from .arguments import parse_arguments
from .main import COMMANDS, PROG


@dataclass
class SoupArguments:
    """Which checkpoints become one, by what method, and where to.

    Raises:
        UserError: arguments that do not go together.
    """

    checkpoints: list[str] = field(
        metadata={"help": "The ingredients: folders, Trainer's output folders, names on the Hub. May stand alone."}
    )
    output_dir: str = field(metadata={"help": "A folder that is empty or does not exist."})
    method: Literal["uniform", "weighted", "greedy", "learned"] | None = field(
        default=None,
        metadata={
            "help": "uniform (the default); weighted: by --weights, or in proportion to each one's score (of a loss, "
            "to 1/loss); greedy: from the best on, each is kept if the soup gets no worse; learned: by an optimizer."
        },
    )
    weights: list[float] | None = field(default=None, metadata={"help": "One an ingredient, in proportion."})
    coefficients_per: Literal["ingredient", "layer"] = field(
        default="ingredient",
        metadata={"help": "What learned finds coefficients for: whole ingredients, or each layer."},
    )
    max_evaluations: int = field(default=50, metadata={"help": "Averages that learned may look at."})
    dtype: Literal["float32", "bfloat16", "float16"] | None = field(
        default=None, metadata={"help": "Of the soup; by default the ingredients' (the widest)."}
    )
    diagnose: bool = field(
        default=False,
        metadata={
            "help": "Make no soup: write into output_dir how far apart the ingredients are, and with "
            "--validation_file the loss between any two, and how the first one's losses pull."
        },
    )
    diagnose_points: int = field(default=3, metadata={"help": "Losses between any two."})
    initial_model: str | None = field(
        default=None, metadata={"help": "What all were trained from: angles are measured there, not at their mean."}
    )
    push_to_hub: str | None = field(default=None, metadata={"help": "Upload it to the repository of this name."})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "Whether a new repository is private."})
    token: str | None = field(default=None, metadata={"help": "For the Hub; by default the one you logged in with."})
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.weights is not None and self.method not in (None, "weighted"):
            raise UserError(f"weights do not go with method={self.method}: leave one of them out")
        if self.push_to_hub is not None:
            check_repo_name(self.push_to_hub)


def _refuse_recipe(argv: Sequence[str]) -> None:
    """What once was an argument here has become a script."""
    for word, following in zip(argv, [*argv, "FILE"][1:], strict=True):
        name, _, file = word.partition("=")
        if name == "--recipe":
            command = f"python examples/course_soups/run.py --config {file or following}"
            raise UserError(f"--recipe: the study of the paper's course soups is an example of its own: {command}")


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl soup --help`."""
    _refuse_recipe(argv)
    args: SoupArguments
    score: ScoreArguments
    args, score = parse_arguments(
        (SoupArguments, ScoreArguments),
        argv,
        prog=f"{PROG} soup [CHECKPOINT ...]",
        description=COMMANDS["soup"],
        positional="checkpoints",
    )
    with claimed(args.output_dir, beside=True), trusting(args.trust_remote_code):
        _make(args, score)


def _make(args: SoupArguments, score: ScoreArguments) -> None:
    if args.diagnose:
        start, points = args.initial_model, args.diagnose_points
        more: Any = {"initial_model": start, "points": points, "token": args.token}
        print(diagnose_into(args.output_dir, args.checkpoints, score, **more))
        print(f"The tables, their numbers as JSON, and pictures are in {args.output_dir}")
        return
    weights: Any = args.weights or args.method
    scored = score.score is not None or weights in ("weighted", "greedy", "learned")
    soup = make_soup(
        args.checkpoints,
        args.output_dir,
        weights,
        score=score if scored else None,
        coefficients_per=args.coefficients_per,
        max_evaluations=args.max_evaluations,
        dtype=args.dtype and getattr(torch, args.dtype),
        name=args.push_to_hub or "",
        report=lambda line: print(line, file=sys.stderr, flush=True),
        token=args.token,
    )
    print(f"{soup_table(soup)}\n\nThe soup and its model card are in {args.output_dir}")
    if args.push_to_hub is not None:
        url = push_folder(
            args.output_dir, args.push_to_hub, private=args.hub_private_repo, token=args.token, message="Soup"
        )
        print(f"uploaded to {url}")
