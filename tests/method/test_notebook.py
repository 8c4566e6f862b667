"""The correction notebook, and the second inputs that are made from it."""

from __future__ import annotations

import torch

from transformers_mcl.method.notebook import correction_notebook, rediscrimination_input, regeneration_input

PAD, MASK = 0, 3
FIRST = 10  # the ordinary tokens begin here
A, B, C, D, E, F = range(FIRST, FIRST + 6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_worked_example_of_the_paper() -> None:
    the, chef, cooked, meal, a, thanked = range(FIRST, FIRST + 6)
    original = torch.tensor([[the, chef, cooked, the, meal, PAD]])
    masked = torch.tensor([[MASK, chef, MASK, the, MASK, PAD]])
    filled = torch.tensor([[a, chef, thanked, the, meal, PAD]])
    verdict = torch.tensor([[-2.0, -1.0, 3.0, -0.5, 0.1, 9.0]])  # positive: replaced
    attention_mask = torch.tensor([[1, 1, 1, 1, 1, 0]])

    notebook = correction_notebook(filled != original, verdict, attention_mask)

    assert notebook.pos1.tolist() == [[False, True, False, True, False, False]]
    assert notebook.pos2.tolist() == [[True, False, False, False, False, False]]
    assert notebook.pos3.tolist() == [[False, False, False, False, True, False]]
    assert notebook.pos4.tolist() == [[False, False, True, False, False, False]]
    assert regeneration_input(original, masked, notebook).tolist() == [[the, chef, MASK, the, meal, PAD]]
    assert rediscrimination_input(original, filled, notebook).tolist() == [[a, chef, cooked, the, meal, PAD]]


def test_swapped_token_stays_at_pos4_only() -> None:
    original = torch.tensor([[A, B, C, D]])
    swapped = torch.tensor([[B, A, D, C]])
    filled = torch.tensor([[E, F, C, C]])  # the third sample is the original
    verdict = torch.tensor([[1.0, -1.0, 1.0, 1.0]])
    notebook = correction_notebook((filled != original).long(), verdict)
    assert regeneration_input(original, swapped, notebook).tolist() == [[B, B, C, C]]
    assert rediscrimination_input(original, filled, notebook).tolist() == [[A, F, C, D]]


def test_notebook_puts_every_token_into_one_cell_and_padding_into_none() -> None:
    logits = torch.randn(8, 30, generator=generator()).requires_grad_()
    labels = torch.rand(8, 30, generator=generator(1)) < 0.3
    attention_mask = (torch.arange(30) < torch.randint(1, 31, (8, 1), generator=generator(2))).long()
    for mask in (None, attention_mask):
        notebook = correction_notebook(labels, logits, mask)
        cells = torch.stack([notebook.pos1, notebook.pos2, notebook.pos3, notebook.pos4])
        assert cells.dtype == torch.bool
        assert cells.sum(0).equal(torch.ones(8, 30, dtype=torch.long) if mask is None else mask)
        assert ((notebook.pos2 | notebook.pos4) & ~labels).sum() == 0
        assert ((notebook.pos3 | notebook.pos4) & (logits <= 0)).sum() == 0


def test_a_logit_of_zero_says_original() -> None:
    notebook = correction_notebook(torch.tensor([[0, 1]]), torch.zeros(1, 2))
    assert notebook.pos1.tolist() == [[True, False]]
    assert notebook.pos2.tolist() == [[False, True]]
