"""All self-supervision courses in one pass of each network: rows with masks, swaps and insertions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.configuration_mcl import COURSES, MclConfig
from . import corruptions as c
from .documents import find_documents

if TYPE_CHECKING:
    from ..models.pretraining import MclForPreTraining

__all__ = ["JointCorruption", "corrupt_jointly", "count_joint_items"]


class JointCorruption:
    """Rows that several courses have worked on, each at places of its own.

    Attributes:
        courses: what each of them did, by name; `input_ids` of all is what the generator reads.
        original (`LongTensor` of shape `(batch, new_length)`): the rows before masks and swaps, insertions in place.
    """

    def __init__(self, courses: dict[str, c.Corruption], original: Tensor):
        self.courses, self.original = courses, original

    @property
    def last(self) -> c.Corruption:
        """One of them, for what they have in common."""
        return next(reversed(self.courses.values()))

    def places(self, course: str) -> Tensor:
        """Where a course has operated, `(batch, new_length)`."""
        corruption = self.courses[course]
        nowhere = torch.zeros_like(self.original)
        return c.substitute(nowhere, corruption.positions, corruption.valid.long(), corruption.valid).bool()

    def known_to(self, course: str) -> Tensor:
        """The tokens that a course judges: all but padding and what the other courses operated on."""
        mask = self.last.attention_mask
        known = torch.ones_like(self.original, dtype=torch.bool) if mask is None else mask.bool()
        for other in self.courses.keys() - {course}:
            known = known & ~self.places(other)
        return known


def corrupt_jointly(
    model: MclForPreTraining,
    courses: Sequence[str],
    clean: Tensor,
    attention_mask: Tensor | None,
    generator: torch.Generator | None,
) -> JointCorruption:
    """Inserts first, which moves the tokens, then masks, then swaps what is not masked; arguments as `forward`'s."""
    done: dict[str, c.Corruption] = {}
    row, mask, original = clean, attention_mask, clean
    free: Tensor | None = None
    for course in sorted(courses, key=("itd", "rtd", "std").index):
        done[course] = model.corrupt(course, row, mask, generator, free)
        row, mask = done[course].input_ids, done[course].attention_mask
        if course == "itd":
            original = row
        else:  # an inserted slot is a [MASK], on which nothing operates
            free = model.operable(original, mask) & ~JointCorruption({course: done[course]}, original).places(course)
    documents = find_documents(row, model.config.cls_token_id) if model.config.document_attention else None
    for corruption in done.values():
        corruption.input_ids, corruption.attention_mask, corruption.document_ids = row, mask, documents
    return JointCorruption(done, original)


def count_joint_items(config: MclConfig, courses: Sequence[str], operable: Tensor, present: Tensor) -> dict[Any, Any]:
    """What each loss is divided by, as `MclForPreTraining.count_items`; the arguments are tokens of each row."""
    counts = dict.fromkeys(COURSES, torch.zeros_like(operable))
    if "itd" in courses:
        counts["itd"] = c.operated_count(operable, config.insert_ratio)
        longer = (present + counts["itd"]).clamp(max=config.max_position_embeddings)
        operable = (operable - (present + counts["itd"] - longer)).clamp(min=0)
        present = longer
    if "rtd" in courses:
        counts["rtd"] = c.operated_count(operable, config.mask_ratio)
    if "std" in courses:
        counts["std"] = c.operated_count(operable - counts["rtd"], config.swap_ratio, least=2)
    operated = sum(counts.values(), torch.zeros_like(operable))
    items: dict[Any, Any] = {}
    for course in courses:
        generate, detect, *_ = COURSES[course]
        items[generate] = counts[course].sum()
        items[detect] = (present - operated + counts[course]).sum()
    return items
