"""Which learning rate to take: short real trainings at several, from the same weights on the same rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SchedulerType

from ..data import DataArguments
from ..errors import Diverged, UserError
from ..io import markdown_table
from ..method.courses import COURSES, MAIN_COURSE
from ..plots import COLOURS, GREY, label_ends, picture
from .arguments import RATES, WARMUPS, MclTrainingArguments
from .callbacks import format_seconds
from .health import HealthThresholds
from .measure import measure, rehearsal
from .model_arguments import ModelArguments
from .run import PretrainingRun, prepare

__all__ = ["FACTORS", "STEPS", "RateLadder", "Rung", "find_learning_rate"]

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
STEPS = 400
_LOOKS = 20  # logs of a rung
_EVAL_ROWS = 512
_RISE = 0.5  # nats that the generator's loss may be above its least before a rung is given up
_ALIKE = 0.03  # share: nothing to choose by, since too high a rate harms the discriminator before the generator
_MAIN = COURSES[MAIN_COURSE]
_LOSS = f"{_MAIN.generate.name if _MAIN.generate else ''}_loss"
_AUC, _RECALL = f"{MAIN_COURSE}_disc_auc", f"{MAIN_COURSE}_disc_recall"


@dataclass
class Rung:
    """One rate, and how far it led.

    Attributes:
        learning_rate: the highest, after the warm-up.
        log_history: its `Trainer.state.log_history`.
        evaluation: figures on held-out rows after its last step; none if it ended early.
        trouble: why it is not to be taken; empty if it may be.
    """

    learning_rate: float
    log_history: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, float] = field(default_factory=dict)
    trouble: str = ""

    @property
    def loss(self) -> float:
        """The generator's, held out, in nats."""
        return self.evaluation.get(_LOSS, math.nan)

    @property
    def auc(self) -> float:
        """The discriminator's at telling replaced tokens, held out."""
        return self.evaluation.get(_AUC, math.nan)


@dataclass
class RateLadder:
    """The rungs, from the lowest rate to the highest, and what to take of them.

    Attributes:
        learning_rate: the one to take; None if no rung is to be taken.
        reason: why, in a sentence or two.
        steps: of a whole rung.
        token_entropy: loss of a generator that only knows how frequent each token is, in nats.
    """

    rungs: list[Rung]
    learning_rate: float | None
    reason: str
    steps: int
    token_entropy: float

    def table(self) -> str:
        """The rungs as a Markdown table, held-out figures."""
        rows = [
            (
                f"{rung.learning_rate:.3g}",
                *("" if math.isnan(value) else f"{value:.3f}" for value in (rung.loss, rung.auc)),
                "the one to take" if rung.learning_rate == self.learning_rate else rung.trouble,
            )
            for rung in self.rungs
        ]
        return markdown_table(["learning rate", "generator's loss", "discriminator's AUC", ""], rows, "rrrl")

    def plot(self, path: str | PathLike[str]) -> None:
        """Draws the generator's loss and the discriminator's AUC of every rung, by step of training, as a PNG."""
        title = f"{self.steps:,} steps at each learning rate"
        panels = [
            (_LOSS, "Generator's loss (nats)", self.token_entropy, "token entropy"),
            (_AUC, "Discriminator's AUC, replaced tokens", 0.5, "chance"),
        ]
        with picture(path, 7.6, 2.9, title) as figure:
            for place, (name, said, level, of) in enumerate(panels, start=1):
                axes, ends = figure.add_subplot(1, 2, place), [(level, of, GREY)]
                axes.axhline(level, color=GREY, linewidth=1, linestyle=":")
                for i, rung in enumerate(self.rungs):
                    points = [(log["step"], log[name]) for log in rung.log_history if name in log]
                    if points:
                        chosen = rung.learning_rate == self.learning_rate
                        axes.plot(*zip(*points, strict=True), color=COLOURS[i % 7], linewidth=2.2 if chosen else 1.1)
                        ends.append((points[-1][1], f"{rung.learning_rate:.3g}{' *' * chosen}", COLOURS[i % 7]))
                axes.set(title=said, xlabel="step")
                axes.grid()
                label_ends(axes, ends)


def find_learning_rate(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    *,
    factors: Sequence[float] = FACTORS,
    steps: int = STEPS,
    disable_tqdm: bool = False,
) -> RateLadder:
    """Trains at several multiples of `training_args.learning_rate`, and says which to take.

    A rung is the run in miniature: the same share of it warms the rate up, trains the generator alone and begins other
    courses later, but the rate does not fall after its warm-up. It starts from the weights that the run starts from,
    and reads the same rows in the same order; it ends early once it has diverged. Nothing is written.

    Args:
        model_args, data_args, training_args: as [`prepare`] takes them. Other rates than `learning_rate` keep their
            ratio to it.
        factors: what the rate is multiplied by, one for a rung.
        steps: optimizer steps of a rung; `docs/pretraining.md` says how many tell something.
        disable_tqdm: whether to show no progress bar.

    Raises:
        UserError: what [`prepare`] refuses; several processes; a run whose generator is not trained.
    """
    _check(training_args, factors, steps)
    run = prepare(model_args, data_args, copy.copy(training_args))
    if not run.model.config.weights.get(_LOSS.removesuffix("_loss")):
        raise UserError(
            f"find_learning_rate: the generator is judged by {_LOSS}, which has weight 0 in this run: give it a weight"
        )
    entropy = run.trainer.token_entropy
    assert entropy is not None  # there are always held-out rows
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    thresholds, rungs = HealthThresholds(), []
    with _progress(run, len(factors), steps, disable_tqdm) as bar:
        for factor in sorted(factors):
            run.model.load_state_dict(start)
            rungs.append(_climb(run, factor, steps, bar))
            _judge(rungs[-1], entropy, thresholds)
    chosen, reason = _choose(rungs, steps)
    return RateLadder(rungs, chosen, reason, steps, entropy)


def _check(args: MclTrainingArguments, factors: Sequence[float], steps: int) -> None:
    if args.world_size > 1:
        raise UserError(f"find_learning_rate runs on one process, not {args.world_size}: start it without a launcher")
    if not factors or min(factors) <= 0 or len(set(factors)) < len(factors):
        raise UserError(f"find_learning_rate: factors={list(factors)} must be different, and above 0")
    if steps < _LOOKS:
        raise UserError(f"find_learning_rate: {steps} steps tell nothing: give {_LOOKS} or more, {STEPS} by default")
    if not args.learning_rate:
        raise UserError("find_learning_rate: learning_rate=0 has no multiples: give one to start from")


def _miniature(run: PretrainingRun, factor: float, steps: int) -> dict[str, Any]:
    """The arguments of a rung that differ from the run's."""
    args, whole = run.trainer.args, run.steps
    values: dict[str, Any] = {name: rate * factor for name in RATES if (rate := getattr(args, name)) is not None}
    for name in WARMUPS:
        values[name] = min(getattr(args, f"get_{name}")(whole) / whole, 1.0) * steps
    return values | {
        "warmup_steps": round(args.get_warmup_steps(whole) / whole * steps),
        "lr_scheduler_type": SchedulerType.CONSTANT_WITH_WARMUP,
        "lr_scheduler_kwargs": {},
        "max_steps": steps,
        "logging_steps": steps // _LOOKS,
        "logging_strategy": IntervalStrategy.STEPS,
    }


def _climb(run: PretrainingRun, factor: float, steps: int, bar: tqdm[Any]) -> Rung:
    """One short training from the model's weights, and what comes of it on held-out rows."""
    values, look = _miniature(run, factor, steps), _Look(bar)
    rung = Rung(values["learning_rate"])
    bar.set_postfix_str(f"learning rate {rung.learning_rate:.3g}")
    with rehearsal(run.trainer, values, look, eval_rows=_EVAL_ROWS) as trainer:
        try:
            trainer.train()
            rung.trouble = look.trouble
        except Diverged:
            rung.trouble = f"diverged at step {trainer.state.global_step}"
        rung.log_history = trainer.state.log_history
        if not rung.trouble:
            figures = trainer.evaluate()
            rung.evaluation = {name.removeprefix("eval_"): value for name, value in figures.items()}
    bar.update(steps - look.done)
    return rung


class _Look(TrainerCallback):
    """Moves the bar, and ends a rung whose generator unlearns what it knew."""

    def __init__(self, bar: tqdm[Any]):
        self._bar, self._least, self.done, self.trouble = bar, math.inf, 0, ""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.done = state.global_step
        self._bar.update()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        loss = (logs or {}).get(_LOSS, math.inf)
        self._least = min(self._least, loss)
        if math.inf > loss > self._least + _RISE:
            self.trouble = f"diverged by step {state.global_step}: the generator's loss rose to {loss:.3f}"
            control.should_training_stop = True


@contextmanager
def _progress(run: PretrainingRun, rungs: int, steps: int, disable: bool) -> Iterator[tqdm[Any]]:
    """A bar over all rungs, under a line that says how much there is to do, and about how long it takes."""
    with tqdm(total=rungs * steps, desc="learning rates", unit="step", disable=disable) as bar:
        if not disable:
            seconds = format_seconds(rungs * _seconds(run, steps))
            tokens = f"{run.workload.tokens_per_step:,} tokens"
            bar.write(f"{rungs} learning rates of {steps:,} steps of {tokens} each: about {seconds} at most")
        yield bar


def _seconds(run: PretrainingRun, steps: int) -> float:
    """Of a rung."""
    args = copy.copy(run.trainer.args)
    for name, value in {**_miniature(run, 1.0, steps), "eval_strategy": IntervalStrategy.NO}.items():
        setattr(args, name, value)
    rows, speed = len(run.rows["validation"]), measure(run.trainer)
    speed = replace(speed, evaluation=speed.evaluation * min(rows, _EVAL_ROWS) / rows)
    return speed.of_run(replace(run.workload, args=args, steps=steps))


def _judge(rung: Rung, token_entropy: float, t: HealthThresholds) -> None:
    """Says what is wrong with a rung that has not ended early."""
    if rung.trouble:
        return
    recall = rung.evaluation.get(_RECALL, math.nan)
    if rung.loss > (1 - t.plateau) * token_entropy:
        rung.trouble = f"on the unigram plateau: token entropy {token_entropy:.3f}"
    elif rung.auc < t.collapsed_auc and recall < t.silent_recall:
        rung.trouble = "the discriminator says the same of every token"


def _choose(rungs: Sequence[Rung], steps: int) -> tuple[float | None, str]:
    """The rate with the least generator's loss, or of those nearly as low the one with the highest AUC; and why."""
    good = [rung for rung in rungs if not rung.trouble]
    if not good:
        return None, f"no rate has led anywhere in {steps:,} steps: try longer rungs, or other rates"
    least = min(rung.loss for rung in good)
    alike = [rung for rung in good if rung.loss <= (1 + _ALIKE) * least]
    best = max(alike, key=lambda rung: 0.0 if math.isnan(rung.auc) else rung.auc)
    reason = f"its generator's held-out loss, {best.loss:.3f}, is the least"
    if len(alike) > 1:
        rates = " and ".join(f"{rung.learning_rate:.3g}" for rung in alike)
        reason = f"the generators of {rates} are alike, and its discriminator's AUC, {best.auc:.3f}, is the highest"
    if best in (rungs[0], rungs[-1]) and len(rungs) > 1:
        side = "lowest" if best is rungs[0] else "highest"
        reason += f". It is the {side} that was tried: look further there"
    return best.learning_rate, f"{best.learning_rate:.3g}: {reason}"
