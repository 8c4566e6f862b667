"""Documents are found by the `[CLS]` that each begins with, and their positions restart."""

from __future__ import annotations

import torch

from transformers_mcl.method.documents import find_documents, positions_in_documents

CLS, SEP = 1, 2


def test_every_cls_begins_a_document() -> None:
    rows = torch.tensor([[CLS, 7, SEP, CLS, 7, 8, SEP, SEP], [7, 8, SEP, CLS, CLS, 9, SEP, CLS]])
    assert find_documents(rows, CLS).tolist() == [[1, 1, 1, 2, 2, 2, 2, 2], [0, 0, 0, 1, 2, 2, 2, 3]]


def test_positions_restart_where_the_number_changes() -> None:
    ids = torch.tensor([[1, 1, 1, 2, 2, 2, 2, -1], [0, 0, 5, 5, 4, 0, 0, 0]])
    assert positions_in_documents(ids).tolist() == [[0, 1, 2, 0, 1, 2, 3, 0], [0, 1, 0, 1, 0, 0, 1, 2]]
