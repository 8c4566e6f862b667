"""Each pass of an MCL step alone: its floating-point operations and its time, forward and backward."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from measure import Arguments, Step, autocast, interleaved, random_batch
from torch import Tensor, nn

from transformers_mcl import MclForPreTraining
from transformers_mcl.method.corruptions import operated_count, sample_tokens
from transformers_mcl.models.flops import pass_flops

SAMPLING, UPDATE = "sampling, once a course", "clipping and optimizer"


def measure_passes(step: Step, arguments: Arguments) -> dict[str, dict[str, Any]]:
    """Figures of every pass of `step`'s model by the name of its loss, and of sampling and the optimizer's update."""
    model = step.model
    assert isinstance(model, MclForPreTraining)
    passes = pass_flops(model.config, arguments.batch_size, arguments.max_seq_length)
    slots = int(operated_count(arguments.max_seq_length, model.config.mask_ratio))
    work: dict[str, Callable[[int], object]] = {}
    for name, one in passes.items():
        ids = random_batch(arguments, arguments.seed, one.length)
        forward = generator_pass(model, ids, slots) if one.network == "generator" else discriminator_pass(model, ids)
        work[name] = run(forward, one.backward, arguments)
    logits = torch.randn(arguments.batch_size, slots, arguments.vocab_size, device=arguments.device)
    work[SAMPLING] = lambda number: sample_tokens(logits)
    work[UPDATE] = lambda number: step.update()
    seconds = {name: statistics.median(taken) for name, taken in interleaved(work, arguments).items()}
    figures = {name: {**one._asdict(), "gflop": one.total / 1e9} for name, one in passes.items()}
    return {name: {**figures.get(name, {}), "seconds": taken} for name, taken in seconds.items()}


def generator_pass(model: MclForPreTraining, ids: Tensor, slots: int) -> Callable[[], Tensor]:
    positions = torch.arange(1, 1 + slots, device=ids.device).expand(len(ids), -1)
    labels = ids.gather(1, positions).flatten()
    return lambda: nn.functional.cross_entropy(model.generator.logits_at(ids, None, positions).flatten(0, 1), labels)


def discriminator_pass(model: MclForPreTraining, ids: Tensor) -> Callable[[], Tensor]:
    labels = torch.zeros(ids.shape, device=ids.device)

    def forward() -> Tensor:
        logits = model.discriminator_predictions(model.electra(ids).last_hidden_state)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)

    return forward


def run(forward: Callable[[], Tensor], backward: bool, arguments: Arguments) -> Callable[[int], None]:
    def work(number: int) -> None:
        with torch.set_grad_enabled(backward), autocast(arguments):
            loss = forward()
        if backward:
            loss.backward()

    return work
