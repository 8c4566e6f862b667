"""Early warning: the failures that ELECTRA's users report, named while they happen, from the logs alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any, NamedTuple

from tqdm.contrib.logging import logging_redirect_tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.utils import logging

from ..method.courses import COURSES, MAIN_COURSE, Course, all_losses

__all__ = ["HealthCallback", "HealthThresholds"]

logger = logging.get_logger(__name__)

_ADVICE = {
    "discriminator_says_original": "lower --learning_rate or lengthen --warmup_steps; if the generator is very good, "
    "make it smaller; a small pair may need a lower --discriminator_weight",
    "discriminator_collapsed": "go on from a checkpoint before it, or begin anew, with a lower --learning_rate; more "
    "courses (--objective mcl) may keep it",
    "generator_on_plateau": "end the run and find the rate: transformers_mcl.training.rate_ladder.find_learning_rate "
    "tries some from a quarter to four times it; one too high stays there for good, one too low for long",
    "generator_too_weak": "look at the text and the tokenizer; lengthen the run, or try another --learning_rate or a "
    "lower --discriminator_weight",
    "generator_too_good": "make the generator smaller, raise --{ratio}, and look whether the text repeats itself",
    "notebook_empty": "begin the other courses later (--course_warmup_steps), or leave the loss out until there is "
    "something to correct (--loss_weights)",
    "notebook_full": "lower --learning_rate or --discriminator_weight; until the discriminator recovers, its "
    "corrections are mostly of its own false alarms",
    "loss_is_flat": "look whether its parameters are trained and its weight is what it should be; try another "
    "--learning_rate; if it has learnt what it can, end the run",
}


@dataclass(frozen=True)
class HealthThresholds:
    """When a run is called ill.

    A *look* is the mean of the logs since the last look, taken as soon as these are 1 % of the run or `look_steps`
    steps, whichever is less. Sources: [E] google-research/electra, issue by number; [C] ymcui/Chinese-ELECTRA,
    likewise; [O] the runs of this package on its page *Is my run healthy?*.

    Args:
        look_steps: Most optimizer steps between two looks, unless logs are rarer: a long run does not wait longer.
        window: Looks in a row that must agree, and that a condition must be gone before it is warned of again.
        grace_ratio, grace_steps: A figure is looked at once it was logged for this share of the run, or so many steps,
            whichever is less. A discriminator that calls nothing replaced, and a generator that guesses by frequency,
            are normal at first: at step 5,000 recall was 0.05 and sampled accuracy 0.003 [E81]; here recall was 0 for
            half of 1,100 steps [O].
        plateau, plateau_ratio, plateau_steps: A generator is on the plateau while its loss is above the entropy of the
            tokens less this share of it: it knows how frequent each is, and no more. It is looked at from this share
            of the run on, and never before so many steps: all are there at first. Healthy ones had left it by step 500
            [O]; at four times a good rate one had crept to 3 % below the entropy in 900 steps [O].
        collapsed_auc, collapsed_ratio, collapsed_steps: A discriminator with an AUC below this, and a recall below
            `silent_recall`, says the same of every token. It is looked at from this share of the run on in which it is
            trained, or so many steps, whichever is less. One fell from 0.55 to 0.516 and 0.501 in 900 steps and stayed
            there; in healthy runs the least was 0.53, where the generator had just become plausible [O].
        silent_recall, blind_auc: A discriminator below both tells hardly one token from another: that some are sampled
            more often than they are written may be all it knows, in a run whose AUC stayed at 0.54 to 0.575 [O]. It is
            not called ill while its AUC surely rises, or the generator's loss surely falls: at first all is easy to
            find out, and the AUC falls as the generator becomes plausible, from 0.67 to 0.53, to rise again [O].
            Recall alone says little: replaced tokens are some 6 % [E49], and it was 0 while the AUC rose to 0.58 [O].
            [C66] is a run with a recall of 0 throughout, cured by a lower learning rate.
        weak_generator: Sampled accuracy of a generator that guesses by frequency: the sum of the squared shares of the
            tokens, 0.008 in the text of [O].
        strong_generator: Sampled accuracy of a generator that leaves too little to detect, less than 4 % of the tokens
            at a mask ratio of 0.15. ELECTRA's own reach about 0.6 [C19]; with a generator "too good too quickly" the
            discriminator learns nothing [E37].
        empty_notebook: Share of the tokens below which a correction loss has nothing to learn from: pos4 for
            re-generation, pos2 and pos3 for re-discrimination. One token in ten thousand is less than one in a batch
            of a small run.
        full_notebook: Share of the tokens that are original and judged replaced (pos3) above which the notebook holds
            mostly false alarms.
        flat_window, flat_ratio: Looks, and share of the run, over which a loss must move; whichever is longer.
        flat_change, flat_errors: A loss does not move if the means of the two halves of them differ by less than so
            many standard errors, and these are small enough to tell that it is by less than this share of the loss. So
            neither a slow but sure way down nor noise is a failure.
        least_learning_rate: Share of the highest learning rate so far below which a loss may stand still.
    """

    look_steps: int = 1000
    window: int = 5
    grace_ratio: float = 1 / 3
    grace_steps: int = 20_000
    plateau: float = 0.04
    plateau_ratio: float = 0.1
    plateau_steps: int = 500
    collapsed_auc: float = 0.52
    collapsed_ratio: float = 0.1
    collapsed_steps: int = 1000
    silent_recall: float = 0.01
    blind_auc: float = 0.58
    weak_generator: float = 0.02
    strong_generator: float = 0.75
    empty_notebook: float = 1e-4
    full_notebook: float = 0.5
    flat_window: int = 10
    flat_ratio: float = 0.2
    flat_change: float = 0.01
    flat_errors: float = 2.0
    least_learning_rate: float = 0.1


class _Finding(NamedTuple):
    condition: str
    course: str
    subject: str  # the course, or one of its losses: what is warned of once
    what: str


class _Silent(NamedTuple):
    auc: float  # the highest of the window
    figures: str  # the last, for people


class HealthCallback(TrainerCallback, ExportableState):
    """Warns of a course that goes wrong: what was seen, at which step, and what to do. Once each time it happens.

    It reads the logs of [`MclTrainer`], which adds one by default, and never the device. What it knows is part of
    every checkpoint; `warnings` are all so far, each with `step`, `condition`, `course` and `message`.

    Args:
        token_entropy: of the training text, in nats, below which a generator's loss has to fall; [`MclTrainer`] gives
            it. By default no generator is held against it.
        thresholds: fields of [`HealthThresholds`].
    """

    def __init__(self, token_entropy: float | None = None, **thresholds: Any):
        self.thresholds, self.token_entropy = HealthThresholds(**thresholds), token_entropy
        self._forget()

    def _forget(self) -> None:
        self.warnings: list[dict[str, Any]] = []
        self.last_look, self.max_steps, self.highest_rate = 0, 0, 0.0
        self.first_seen: dict[str, int] = {}  # step of the first log, by figure
        self.pending: dict[str, list[float]] = {}  # sum and number of the logs since the last look, by figure
        self.seen: dict[str, list[tuple[int, float]]] = {}  # the last looks, each with its step, by figure
        self.going_on: dict[str, int] = {}  # looks since a condition that was warned of last held

    def state(self) -> dict[str, Any]:
        own = ("thresholds", "token_entropy")
        attributes = {name: value for name, value in vars(self).items() if name not in own}
        return {"args": {**asdict(self.thresholds), "token_entropy": self.token_entropy}, "attributes": attributes}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # transformers restores callbacks only where asked to, and cannot save one that a checkpoint does not know.
        states: Any = state.stateful_callbacks
        saved = states.setdefault(type(self).__name__, self.state())["attributes"]
        if state.global_step == 0:
            self._forget()
        else:
            vars(self).update(saved)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        states: Any = state.stateful_callbacks
        states[type(self).__name__] = self.state()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        self.highest_rate = max(self.highest_rate, logs.get("learning_rate", 0.0))
        for name in _watched():
            if name in logs:
                self.first_seen.setdefault(name, state.global_step)
                total, number = self.pending.get(name, [0.0, 0])
                self.pending[name] = [total + logs[name], number + 1]
        if state.global_step - self.last_look >= min(state.max_steps / 100, self.thresholds.look_steps):
            self._look(state.global_step, state.max_steps)

    def _look(self, step: int, max_steps: int) -> None:
        t = self.thresholds
        self.max_steps = max_steps
        kept = max(t.window, t.flat_window, math.ceil(t.flat_ratio * max_steps / (step - self.last_look)))
        for name, (total, number) in self.pending.items():
            self.seen[name] = [*self.seen.get(name, []), (step, total / number)][-kept:]
        self.pending, self.last_look = {}, step
        found = {f"{finding.condition} {finding.subject}": finding for finding in self._findings(kept)}
        for key in [key for key in found if key not in self.going_on]:
            self._warn(step, found[key])
        self.going_on |= dict.fromkeys(found, -1)
        # A whole window without, and the window that it takes to be found again.
        self.going_on = {key: looks + 1 for key, looks in self.going_on.items() if looks + 1 < 2 * t.window}

    def _warn(self, step: int, finding: _Finding) -> None:
        condition, course, _, what = finding
        advice = _ADVICE[condition].format(ratio=COURSES[course].ratio_name)
        message = f"step {step}, course {course}: {what}. What to do: {advice}"
        self.warnings.append({"step": step, "condition": condition, "course": course, "message": message})
        with logging_redirect_tqdm():  # above the progress bar, not through it
            logger.warning(message)

    def _last(self, name: str, looks: int, grace: float | None = None) -> list[float]:
        """The last looks at a figure; empty unless there are so many, all after so many steps of it (by default those
        of `grace_ratio`), and the last look of all among them."""
        if grace is None:
            grace = min(self.thresholds.grace_ratio * self.max_steps, self.thresholds.grace_steps)
        seen = self.seen.get(name, [])[-looks:]
        if len(seen) < looks or seen[0][0] - self.first_seen[name] < grace:
            return []
        return [value for _, value in seen]

    def _findings(self, kept: int) -> Iterator[_Finding]:
        """What holds in every look of the window."""
        for course in COURSES.values():
            yield from self._of_the_discriminator(course, kept)
            yield from self._of_the_generator(course)
            yield from self._of_the_notebook(course)
            yield from self._of_the_losses(course, kept)

    def _of_the_discriminator(self, course: Course, kept: int) -> Iterator[_Finding]:
        t = self.thresholds
        early = min(t.collapsed_ratio * self.max_steps, t.collapsed_steps)
        if (seen := self._silent(course, early)) and seen.auc < t.collapsed_auc:
            what = f"the discriminator has collapsed, it says the same of every token: {seen.figures}"
            yield _Finding("discriminator_collapsed", course.name, course.name, what + self._at_the_rate())
        elif (seen := self._silent(course)) and seen.auc < t.blind_auc and not self._keeps_up(course, kept):
            what = f"the discriminator calls everything original: {seen.figures}"
            yield _Finding("discriminator_says_original", course.name, course.name, what)

    def _silent(self, course: Course, grace: float | None = None) -> _Silent | None:
        """What a discriminator reaches that called everything original in every look of the window; else None."""
        name, window = f"{course.name}_disc", self.thresholds.window
        recall, auc = (self._last(f"{name}_{figure}", window, grace) for figure in ("recall", "auc"))
        if not auc or not recall or max(recall) >= self.thresholds.silent_recall:
            return None
        return _Silent(max(auc), f"{name}_recall is {recall[-1]:.3f} and {name}_auc {auc[-1]:.3f}")

    def _keeps_up(self, course: Course, kept: int) -> bool:
        """Whether a discriminator learns, though it calls all original: its AUC rises, or the generator's loss falls,
        so that what it has to find out becomes plausible."""
        auc = self._last(f"{course.name}_disc_auc", kept, 0)
        loss = self._last(f"{course.generate.name}_loss", kept, 0) if course.generate else []
        return _moved(auc, self.thresholds.flat_errors) > 0 or _moved(loss, self.thresholds.flat_errors) < 0

    def _at_the_rate(self) -> str:
        rate = self.seen.get("learning_rate")
        return f", at a learning rate of {rate[-1][1]:.2g}" if rate else ""

    def _of_the_generator(self, course: Course) -> Iterator[_Finding]:
        t, name = self.thresholds, f"{course.name}_sampled_masked_lm_accuracy"
        accuracy = self._last(name, t.window)
        if accuracy and max(accuracy) < t.weak_generator:
            what = f"the generator is too weak, no better than guessing by frequency: {name} is {accuracy[-1]:.4f}"
            yield _Finding("generator_too_weak", course.name, course.name, what)
        if accuracy and min(accuracy) > t.strong_generator:
            what = f"the generator is too good, and leaves little to detect: {name} is {accuracy[-1]:.3f}"
            yield _Finding("generator_too_good", course.name, course.name, what)
        if course.name != MAIN_COURSE or course.generate is None or self.token_entropy is None:
            return
        begun = max(t.plateau_ratio * self.max_steps, t.plateau_steps)
        loss = self._last(f"{course.generate.name}_loss", t.window, begun)
        if loss and min(loss) > (1 - t.plateau) * self.token_entropy:
            what = (
                f"the generator is on the unigram plateau: {course.generate.name}_loss is {loss[-1]:.3f}, and to know "
                f"how frequent each token is makes {self.token_entropy:.3f}{self._at_the_rate()}"
            )
            yield _Finding("generator_on_plateau", course.name, course.generate.name, what)

    def _of_the_notebook(self, course: Course) -> Iterator[_Finding]:
        t = self.thresholds
        wrong, alarms, caught = (self._last(f"{course.name}_notebook_pos{i}", t.window) for i in (2, 3, 4))
        errors = [a + b for a, b in zip(wrong, alarms, strict=True)]
        corrections = ((course.regenerate, caught, "pos4"), (course.rediscriminate, errors, "pos2 and pos3"))
        for loss, cells, said in corrections:
            if loss and cells and self._last(f"{loss.name}_loss", t.window) and max(cells) < t.empty_notebook:
                what = f"the correction notebook is empty: {said} hold {cells[-1]:.2g} of the tokens"
                yield _Finding("notebook_empty", course.name, loss.name, f"{what}, and {loss.name} learns nothing")
        if alarms and min(alarms) > t.full_notebook:
            what = f"the correction notebook swallows everything: pos3 holds {alarms[-1]:.2g} of the tokens"
            yield _Finding("notebook_full", course.name, course.name, what)

    def _of_the_losses(self, course: Course, kept: int) -> Iterator[_Finding]:
        t, rates = self.thresholds, self.seen.get("learning_rate")
        if not rates or rates[-1][1] < t.least_learning_rate * self.highest_rate:
            return
        for loss in (each.name for each in course.losses):
            values = self._last(f"{loss}_loss", kept)
            before, after = values[: kept // 2], values[kept // 2 :]
            if values and _is_flat(before, after, t.flat_change, t.flat_errors):
                what = f"{loss}_loss no longer moves: {fmean(before):.4g}, then {fmean(after):.4g} over {kept} looks"
                yield _Finding("loss_is_flat", course.name, loss, what + self._at_the_rate())


def _watched() -> Iterator[str]:
    """The figures that are looked at."""
    yield from (f"{loss}_loss" for loss in all_losses())
    for course in COURSES:
        yield from (f"{course}_{name}" for name in ("disc_auc", "disc_recall", "sampled_masked_lm_accuracy"))
        yield from (f"{course}_notebook_pos{i}" for i in range(1, 5))
    yield "learning_rate"


def _moved(values: list[float], errors: float) -> float:
    """By how much the mean of the second half is above that of the first, beyond so many standard errors; else 0."""
    if len(values) < 4:
        return 0.0
    before, after = values[: len(values) // 2], values[len(values) // 2 :]
    moved = fmean(after) - fmean(before)
    return moved if abs(moved) > _margin(before, after, errors) else 0.0


def _margin(before: list[float], after: list[float], errors: float) -> float:
    return errors * math.sqrt(variance(before) / len(before) + variance(after) / len(after))


def _is_flat(before: list[float], after: list[float], change: float, errors: float) -> bool:
    mean, moved = fmean(before + after), abs(fmean(after) - fmean(before))
    margin = _margin(before, after, errors)
    # A loss of 0 has nothing to learn from, which is another condition.
    return mean > 0 and moved + margin <= change * mean and moved <= margin
