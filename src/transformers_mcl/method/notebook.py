"""The correction notebook of MCL (arXiv 2305.03981): what the discriminator judged wrong, and the second inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Notebook", "correction_notebook", "rediscrimination_input", "regeneration_input"]


@dataclass
class Notebook:
    """The correction notebook: four disjoint `BoolTensor`s of shape `(batch, length)`, together all tokens judged.

    Attributes:
        pos1: original, and judged original: nothing to do.
        pos2: replaced, but judged original (the discriminator was fooled): re-discriminate.
        pos3: original, but judged replaced (it cried wolf): re-discriminate.
        pos4: replaced, and judged replaced (it caught the generator): re-generate.
    """

    pos1: Tensor
    pos2: Tensor
    pos3: Tensor
    pos4: Tensor

    @property
    def cells(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four of them, in their order."""
        return self.pos1, self.pos2, self.pos3, self.pos4


def correction_notebook(labels: Tensor, logits: Tensor, attention_mask: Tensor | None = None) -> Notebook:
    """Sorts every token by the discriminator's verdict (replaced where `logits > 0`) and the truth.

    Args:
        labels (`Tensor` of shape `(batch, length)`): 1 or True where the token was replaced.
        logits (`Tensor` of shape `(batch, length)`): the discriminator's, read without gradient.
        attention_mask (`Tensor` of shape `(batch, length)`, *optional*): padding (0) is in no cell.
    """
    replaced = labels.bool()
    judged = logits.detach() > 0
    present = torch.ones_like(replaced) if attention_mask is None else attention_mask.bool()
    return Notebook(
        pos1=~judged & ~replaced & present,
        pos2=~judged & replaced & present,
        pos3=judged & ~replaced & present,
        pos4=judged & replaced & present,
    )


def regeneration_input(original: Tensor, generator_input: Tensor, notebook: Notebook) -> Tensor:
    """What the generator reads again: the original with the operation (`[MASK]`, or the swapped token) at pos4
    only."""
    return torch.where(notebook.pos4, generator_input, original)


def rediscrimination_input(original: Tensor, discriminator_input: Tensor, notebook: Notebook) -> Tensor:
    """What the discriminator reads again: its first input with pos4 put back to the original token."""
    return torch.where(notebook.pos4, original, discriminator_input)
