"""Checkpoints of the original code, the other files that its users have of the same weights, and what it computes."""

from __future__ import annotations

import argparse
import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

FIXTURES = Path(__file__).parents[2] / "fixtures" / "fairseq"


@dataclass
class Original:
    """One of the folders in `tests/fixtures/fairseq`."""

    name: str

    @property
    def folder(self) -> Path:
        return FIXTURES / self.name

    @property
    def path(self) -> Path:
        return next(self.folder.glob("*.pt"))

    def content(self) -> Any:
        """The checkpoint, to be changed and saved again."""
        with torch.serialization.safe_globals([argparse.Namespace]):
            return copy.deepcopy(torch.load(self.path, weights_only=True))

    def reference(self) -> dict[str, Tensor]:
        with np.load(self.folder / "reference.npz") as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}

    def finetuned(self) -> Any:
        """As the original code saves it after fine-tuning: no generator, and a classification head."""
        content, reference = self.content(), self.reference()
        weights = {k: v for k, v in content["model"].items() if not k.startswith(("generator", "auxiliary"))}
        head = "classification_heads.sentence_classification_head"
        for name in ("dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"):
            weights[f"{head}.{name}"] = reference[f"cls_head.{name}"]
        return {**content, "model": weights}


@pytest.fixture
def original() -> Callable[[str], Original]:
    return Original


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder that is laid out as MCL-base's repository."""
    folder = tmp_path / "repository"
    shutil.copytree(FIXTURES / "mcl_base_like", folder, ignore=shutil.ignore_patterns("*.npz"))
    return folder
