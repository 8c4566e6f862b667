"""Floating-point operations of a training step, pass by pass: what bounds its time (`docs/speed.md`).

Counted as `torch.utils.flop_counter` counts: matrix products alone, two operations a multiplication and addition, and
a backward twice its forward. Lookups, norms, activations, softmax, dropout and sampling are left out. Of ELECTRA by
formula; of any other family torch counts, once a configuration, in forwards on the meta device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig

from ..method.counts import correction_rows, group_rows, slot_counts
from ..method.courses import Loss
from ..method.schedules import Curriculum
from .backbones import family_of
from .configuration_mcl import MclConfig

__all__ = ["PassFlops", "known_peak_flops", "pass_flops", "step_flops"]

# Dense 16-bit operations a second with sums in 32 bits, from the makers' data sheets, by a word of the device's name.
_PEAK_FLOPS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "MI300X": 1307e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "H20": 148e12,
    "A100": 312e12,
    "A800": 312e12,
    "A30": 165e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A6000": 155e12,
    "A40": 150e12,
    "A10G": 70e12,
    "A10": 125e12,
    "V100": 125e12,
    "T4": 65e12,
    "RTX 5090": 209e12,
    "RTX 5080": 113e12,
    "RTX 5070 Ti": 88e12,
    "RTX 5070": 62e12,
    "RTX 4090": 165e12,
    "RTX 4080": 97e12,
    "RTX 3090 Ti": 80e12,
    "RTX 3090": 71e12,
    "RTX 3080": 60e12,
    "RTX 3070": 41e12,
}
# What makes another device of a name, whose figure is not here.
_OTHERS = r"(?! (?:Ti|SUPER|Laptop|D)\b)"


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
    pair, curriculum = _Pair(config), config.curriculum(loss_weights)
    if not curriculum.schedule.in_turn:
        return _passes(pair, curriculum, batch_size, length)
    turns = range(len(curriculum.courses))  # after which a batch's rows are shared out as before
    each = [_passes(pair, curriculum, batch_size, length, turn) for turn in turns]
    return {name: _mean([passes[name] for passes in each]) for name in each[0]}


def _mean(passes: list[PassFlops]) -> PassFlops:
    encoder, head = sum(one.encoder for one in passes), sum(one.head for one in passes)
    return passes[0]._replace(encoder=encoder / len(passes), head=head / len(passes))


def _passes(pair: _Pair, curriculum: Curriculum, batch_size: int, length: int, turn: int = 0) -> dict[str, PassFlops]:
    passes: dict[str, PassFlops] = {}
    for courses, taken in curriculum.groups(turn):
        rows = group_rows(taken, batch_size)
        slots, longer = slot_counts(curriculum, courses, length)
        fills = _has(curriculum, *(course.generate for course in courses))
        judges = _has(curriculum, *(course.detect for course in courses))
        generate = pair.generator(rows, longer, sum(slots.values()), fills)
        judge = pair.discriminator(rows, longer, len(courses), judges)
        if len(courses) > 1:
            passes |= {"joint_fill": generate, "joint": judge}
            continue
        course = courses[0]
        passes[course.generate.name if course.generate else f"{course.name}_fill"] = generate
        if _has(curriculum, course.detect, course.regenerate, course.rediscriminate):
            passes[course.detect.name] = judge
        again = correction_rows(curriculum, rows)
        if course.regenerate and _has(curriculum, course.regenerate):
            passes[course.regenerate.name] = pair.generator(again, longer, slots[course.name], True)
        if course.rediscriminate and _has(curriculum, course.rediscriminate):
            passes[course.rediscriminate.name] = pair.discriminator(again, longer, 1, True)
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
    return next((peak for name, peak in _PEAK_FLOPS.items() if re.search(rf"\b{name}\b{_OTHERS}", device_name)), None)


class _Network(NamedTuple):
    """What a network's forward costs, by rows and length."""

    batch: float  # whatever the batch: what an attention makes of its distances, for one
    token: float
    pair: float  # of tokens of a row
    prediction: float  # of one token, by the head

    def encoder(self, rows: int, length: int) -> float:
        return self.batch + rows * length * (self.token + length * self.pair) if rows else 0.0


def _network(config: Any) -> _Network:
    if isinstance(config, MclConfig):
        return _by_formula(config)
    return _counted(config.to_json_string(use_diff=False))


@lru_cache(maxsize=32)
def _counted(values: str) -> _Network:
    """Of any family: counted by torch in three forwards of the masked language model, without a number in its tensors.

    With eager attention: a window costs as much as all the row, as where a mask is added to the scores.
    """
    config = AutoConfig.for_model(**json.loads(values))
    # The fake tensors tell models that they are traced, not to look at numbers; without, it takes half the time.
    for mode in (nullcontext(), FakeTensorMode(allow_non_fake_inputs=True)):
        with suppress(Exception):  # what cannot be counted is estimated
            with torch.device("meta"):
                model: Any = AutoModelForMaskedLM.from_config(config, attn_implementation="eager")
            model.eval().requires_grad_(False)
            model.config.pad_token_id = None  # nothing is padded: a model does not look
            with mode:
                return _of_model(model, family_of(config).longest_row(config))
    return _by_formula(config)


def _of_model(model: Any, length: int) -> _Network:
    def forward(rows: int, length: int) -> tuple[int, int]:  # operations of the encoder, and with the head
        with FlopCounterMode(display=False) as counter:
            model(input_ids=torch.zeros(rows, length, dtype=torch.long, device="meta"))
        base = counter.get_flop_counts()[f"{type(model).__name__}.{model.base_model_prefix}"]
        return sum(base.values()), counter.get_total_flops()

    half = length // 2
    (one, whole), (two, _), (shorter, _) = forward(1, length), forward(2, length), forward(1, half)
    batch = 2 * one - two
    of_token, of_token_in_half = (one - batch) / length, (shorter - batch) / half
    pair = (of_token - of_token_in_half) / (length - half)
    return _Network(batch, of_token - length * pair, pair, (whole - one) / length)


def _by_formula(config: PreTrainedConfig) -> _Network:
    """Of ELECTRA, and nearly of any encoder."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    embedding = getattr(config, "embedding_size", None) or hidden
    # Query, key, value, output; into and out of feed-forward.
    projections = 4 * hidden + 2 * (getattr(config, "intermediate_size", None) or 4 * hidden)
    project = embedding * hidden if embedding != hidden else 0
    mixed = getattr(config, "generator_prediction_layers", None) or []
    features = hidden * embedding * max(len(mixed), 1) + hidden * len(mixed)
    return _Network(
        batch=0.0,
        token=2.0 * (layers * hidden * projections + project),
        pair=2.0 * layers * hidden * 2,  # scores, and the values they average
        prediction=2.0 * (features + embedding * config.vocab_size),
    )


class _Pair:
    """Both networks, and the passes that they make."""

    def __init__(self, config: MclConfig):
        self._generator = _network(config.generator_backbone_config or config.generator_config())
        self._discriminator = _network(config.backbone_config or config)
        dense = 0 if config.detection_head_type == "linear" else config.hidden_size
        self._detection = 2.0 * config.hidden_size * (dense + 1)  # of a token

    def generator(self, rows: int, length: int, slots: int, backward: bool) -> PassFlops:
        head = rows * slots * self._generator.prediction
        return PassFlops("generator", length, self._generator.encoder(rows, length), head, backward)

    def discriminator(self, rows: int, length: int, heads: int, backward: bool) -> PassFlops:
        head = heads * rows * length * self._detection
        return PassFlops("discriminator", length, self._discriminator.encoder(rows, length), head, backward)
