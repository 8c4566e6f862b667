from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from transformers_mcl.errors import UserError
from transformers_mcl.soups import averaging
from transformers_mcl.soups.averaging import average, check_weights, read_average
from transformers_mcl.soups.ingredients import open_ingredients

from .conftest import MakeIngredient


def mixed(folders: list[Path], coefficients: list[float], path: Path, dtype: torch.dtype | None = None) -> Path:
    average(open_ingredients(folders), coefficients, path, dtype)
    return path


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_average_is_that_of_the_state_dicts(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "abc"]
    soup = load_file(mixed(folders, [1.0] * 3, tmp_path / "soup.safetensors"))
    loaded = [weights(folder) for folder in folders]
    assert soup.keys() == loaded[0].keys()
    for name, tensor in soup.items():
        assert torch.equal(tensor, torch.stack([other[name].double() for other in loaded]).mean(0).float()), name
        assert not torch.equal(tensor, loaded[0][name]), name


def test_coefficients_weigh(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    soup = load_file(mixed(folders, [1, 3], tmp_path / "soup.safetensors"))
    for name, tensor in soup.items():
        torch.testing.assert_close(tensor, 0.25 * weights(folders[0])[name] + 0.75 * weights(folders[1])[name])


@pytest.mark.parametrize("copies", [1, 3, 14])
def test_copies_average_to_the_copy_bit_for_bit(make_ingredient: MakeIngredient, tmp_path: Path, copies: int) -> None:
    folder = make_ingredient("a")
    path = mixed([folder] * copies, [1.0] * copies, tmp_path / "soup.safetensors")
    assert all(torch.equal(tensor, weights(folder)[name]) for name, tensor in load_file(path).items())


def test_order_does_not_matter(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    shares = {make_ingredient(name): share for name, share in zip("abc", (0.2, 0.3, 0.5), strict=True)}
    files = []
    for i, folders in enumerate(itertools.permutations(shares)):
        files.append(mixed(list(folders), [shares[f] for f in folders], tmp_path / f"{i}.safetensors").read_bytes())
    assert len(set(files)) == 1


def test_parts_of_a_tensor_make_the_whole(
    make_ingredient: MakeIngredient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    whole = mixed(folders, [0.5, 0.5], tmp_path / "whole.safetensors").read_bytes()
    monkeypatch.setattr(averaging, "_PART", 100)  # an odd number of rows, and less than one
    assert mixed(folders, [0.5, 0.5], tmp_path / "parts.safetensors").read_bytes() == whole


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_more(make_ingredient: MakeIngredient, tmp_path: Path, dtype: torch.dtype) -> None:
    folders = [make_ingredient(name, dtype=dtype) for name in "abcdefg"]
    loaded = [weights(folder) for folder in folders]
    soup = load_file(mixed(folders, [1.0] * 7, tmp_path / "soup.safetensors"))
    for name, tensor in soup.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, torch.stack([other[name].double() for other in loaded]).mean(0).to(dtype)), name
    wide = load_file(mixed(folders, [1.0] * 7, tmp_path / "wide.safetensors", torch.float32))
    assert all(tensor.dtype == torch.float32 for tensor in wide.values())


def test_the_widest_format_wins(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient("a", dtype=torch.float16), make_ingredient("b")]
    soup = load_file(mixed(folders, [0.5, 0.5], tmp_path / "soup.safetensors"))
    assert {tensor.dtype for tensor in soup.values()} == {torch.float32}


def test_shards_are_read_where_they_lie(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient("a"), make_ingredient("b", shard="40KB")]
    assert len(list(folders[1].glob("*.safetensors"))) > 1
    soup = load_file(mixed(folders, [0.0, 1.0], tmp_path / "soup.safetensors"))
    again = weights(make_ingredient("b"))
    assert soup.keys() == again.keys() and all(torch.equal(tensor, again[name]) for name, tensor in soup.items())


def test_the_file_says_that_it_is_pytorchs(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    with safe_open(mixed([make_ingredient("a")], [1.0], tmp_path / "soup.safetensors"), framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_scalars_and_whole_numbers(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    for i, folder in enumerate(folders):
        extra = {"scale": torch.tensor(float(i)), "ids": torch.arange(4), "flag": torch.tensor(True)}
        save_file(weights(folder) | extra, folder / "model.safetensors", metadata={"format": "pt"})
    soup = load_file(mixed(folders, [0.5, 0.5], tmp_path / "soup.safetensors"))
    assert soup["scale"] == 0.5 and soup["scale"].shape == ()
    assert torch.equal(soup["ids"], torch.arange(4)) and soup["flag"].dtype == torch.bool
    save_file(weights(folders[1]) | {"ids": torch.ones(4, dtype=torch.long)}, folders[1] / "model.safetensors")
    with pytest.raises(UserError, match="tensor ids holds whole numbers, which differ"):
        mixed(folders, [0.5, 0.5], tmp_path / "soup.safetensors")


def test_a_nan_is_named(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    spoilt = weights(folders[1])
    name = "electra.encoder.layer.0.output.dense.bias"
    spoilt[name][0] = float("nan")
    save_file(spoilt, folders[1] / "model.safetensors")
    with pytest.raises(UserError, match=f"b': the tensor {name} holds a NaN"):
        mixed(folders, [0.5, 0.5], tmp_path / "soup.safetensors")


def test_coefficients_by_tensor(make_ingredient: MakeIngredient) -> None:
    ingredients = open_ingredients([make_ingredient(name) for name in "ab"])
    name = "electra.encoder.layer.1.output.dense.weight"

    def shares(tensor: str) -> list[float]:
        return [0.0, 1.0] if ".layer.1." in tensor else [1.0, 0.0]

    assert torch.equal(read_average(ingredients, shares, name).float(), ingredients[1].read(name))
    name = name.replace(".1.", ".0.")
    assert torch.equal(read_average(ingredients, shares, name).float(), ingredients[0].read(name))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 are given for 2 ingredients"),
        ([1.0, -1.0], "-1.0 for 'b'"),
        ([1.0, float("nan")], "nan for 'b'"),
        ([0.0, 0.0], "all are 0"),
        ([float("inf"), 1.0], "inf for 'a'"),
    ],
)
def test_senseless_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_weights(weights, ["a", "b"])
