from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call
from transformers import AutoModelForSequenceClassification, BertTokenizer

from tests.families import FAMILIES, LAYERS, each, tiny_config
from transformers_mcl.errors import UserError
from transformers_mcl.soups import averaging
from transformers_mcl.soups.ingredients import Ingredient, open_ingredients
from transformers_mcl.soups.learning import Gradient, group_tensors, learn_coefficients
from transformers_mcl.soups.methods import make_soup, write_soup
from transformers_mcl.soups.score_arguments import ScoreArguments
from transformers_mcl.soups.scores import PretrainingLoss, TaskScore, make_score

from .conftest import MakeIngredient


@pytest.fixture
def folders(make_ingredient: MakeIngredient, tokenizer: BertTokenizer) -> list[Path]:
    folders = [make_ingredient(name, step=0.1) for name in "abc"]
    tokenizer.save_pretrained(folders[0])
    return folders


@pytest.fixture
def loss(folders: list[Path], text: Path) -> PretrainingLoss:
    args = ScoreArguments(validation_file=[str(text)], max_seq_length=16, max_eval_samples=8, use_cpu=True)
    score = make_score(args, open_ingredients(folders))
    assert isinstance(score, PretrainingLoss)
    return score


SHARES = np.array([0.5, 0.2, 0.3])


@pytest.fixture
def task(make_classifier: MakeIngredient, reviews: Path) -> tuple[list[Ingredient], TaskScore]:
    """Classifiers, and their loss, which is smooth."""
    ingredients = open_ingredients([make_classifier(name) for name in "abc"])
    args = ScoreArguments(
        "text_classification", [str(reviews)], metric="loss", per_device_eval_batch_size=8, use_cpu=True
    )
    score = make_score(args, ingredients)
    assert isinstance(score, TaskScore)
    return ingredients, score


def test_the_gradient_is_that_of_differences(
    task: tuple[list[Ingredient], TaskScore], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingredients, score = task
    load = score.load
    monkeypatch.setattr(score, "load", lambda folder: load(folder).double())
    monkeypatch.setattr(averaging, "_PART", 100)
    gradient = Gradient(ingredients, score)
    slopes = sum(gradient(SHARES.tolist())[1].values())
    for i, j in ((0, 1), (1, 2)):
        along = np.eye(3)[i] - np.eye(3)[j]
        above, below = (gradient((SHARES + step * along).tolist())[0] for step in (1e-5, -1e-5))
        assert (slopes * along).sum() == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_the_gradient_is_autograds(folders: list[Path], loss: PretrainingLoss) -> None:
    """Tied tensors, which a file holds once, among them."""
    model = loss.load(folders[0])
    tensors = [load_file(folder / "model.safetensors") for folder in folders]
    shares = torch.tensor(SHARES, dtype=torch.float32, requires_grad=True)
    mixed = {name: sum(c * t[name] for c, t in zip(shares, tensors, strict=True)) for name in tensors[0]}

    class Mixed(torch.nn.Module):
        """What `losses` asks of a model, with the mixed weights in place of its own."""

        active_courses, count_items = model.active_courses, model.count_items

        def forward(self, **batch: Any) -> Any:
            return functional_call(model, mixed, (), batch)

    whole: Any = sum(loss.losses(Mixed()))  # type: ignore[arg-type]
    whole.backward()
    gradient = Gradient(open_ingredients(folders), loss)
    gradient([1, 1, 1])  # of which nothing stays
    value, slopes = gradient(SHARES.tolist())
    assert value == pytest.approx(-whole.item(), rel=1e-5)
    assert shares.grad is not None
    assert sum(slopes.values()) == pytest.approx(-shares.grad.numpy(), rel=1e-3)


def test_learning_by_a_loss(task: tuple[list[Ingredient], TaskScore], tmp_path: Path) -> None:
    ingredients, score = task
    learnt_alone, by_layer = (
        learn_coefficients(ingredients, score, write_soup, tmp_path, per=per, max_evaluations=20)
        for per in ("ingredient", "layer")
    )
    assert learnt_alone.uniform == by_layer.uniform < learnt_alone.score < by_layer.score
    for learnt, groups in ((learnt_alone, 1), (by_layer, 5)):
        assert len(learnt.coefficients) == groups and learnt.evaluations <= 20
        assert all(sum(shares) == pytest.approx(1) and min(shares) >= 0 for shares in learnt.coefficients.values())
    gradient, found = Gradient(ingredients, score), learnt_alone.coefficients["all"]
    for step in (*np.eye(3), *-np.eye(3)):  # what lies off the sum of 1 is divided by it
        assert gradient(np.clip(found + 0.05 * step, 0, 1).tolist())[0] < learnt_alone.score + 1e-5


def test_learning_of_a_pair(folders: list[Path], loss: PretrainingLoss, tmp_path: Path) -> None:
    learnt = learn_coefficients(open_ingredients(folders), loss, write_soup, tmp_path, max_evaluations=6)
    assert learnt.evaluations <= 6 and learnt.score > learnt.uniform


def test_a_score_without_gradient(folders: list[Path], tmp_path: Path) -> None:
    """The score is highest where the third has a share of 0.7."""
    name = "discriminator_predictions.dense.bias"
    values = [load_file(folder / "model.safetensors")[name].double() for folder in folders]
    goal = 0.1 * values[0] + 0.2 * values[1] + 0.7 * values[2]

    def score(folder: Path) -> float:
        return -float((load_file(folder / "model.safetensors")[name].double() - goal).norm())

    soup = make_soup(folders, tmp_path / "soup", "learned", score=score, max_evaluations=60)
    assert soup.coefficients == pytest.approx([0.1, 0.2, 0.7], abs=0.05)
    assert soup.uniform is not None and soup.score is not None and soup.score > soup.uniform
    assert sorted(path.name for path in (tmp_path / "soup").iterdir() if path.is_dir()) == []
    with pytest.raises(UserError, match="max_evaluations=4: learning 3 coefficients takes 5"):
        make_soup(folders, tmp_path / "other", "learned", score=score, max_evaluations=4)


def test_nothing_better_leaves_the_uniform_average(folders: list[Path], tmp_path: Path) -> None:
    scores = iter([0.0] * 3 + [1.0] + [0.5] * 100)  # the ingredients', the uniform average's, all others'
    soup = make_soup(folders, tmp_path / "soup", "learned", score=lambda folder: next(scores), max_evaluations=10)
    assert soup.coefficients == pytest.approx([1 / 3] * 3) and soup.uniform == 1.0


@each(FAMILIES)
def test_layers_and_embeddings_of_every_family(family: str) -> None:
    model = AutoModelForSequenceClassification.from_config(tiny_config(family))
    groups = group_tensors(model.state_dict(), "layer")
    place = f"{model.base_model_prefix}.{LAYERS[family]}."
    layers = {tensor: group for tensor, group in groups.items() if tensor.startswith(place)}
    assert set(layers.values()) == {f"{place}{number}" for number in range(1 if family == "albert" else 2)}
    assert all(tensor.startswith(f"{group}.") for tensor, group in layers.items())
    assert not set(layers.values()) & {group for tensor, group in groups.items() if tensor not in layers}
    table = next(name for name, value in model.named_parameters() if value is model.get_input_embeddings().weight)
    assert groups[table].split(".")[1] in ("embeddings", "embed_tokens")


def test_layers_of_any_model() -> None:
    names = {
        "electra.embeddings.word_embeddings.weight": "electra.embeddings",
        "electra.encoder.layer.11.output.dense.bias": "electra.encoder.layer.11",
        "generator.electra.encoder.layer.3.output.dense.bias": "generator.electra.encoder.layer.3",
        "generator.generator_lm_head.bias": "generator",
        "model.layers.0.mlp.up_proj.weight": "model.layers.0",
        "transformer.h.2.attn.weight": "transformer.h.2",
        "classifier.weight": "classifier",
    }
    assert group_tensors(names, "layer") == names
    assert set(group_tensors(names, "ingredient").values()) == {"all"}
    with pytest.raises(UserError, match="coefficients_per: there is no 'head'"):
        group_tensors(names, "head")
