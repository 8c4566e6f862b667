from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from transformers_mcl.errors import UserError
from transformers_mcl.soups.ingredients import check_apart, common_config, open_ingredients
from transformers_mcl.training.checkpoints import INCOMPLETE

from .conftest import MakeIngredient


def save_tokenizer(folder: Path, vocabulary: list[str], split: bool = True) -> None:
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    if split:
        tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_trainers_folder_means_its_last_checkpoint(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-10"):
        (make_ingredient(f"run/{name}") / "trainer_state.json").write_text("{}")
    (ingredient,) = open_ingredients([tmp_path / "run"])
    assert Path(ingredient.folder).name == "checkpoint-10" and ingredient.name == str(tmp_path / "run")


def test_a_killed_runs_last_whole_checkpoint_is_taken(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-4"):
        (make_ingredient(f"run/{name}") / "trainer_state.json").write_text("{}")
    (tmp_path / "run" / "checkpoint-4" / INCOMPLETE).touch()
    (ingredient,) = open_ingredients([tmp_path / "run"])
    assert Path(ingredient.folder).name == "checkpoint-2"
    with pytest.raises(UserError, match="checkpoint-4' was not written to its end: give an earlier checkpoint"):
        open_ingredients([tmp_path / "run" / "checkpoint-4"])


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "x", "peft_type": "LORA"}')
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match="is an adapter .adapter_config.json., not a whole model: merge it"):
        open_ingredients([tmp_path])


def test_training_may_differ(make_ingredient: MakeIngredient) -> None:
    weights = dict.fromkeys(("mlm", "slm", "rtd", "std", "itd", "re_rtd"), 1.0)
    other: dict[str, Any] = {"loss_weights": weights, "hidden_dropout_prob": 0.0, "mask_ratio": 0.2}
    other |= {"course_schedule": "sampled", "correction_rows": 0.25}
    found = open_ingredients([make_ingredient("b", **other), make_ingredient("a")])
    assert common_config(found).course_schedule == "all"
    assert common_config(found[:1]).course_schedule == "sampled"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"intermediate_size": 48}, "field intermediate_size of the configurations differs: 32 in .* and 48 in "),
        ({"layer_norm_eps": 1e-5}, "field layer_norm_eps"),
        ({"vocab_size": 151}, "field vocab_size of the configurations differs: 150 in .* and 151"),
        ({"relative_attention_max_distance": 64}, "field relative_attention_max_distance"),
    ],
)
def test_other_configurations_are_refused(
    make_ingredient: MakeIngredient, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_ingredients([make_ingredient("a"), make_ingredient("b", **settings)])


def test_a_missing_and_an_odd_tensor_are_named(make_ingredient: MakeIngredient) -> None:
    a, b = make_ingredient("a"), make_ingredient("b")
    tensors = load_file(b / "model.safetensors")
    name = "discriminator_predictions.dense.bias"
    whole = tensors.pop(name)
    save_file(tensors, b / "model.safetensors")
    for order in ([a, b], [b, a]):
        with pytest.raises(UserError, match=rf"ingredient '[^']*b': .*/model.safetensors: it lacks {name} \(1 "):
            open_ingredients(order)
    save_file(tensors | {name: whole[:3]}, b / "model.safetensors")
    with pytest.raises(UserError, match=rf"{name} is \(3,\) in the file and \(64,\) in the model"):
        open_ingredients([a, b])


def test_other_tokenizers_are_refused(make_ingredient: MakeIngredient) -> None:
    a, b = make_ingredient("a"), make_ingredient("b")
    save_tokenizer(a, ["?", "x", "y"])
    assert len(open_ingredients([a, b])) == 2  # one that is not there cannot differ
    save_tokenizer(b, ["?", "y", "x"])
    with pytest.raises(UserError, match="tokenizers differ in the id of 'x': 1 in .* and 2 in "):
        open_ingredients([a, b])
    save_tokenizer(b, ["?", "x", "y"], split=False)
    with pytest.raises(UserError, match="tokenizers differ in their pre_tokenizer"):
        open_ingredients([a, b])
    save_tokenizer(b, ["?", "x", "y"])
    said = json.loads((b / "tokenizer.json").read_text())
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    said["padding"] = {**padding, "pad_id": 0, "pad_type_id": 0, "pad_token": "?"}
    (b / "tokenizer.json").write_text(json.dumps(said))
    assert len(open_ingredients([a, b])) == 2


def test_what_is_no_checkpoint_is_refused(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none is given"):
        open_ingredients([])
    with pytest.raises(UserError, match="ingredient: 'nowhere'"):
        open_ingredients(["nowhere"])
    folder = make_ingredient("a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="a' has no model.safetensors"):
        open_ingredients([folder])
    (folder / "model.safetensors").write_bytes(b"not one")
    with pytest.raises(UserError, match="a/model.safetensors is damaged"):
        open_ingredients([folder])


def test_the_output_is_apart_from_the_ingredients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingredient = tmp_path / "run" / "checkpoint-1"
    ingredient.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(ingredient)
    for output, word in ((ingredient, "is"), ("link", "is"), ("run/checkpoint-1/soup", "lies inside")):
        with pytest.raises(UserError, match=f"{word} the ingredient 'run/checkpoint-1': give another folder"):
            check_apart(output, ["run/checkpoint-1"])
    with pytest.raises(UserError, match="lies inside the ingredient"):
        check_apart("run/soup", ["run"])
    with pytest.raises(UserError, match="is not an empty folder"):
        check_apart("run", ["run/checkpoint-1"])
    assert check_apart("soup", ["run", "ada/soup"]) == tmp_path / "soup"
