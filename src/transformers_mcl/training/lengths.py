"""How long a run is: from what was asked for, or else proposed from its text and its speed, to optimizer steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..io import load_json
from .arguments import MclTrainingArguments
from .callbacks import format_seconds
from .measure import Speed
from .workload import Workload

__all__ = ["EPOCHS", "HOURS", "Asked", "Length", "settle", "steps_in"]

# What is proposed is no longer than this. 40 epochs are those of BERT (Devlin et al. 2019, A.2); a model gains next to
# nothing from a text that it has read as often (Muennighoff et al. 2023, of decoders). A day is our own choice.
EPOCHS, HOURS = 40, 24.0
# Operations a second that any machine has: a run that is short at these needs no measuring.
_SLOWEST = 1e9
_ENDLESS = 10**15  # steps
_CHOOSE = "choose another by --max_steps, --num_train_epochs, --max_tokens or --max_hours"


@dataclass(frozen=True)
class Asked:
    """A length that is to be made steps of; none of these if the arguments have steps or epochs already."""

    max_tokens: int | None = None
    max_hours: float | None = None
    up_to_steps: int | None = None

    @classmethod
    def take(cls, args: MclTrainingArguments) -> Asked:
        """What `args` ask for, which they ask no more afterwards."""
        given, asked = args.given_lengths, cls(args.max_tokens, args.max_hours, args.up_to_steps)
        args.max_tokens = args.max_hours = args.up_to_steps = None
        return cls() if "max_steps" in given or "num_train_epochs" in given else asked

    def __bool__(self) -> bool:
        return self != Asked()


@dataclass(frozen=True)
class Length:
    """Of a run.

    Attributes:
        steps: of the optimizer.
        reason: why so many; empty if the arguments say so themselves.
        speed: what was measured for it, if anything was.
    """

    steps: int
    reason: str = ""
    speed: Speed | None = None


def settle(asked: Asked, work: Workload, speed: Callable[[], Speed | None], checkpoint: str | None = None) -> Length:
    """The length that was asked for, or that is proposed: the least of `up_to_steps`, `EPOCHS` of the text, and
    `HOURS` at the measured speed, which is not measured where the others are surely shorter.

    Args:
        asked: of the run's arguments.
        work: of any number of steps.
        speed: measures the run's; None if it cannot be.
        checkpoint: that the run goes on from; it knows the steps of a run whose speed was measured.

    Raises:
        UserError: it is less than a step, or the run's speed cannot be measured.
    """
    state = None
    if checkpoint:
        state = load_json(Path(checkpoint) / "trainer_state.json")
    if asked.max_tokens is not None:
        return _tokens(asked.max_tokens, work, state["global_step"] if state else 0)
    if state:
        unread = "" if asked.max_hours is None else f"; max_hours={asked.max_hours:g} is of runs that begin"
        return Length(state["max_steps"], f"that of the run it goes on with{unread}")
    return _proposal(asked, work, speed) if asked.max_hours is None else _hours(asked.max_hours, work, speed)


def _tokens(number: int, work: Workload, done: int) -> Length:
    steps = _most(lambda steps: replace(work, steps=steps).tokens, number)
    if steps < max(done, 1):
        least = f"the {done:,} steps of the checkpoint have read" if done else "a step reads"
        tokens = replace(work, steps=max(done, 1)).tokens
        raise UserError(f"max_tokens={number} is too few: {least} {tokens:,}")
    return Length(steps, f"max_tokens={number:,}")


def _hours(hours: float, work: Workload, measured: Callable[[], Speed | None]) -> Length:
    if (speed := measured()) is None:
        raise UserError(
            f"max_hours={hours:g}: what FSDP or DeepSpeed shards cannot be tried for its speed, and then be trained: "
            "give max_steps, max_tokens or num_train_epochs"
        )
    if not (steps := steps_in(hours, work, speed)):
        least = speed.of_run(replace(work, steps=1))
        raise UserError(
            f"max_hours={hours:g} buys no step: a run of one, its evaluations included, takes about "
            f"{format_seconds(least)}: give {least / 3600:.2g} or more"
        )
    return Length(steps, f"max_hours={hours:g} by the speed of a few steps: an estimate, not a limit", speed)


def _proposal(asked: Asked, work: Workload, measured: Callable[[], Speed | None]) -> Length:
    assert asked.up_to_steps is not None
    bounds = {"as many as the preset takes, or up_to_steps says": asked.up_to_steps}
    if work.rows is not None:
        bounds[f"{EPOCHS} epochs of the text"] = EPOCHS * work.epoch_steps
    reason = min(bounds, key=lambda name: bounds[name])
    steps, speed = bounds[reason], None
    if replace(work, steps=steps).flops > _SLOWEST * HOURS * 3600 and (speed := measured()):
        if (longest := steps_in(HOURS, work, speed)) < steps:
            steps, reason = max(longest, 1), f"{HOURS:g} hours by the speed of a few steps"
    return Length(steps, f"proposed: {reason}; {_CHOOSE}", speed)


def steps_in(hours: float, work: Workload, speed: Speed) -> int:
    """The most steps that a run has in so many hours, its evaluations included; 0 if not even one."""
    return _most(lambda steps: speed.of_run(replace(work, steps=steps)), 3600 * hours)


def _most(cost: Callable[[int], float], budget: float) -> int:
    """The most steps that cost no more; 0 if even one does."""
    if cost(1) > budget:
        return 0
    above = 2
    while cost(above) <= budget:
        above *= 2
        if above > _ENDLESS:
            raise UserError(
                f"that is a length of more than {_ENDLESS:,} steps, which no run has: give fewer tokens or hours"
            )
    return bisect_right(range(above), budget, lo=above // 2, hi=above, key=cost) - 1
