"""Dropout at little cost on a CPU, where torch draws one at a time there, a fifth of a small encoder's step."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["CheapDropout", "cheapen_dropout", "dropout"]

_AS_WIDE = {2: torch.int16, 4: torch.int32}  # by the bytes of an element
_ELEMENTS, _BITS = 4, 15  # that one drawn number decides about, and its bits for each: of 64 the highest is always 0


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """As [`torch.nn.functional.dropout`], of another stream of random numbers on a CPU.

    There an element becomes 0 by 15 random bits, so with a probability of `p` rounded to 2^-15. The others are
    multiplied by `1 / (1 - p)`.

    Args:
        x: of any shape.
        p: probability of becoming 0.
        training: whether to do anything.
    """
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu" or x.element_size() not in _AS_WIDE or not 0.0 < p < 1.0:
        return nn.functional.dropout(x, p, training)
    # Drawn by torch's own operator: what a compiler takes for deterministic, it may do once for two calls.
    drawn = torch.randint(2**63 - 1, (-(-x.numel() // _ELEMENTS),), device=x.device)
    return x * _noise(drawn, x.shape, p, x.dtype)


# An operator of its own, since it makes numbers of other ones' bits, which compiled is done one by one.
@torch.library.custom_op(
    f"{re.sub(r'[^0-9a-zA-Z]', '_', __name__)}::dropout_noise",  # this file may be there twice, as remote code
    mutates_args=(),
    schema="(Tensor drawn, SymInt[] shape, float p, ScalarType dtype) -> Tensor",
)
def _noise(drawn: Tensor, shape: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
    """0 with a probability of `p`, else `1 / (1 - p)`."""
    bits = drawn.view(torch.int16)[: torch.Size(shape).numel()]
    least = min(round((1 - p) * 2**_BITS), 2**_BITS - 1)  # that does not keep one
    # All ones where the rest is below 0. A comparison's truth values, of one byte, would cost as much as all this.
    kept = bits.bitwise_and(2**_BITS - 1).sub_(least).bitwise_right_shift_(_BITS)
    scale = torch.tensor(1 / (1 - p), dtype=dtype, device=drawn.device).view(_AS_WIDE[dtype.itemsize])
    return kept.to(scale.dtype).bitwise_and_(scale).view(dtype).view(shape)


@_noise.register_fake
def _(drawn: Tensor, shape: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=drawn.device)


class CheapDropout(nn.Dropout):
    """[`torch.nn.Dropout`] by [`dropout`]."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


def cheapen_dropout(model: nn.Module) -> None:
    """Puts [`CheapDropout`] in place of every [`torch.nn.Dropout`] of a model."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Dropout:
            model.set_submodule(name, CheapDropout(module.p).train(module.training))
