"""`transformers-mcl plan`: what to choose before a long run: how large, what to learn, how long, at which rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args, get_type_hints

import yaml
from tqdm.auto import tqdm

from ..errors import UserError
from ..io import check_writable
from ..ranges import check_numbers
from ..training.callbacks import format_seconds
from ..training.model_arguments import ModelArguments
from ..training.offers import Offer, offer, offers_table
from ..training.rate_ladder import STEPS, find_learning_rate
from .arguments import ParsedArguments
from .pretrain import arguments_of, proposing

_DESCRIPTION = "Try a few steps of every preset and objective on your text: how fast each is, and what hours buy."
# Seconds of a kind of run: what takes longer is estimated. Its text is read and its model made besides.
_PATIENCE = 30.0
_PRESETS: list[str] = list(get_args(get_args(get_type_hints(ModelArguments)["preset"])[0]))
_SCHEDULE = "course_schedule"
# What is offered: an objective, and for some of them a schedule; with one course there is nothing to take in turn.
_KINDS = [("electra", ""), ("mcl", "sampled"), ("mcl", "all")]


@dataclass
class PlanArguments:
    """What to find out; the other arguments are those of `transformers-mcl pretrain`."""

    find_learning_rate: bool = field(
        default=False, metadata={"help": "Instead of the table, train shortly at several rates, and name one to take."}
    )
    ladder_steps: int = field(default=STEPS, metadata={"help": "Steps at each of these rates."})

    def __post_init__(self) -> None:
        check_numbers(self)


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl plan --help`."""
    parsed = _parse(argv)
    plan, model_args, data_args, training_args = parsed
    if training_args.resume_from_checkpoint:
        raise UserError("resume_from_checkpoint: plan is for runs that begin; leave it out")
    if training_args.world_size > 1:
        raise UserError(
            f"plan tries runs on one process, not {training_args.world_size}: start it without a launcher. Under one, "
            "`pretrain --dry_run true` tries the run that its arguments ask for"
        )
    if plan.find_learning_rate:
        _find_rate(parsed)
        return
    kinds = list(_kinds(argv, model_args))
    at_most = format_seconds(_PATIENCE * len(kinds))
    print(f"{len(kinds)} kinds of run, some steps of each: some {at_most} at most, and what it takes to read the text")
    offers: list[Offer] = []
    with tqdm(kinds, disable=training_args.disable_tqdm, leave=False) as bar:
        for name, words in bar:
            bar.set_description(" ".join(name))
            _, *arguments = _parse(words)
            speed = next((one.flops_per_second for one in reversed(offers) if one.flops_per_second), None)
            offers.append(offer(name, *arguments, patience=_PATIENCE, flops_per_second=speed))
    if not any(one.work for one in offers):
        raise UserError("; ".join(dict.fromkeys(one.trouble for one in offers)))
    print(offers_table(offers))
    print(
        "Steps and hours are those of the length that pretrain proposes, or was asked for; --max_hours asks for other "
        "hours.\nThe speed is this machine's as it is now: what else it does makes all of it longer."
    )


def _parse(argv: list[str]) -> ParsedArguments:
    parsed = arguments_of(argv, "plan", _DESCRIPTION, PlanArguments, _proposing)
    parsed[3].push_to_hub = parsed[3].push_revisions = False  # for which a repository would be made
    return parsed


def _proposing(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """As `proposing`: hours ask what they buy, and leave the length of the run open."""
    return proposing({name: value for name, value in given.items() if name != "max_hours"}, read)


def _kinds(argv: list[str], given: ModelArguments) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Every preset and objective that the arguments leave open: their names, and the words that ask for such a run."""
    overrides = given.config_overrides or ""
    kinds = [(objective, schedule) for objective, schedule in _KINDS if given.objective in (None, objective)]
    kinds = kinds or [(str(given.objective), "")]
    if _SCHEDULE in overrides:
        kinds = [(objective, "") for objective in dict.fromkeys(objective for objective, _ in kinds)]
    presets: list[str] = [given.preset] if given.preset else _PRESETS
    if given.backbone or given.base_checkpoints:
        presets = [given.preset or ""]
    for preset in presets:
        for objective, schedule in kinds:
            more = ["--objective", objective, *(["--preset", preset] if preset else [])]
            if schedule:
                asked = ",".join(filter(None, (overrides, f"{_SCHEDULE}={schedule}")))
                more += ["--config_overrides", asked]
            name = preset or given.backbone or "the checkpoint"
            yield (name, ", ".join(filter(None, (objective, schedule)))), [*argv, *more]


def _find_rate(parsed: ParsedArguments) -> None:
    plan, model_args, data_args, training_args = parsed
    folder = check_writable((yaml.safe_load(parsed.recipe) or {}).get("output_dir", "."))
    with TemporaryDirectory() as unused:
        training_args.output_dir = str(Path(unused) / "run")
        ladder = find_learning_rate(
            model_args, data_args, training_args, steps=plan.ladder_steps, disable_tqdm=training_args.disable_tqdm
        )
    ladder.plot(folder / "learning_rates.png")
    print(ladder.table())
    print(f"{ladder.reason}\nThe picture is {folder / 'learning_rates.png'}")
