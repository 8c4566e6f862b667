"""Floating-point operations of a training step, pass by pass: what bounds its time (`docs/speed.md`).

Counted as `torch.utils.flop_counter` counts: matrix products alone, two operations a multiplication and addition, and
a backward twice its forward. Lookups, norms, activations, softmax, dropout and sampling are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..method.counts import correction_rows, group_rows, slot_counts
from ..method.courses import Loss
from ..method.schedules import Curriculum
from .configuration_mcl import MclConfig

__all__ = ["PassFlops", "known_peak_flops", "pass_flops", "step_flops"]

# Dense 16-bit operations a second with sums in 32 bits, from the makers' data sheets. The first name found in that of
# the device counts.
_PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A6000": 155e12,
    "A40": 150e12,
    "A10G": 70e12,
    "A10": 125e12,
    "V100": 125e12,
    "T4": 65e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


class PassFlops(NamedTuple):
    """One pass of one network over a batch.

    Attributes:
        network: `"generator"` or `"discriminator"`.
        length: tokens of a row.
        encoder: operations of the encoder, forward.
        head: operations of the head, forward: the vocabulary projection at the operated positions, or the detection
            head.
        backward: whether a loss comes out of the pass; one without only samples or judges, without gradient.
    """

    network: str
    length: int
    encoder: float
    head: float
    backward: bool

    @property
    def forward(self) -> float:
        """Operations of the forward."""
        return self.encoder + self.head

    @property
    def total(self) -> float:
        """Operations of the forward and, if there is one, the backward."""
        return self.forward * (3 if self.backward else 1)


def pass_flops(
    config: MclConfig, batch_size: int, length: int, loss_weights: Mapping[str, float] | None = None
) -> dict[str, PassFlops]:
    """The passes of one training step of [`MclForPreTraining`], in the order they run.

    Args:
        config: the pair's configuration.
        batch_size: rows.
        length: tokens of a clean row.
        loss_weights: the weights in use, where training changed them; the configuration's by default.

    Returns:
        Passes by the name of their loss (`mlm`, `rtd`, `re_mlm`, ...); the generator's pass over inserted slots, which
        has none, is `itd_fill`. A pass that no loss with a weight needs is left out. Where courses take rows in turn,
        what each costs in a step on average.
    """
    curriculum = config.curriculum(loss_weights)
    if not curriculum.schedule.in_turn:
        return _passes(config, curriculum, batch_size, length)
    turns = range(len(curriculum.courses))  # after which a batch's rows are shared out as before
    each = [_passes(config, curriculum, batch_size, length, turn) for turn in turns]
    return {name: _mean([passes[name] for passes in each]) for name in each[0]}


def _mean(passes: list[PassFlops]) -> PassFlops:
    encoder, head = sum(one.encoder for one in passes), sum(one.head for one in passes)
    return passes[0]._replace(encoder=encoder / len(passes), head=head / len(passes))


def _passes(
    config: MclConfig, curriculum: Curriculum, batch_size: int, length: int, turn: int = 0
) -> dict[str, PassFlops]:
    passes: dict[str, PassFlops] = {}
    for courses, taken in curriculum.groups(turn):
        rows = group_rows(taken, batch_size)
        slots, longer = slot_counts(curriculum, courses, length)
        fills = _has(curriculum, *(course.generate for course in courses))
        judges = _has(curriculum, *(course.detect for course in courses))
        generate = _generator(config, rows, longer, sum(slots.values()), fills)
        judge = _discriminator(config, rows, longer, len(courses), judges)
        if len(courses) > 1:
            passes |= {"joint_fill": generate, "joint": judge}
            continue
        course = courses[0]
        passes[course.generate.name if course.generate else f"{course.name}_fill"] = generate
        if _has(curriculum, course.detect, course.regenerate, course.rediscriminate):
            passes[course.detect.name] = judge
        again = correction_rows(curriculum, rows)
        if course.regenerate and _has(curriculum, course.regenerate):
            passes[course.regenerate.name] = _generator(config, again, longer, slots[course.name], True)
        if course.rediscriminate and _has(curriculum, course.rediscriminate):
            passes[course.rediscriminate.name] = _discriminator(config, again, longer, 1, True)
    return passes


def _has(curriculum: Curriculum, *losses: Loss | None) -> bool:
    """Whether one of the losses is in use."""
    return any(loss is not None and loss.name in curriculum.weights for loss in losses)


def step_flops(
    config: MclConfig, batch_size: int, length: int, loss_weights: Mapping[str, float] | None = None
) -> float:
    """Operations of one training step, forward and backward; arguments as in [`pass_flops`]."""
    return sum(one.total for one in pass_flops(config, batch_size, length, loss_weights).values())


def known_peak_flops(device_name: str) -> float | None:
    """Operations a second in 16 bits of the device that torch calls `device_name`; None if it is not known."""
    return next((peak for name, peak in _PEAK_FLOPS.items() if name in device_name), None)


def _encoder(config: MclConfig, batch_size: int, length: int) -> float:
    hidden, embedding = config.hidden_size, config.embedding_size
    projections = 4 * hidden + 2 * config.intermediate_size  # query, key, value, output; into and out of feed-forward
    attention = 2 * length  # scores, and the values they average
    layer = hidden * (projections + attention)
    project = embedding * hidden if embedding != hidden else 0
    return 2.0 * batch_size * length * (config.num_hidden_layers * layer + project)


def _generator(config: MclConfig, batch_size: int, length: int, slots: int, backward: bool) -> PassFlops:
    half = config.generator_config()
    layers = half.generator_prediction_layers or []
    features = half.hidden_size * half.embedding_size * max(len(layers), 1) + half.hidden_size * len(layers)
    head = 2.0 * batch_size * slots * (features + half.embedding_size * half.vocab_size)
    return PassFlops("generator", length, _encoder(half, batch_size, length), head, backward)


def _discriminator(config: MclConfig, batch_size: int, length: int, heads: int, backward: bool) -> PassFlops:
    dense = 0 if config.detection_head_type == "linear" else config.hidden_size
    head = 2.0 * heads * batch_size * length * config.hidden_size * (dense + 1)
    return PassFlops("discriminator", length, _encoder(config, batch_size, length), head, backward)
