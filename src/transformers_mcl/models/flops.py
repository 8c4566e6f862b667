"""Floating-point operations of a training step, pass by pass: what bounds its time (`docs/speed.md`).

Counted as `torch.utils.flop_counter` counts: matrix products alone, two operations a multiplication and addition, and
a backward twice its forward. Lookups, norms, activations, softmax, dropout and sampling are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..method.corruptions import operated_count
from .configuration_mcl import COURSES, MclConfig

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
        has none, is `itd_fill`. A pass that no loss with a weight needs is left out.
    """
    weights = config.weights if loss_weights is None else loss_weights
    passes: dict[str, PassFlops] = {}
    courses = [course for course, names in COURSES.items() if any(weights.get(name or "") for name in names)]
    if config.course_schedule == "joint" and len(courses) > 1:
        return _joint_flops(config, batch_size, length, courses, weights)
    for place, course in enumerate(courses):
        names = COURSES[course]
        fill, detect, regenerate, rediscriminate = (bool(name and weights.get(name)) for name in names)
        rows = len(range(place, batch_size, len(courses))) if config.course_schedule == "sampled" else batch_size
        again = operated_count(rows, config.correction_rows)
        slots, longer = _slots(config, course, length)
        generated, judged = names[0] or f"{course}_fill", names[1]
        passes[generated] = _generator(config, rows, longer, slots, fill)
        if detect or regenerate or rediscriminate:
            passes[judged] = _discriminator(config, rows, longer, detect)
        if regenerate:
            passes[str(names[2])] = _generator(config, again, length, slots, True)
        if rediscriminate:
            passes[str(names[3])] = _discriminator(config, again, length, True)
    return passes


def _joint_flops(
    config: MclConfig, batch_size: int, length: int, courses: Sequence[str], weights: Mapping[str, float]
) -> dict[str, PassFlops]:
    longer = _slots(config, "itd", length)[1] if "itd" in courses else length
    slots = sum(_slots(config, course, length if course == "itd" else longer)[0] for course in courses)
    trained = any(weights.get(COURSES[course][0] or "") for course in courses)
    judge = _discriminator(config, batch_size, longer, True)
    return {
        "joint_fill": _generator(config, batch_size, longer, slots, trained),
        "joint": judge._replace(head=judge.head * len(courses)),
    }


def step_flops(
    config: MclConfig, batch_size: int, length: int, loss_weights: Mapping[str, float] | None = None
) -> float:
    """Operations of one training step, forward and backward; arguments as in [`pass_flops`]."""
    return sum(one.total for one in pass_flops(config, batch_size, length, loss_weights).values())


def known_peak_flops(device_name: str) -> float | None:
    """Operations a second in 16 bits of the device that torch calls `device_name`; None if it is not known."""
    return next((peak for name, peak in _PEAK_FLOPS.items() if name in device_name), None)


def _slots(config: MclConfig, course: str, length: int) -> tuple[int, int]:
    """Operated positions of a row, and its length once the course has worked on it."""
    if course == "itd":
        slots = int(operated_count(length, config.insert_ratio))
        return slots, min(length + slots, config.max_position_embeddings)
    if course == "std":
        return int(operated_count(length, config.swap_ratio, least=2)), length
    return int(operated_count(length, config.mask_ratio)), length


def _encoder(config: MclConfig, batch_size: int, length: int) -> float:
    hidden, embedding = config.hidden_size, config.embedding_size
    projections = 4 * hidden + 2 * config.intermediate_size  # query, key, value, output; into and out of feed-forward
    attention = 2 * length  # scores, and the values they average
    layer = hidden * (projections + attention)
    project = embedding * hidden if embedding != hidden else 0
    return 2.0 * batch_size * length * (config.num_hidden_layers * layer + project)


def _generator(config: MclConfig, batch_size: int, length: int, slots: int, backward: bool) -> PassFlops:
    half = config.generator_config()
    head = 2.0 * batch_size * slots * half.embedding_size * (half.hidden_size + half.vocab_size)
    return PassFlops("generator", length, _encoder(half, batch_size, length), head, backward)


def _discriminator(config: MclConfig, batch_size: int, length: int, backward: bool) -> PassFlops:
    head = 2.0 * batch_size * length * config.hidden_size * (config.hidden_size + 1)
    return PassFlops("discriminator", length, _encoder(config, batch_size, length), head, backward)
