from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from transformers_mcl.soups import geometry
from transformers_mcl.soups.geometry import measure_geometry
from transformers_mcl.soups.ingredients import open_ingredients

from .conftest import MakeIngredient


def test_distances_and_angles_are_those_of_the_weights(
    make_ingredient: MakeIngredient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geometry, "_NUMBERS", 500)  # most tensors are read in parts
    folders = [make_ingredient(name) for name in ("a", "b", "c", "start")]
    a, b, _, start = vectors = [_vector(folder) for folder in folders]
    *ingredients, origin = open_ingredients(folders)
    found = measure_geometry(ingredients, origin)
    assert found.distances[0, 1] == pytest.approx((a - b).norm().item(), rel=1e-12)
    assert found.weight_angles[0, 1] == pytest.approx(_angle(a, b), rel=1e-9)
    assert found.angles[0, 1] == pytest.approx(_angle(a - start, b - start), rel=1e-9)
    assert found.moved[1] == pytest.approx((b - start).norm().item(), rel=1e-12)
    assert (np.diagonal(found.distances) == 0).all() and (np.diagonal(found.angles) == 0).all()
    mean = torch.stack(vectors[:3]).mean(0)
    assert measure_geometry(ingredients).angles[0, 1] == pytest.approx(_angle(a - mean, b - mean), rel=1e-9)


def test_copies_are_at_distance_0_and_have_gone_nowhere(make_ingredient: MakeIngredient) -> None:
    folder = make_ingredient("a")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "steps": torch.tensor(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    found = measure_geometry(open_ingredients([folder, folder]))
    assert (found.distances == 0).all() and np.isnan(found.angles).all()
    assert (found.weight_angles < 1e-5).all()


def _vector(folder: object) -> torch.Tensor:
    return torch.cat([t.double().flatten() for _, t in sorted(load_file(f"{folder}/model.safetensors").items())])


def _angle(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.cosine_similarity(one, other, dim=0).arccos().rad2deg().item()
