"""What there is to choose from: for each kind of run how fast it is here, how long it takes, and what hours buy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..data import DataArguments
from ..errors import UserError
from ..io import markdown_table
from .arguments import MclTrainingArguments
from .lengths import HOURS, Asked, settle, steps_in
from .measure import Speed
from .memory import format_bytes
from .model_arguments import ModelArguments
from .run import prepare
from .workload import Workload

__all__ = ["Offer", "offer", "offers_table"]


@dataclass(frozen=True)
class Offer:
    """One kind of run.

    Attributes:
        name: of its preset and objective, a column of the table each.
        work: of the length that `pretrain` proposes, or was asked for; None if the run does not fit here.
        speed: what was measured.
        hours, bought: the run of the most steps that so many hours have; None if they have none.
        trouble: why there is no such run.
    """

    name: tuple[str, str]
    work: Workload | None = None
    speed: Speed | None = None
    hours: float = HOURS
    bought: Workload | None = None
    trouble: str = ""

    @property
    def flops_per_second(self) -> float | None:
        """Of the steps that were measured."""
        if self.work is None or self.speed is None or self.speed.estimated:
            return None
        return self.work.flops * self.speed.tokens_per_second(self.work) / self.work.tokens


def offer(
    name: tuple[str, str],
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    *,
    patience: float,
    flops_per_second: float | None = None,
) -> Offer:
    """Prepares a run, measures it, and forgets it.

    Args:
        name: of the offer.
        model_args, data_args, training_args: as [`prepare`] takes them; with `max_hours`, these are asked about.
        patience, flops_per_second: of [`measure`].

    What [`prepare`] refuses, and a batch that does not fit in memory, are said in the offer.
    """
    hours = HOURS if training_args.max_hours is None else training_args.max_hours
    asked = Asked.take(training_args)
    if asked.max_hours is not None:
        asked = replace(asked, max_hours=None)
    with TemporaryDirectory() as folder:
        training_args.output_dir = str(Path(folder) / "run")
        if asked:
            training_args.max_steps = 1
        try:
            run = prepare(model_args, data_args, training_args)
            speed = run.measure(patience=patience, flops_per_second=flops_per_second)
        except UserError as error:
            return Offer(name, hours=hours, trouble=str(error))
    assert speed is not None  # there is one process
    work = run.workload
    if asked:
        work = replace(run.one_step, steps=settle(asked, run.one_step, lambda: speed).steps)
    steps = steps_in(hours, run.one_step, speed)
    return Offer(name, work, speed, hours, replace(work, steps=steps) if steps else None)


def offers_table(offers: Iterable[Offer]) -> str:
    """As Markdown."""
    offers = list(offers)
    header = ["preset", "objective", "tokens/s", "s/step", "steps", "hours", "memory"]
    if offers:
        header += [f"in {offers[0].hours:g} hours: steps", "tokens", "epochs", ""]
    return markdown_table(header, [_cells(one) for one in offers], "ll" + "r" * (len(header) - 3) + "l")


def _cells(one: Offer) -> tuple[str, ...]:
    if one.work is None or one.speed is None:
        return (*one.name, *[""] * 8, one.trouble)
    work, seconds = one.work, one.speed.of_run(one.work)
    step = (seconds - work.evaluations * one.speed.evaluation) / work.steps
    own = (f"{one.speed.tokens_per_second(work):,.0f}", f"{step:.3g}", f"{work.steps:,}", f"{seconds / 3600:.3g}")
    buys = ("none", "", "")
    if bought := one.bought:
        epochs = "" if bought.rows is None else bought.epochs.removesuffix(" epochs")
        buys = (f"{bought.steps:,}", f"{bought.tokens:,}", epochs)
    least = "at least " * (one.speed.by == "operations")
    said = f"estimated by {one.speed.by}" * one.speed.estimated
    return (*one.name, *own, least + format_bytes(one.speed.memory), *buys, said)
