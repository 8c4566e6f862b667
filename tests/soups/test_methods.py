from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoModelForPreTraining, BertConfig, BertForSequenceClassification, BertModel

from tests.markup import NASTY, look
from transformers_mcl import MclConfig, MclForPreTraining
from transformers_mcl.errors import UserError
from transformers_mcl.soups.card import soup_card
from transformers_mcl.soups.methods import make_soup
from transformers_mcl.soups.soup import Soup

from .conftest import SIZES, MakeIngredient


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def bias(folder: Path) -> float:
    """A score: one number of the weights."""
    return weights(folder)["discriminator_predictions.dense.bias"][0].item()


def set_bias(folder: Path, value: float) -> Path:
    tensors = weights(folder)
    tensors["discriminator_predictions.dense.bias"][0] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_soup_opens_as_its_ingredients_do(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "abc"]
    soup = make_soup(folders, tmp_path / "soup")
    model, info = AutoModelForPreTraining.from_pretrained(tmp_path / "soup", output_loading_info=True)
    assert isinstance(model, MclForPreTraining) and not any(info.values())
    ours, its = (half.get_input_embeddings().weight for half in (model.electra, model.generator.electra))
    assert ours is its
    mean = torch.stack([weights(folder)["electra.embeddings.word_embeddings.weight"] for folder in folders]).mean(0)
    torch.testing.assert_close(ours, mean)
    assert isinstance(AutoModel.from_pretrained(tmp_path / "soup").encoder, torch.nn.Module)
    assert soup.method == "uniform" and soup.coefficients == [1 / 3] * 3


def test_the_soup_knows_every_loss(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    names = ("mlm", "slm", "rtd", "std", "itd")
    folders = [
        make_ingredient(again, loss_weights=dict.fromkeys((*names, again), 2.0)) for again in ("re_mlm", "re_std")
    ]
    make_soup(folders, tmp_path / "soup")
    config = AutoModelForPreTraining.from_pretrained(tmp_path / "soup").config
    assert {name for name, weight in config.weights.items() if weight} == {*names, "re_mlm", "re_std"}


def test_any_model_will_do(tmp_path: Path) -> None:
    sizes = {key: value for key, value in SIZES.items() if not key.startswith(("generator", "embedding"))}
    for name in "ab":
        BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / name)
    make_soup([tmp_path / "a", tmp_path / "b"], tmp_path / "soup", [3, 1])
    a, b, soup = (weights(tmp_path / name)["pooler.dense.weight"] for name in ("a", "b", "soup"))
    torch.testing.assert_close(soup, 0.75 * a + 0.25 * b)


def test_weighted_goes_by_the_scores(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.3))]
    soup = make_soup(folders, tmp_path / "soup", "weighted", score=bias)
    assert soup.coefficients == pytest.approx([0.25, 0.75]) and soup.scores == pytest.approx([0.1, 0.3])
    assert soup.score == pytest.approx(0.25)


class Loss:
    """A loss, as `soups.scores` has them."""

    name, source, is_loss = "loss", "rows", True

    def __call__(self, folder: Path) -> float:
        return -bias(folder)


def test_weighted_goes_by_the_inverse_of_a_loss(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.3))]
    soup = make_soup(folders, tmp_path / "soup", "weighted", score=Loss())
    assert soup.coefficients == pytest.approx([0.75, 0.25]) and soup.scores == pytest.approx([-0.1, -0.3])
    card = ModelCard.load(tmp_path / "soup" / "README.md")
    assert "| a | 0.7500 | 0.1000 |" in card.text and "loss (less is better)" in card.text
    (result,) = card.data.eval_results or []
    assert result.metric_value == pytest.approx(0.15) and result.dataset_name == "rows"


def test_what_scores_below_nothing_has_no_part(
    make_ingredient: MakeIngredient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", -0.1), ("b", 0.3))]
    with caplog.at_level(logging.WARNING, logger="transformers_mcl"):
        assert make_soup(folders, tmp_path / "soup", "weighted", score=bias).coefficients == [0, 1]
    assert "a' scores -0.1, which is below 0: its coefficient is 0" in caplog.text
    with pytest.raises(UserError, match="no score is above 0, the highest is -0.1"):
        make_soup(folders[:1], tmp_path / "other", "weighted", score=bias)
    with pytest.raises(UserError, match="the score of .*a' is NaN"):
        make_soup(folders[:1], tmp_path / "other", "weighted", score=lambda folder: float("nan"))


def test_scores_are_reported_of_any_method(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.3))]
    soup = make_soup(folders, tmp_path / "soup", [1, 3], score=bias)
    assert soup.coefficients == [0.25, 0.75] and soup.score == pytest.approx(0.25)


def test_the_best_alone_where_no_average_is_better(
    make_ingredient: MakeIngredient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.6), ("c", 0.1))]
    with caplog.at_level(logging.WARNING, logger="transformers_mcl"):
        soup = make_soup(folders, tmp_path / "soup", "learned", score=lambda f: abs(bias(f) - 0.3), max_evaluations=8)
    assert soup.coefficients == [0, 1, 0] and soup.score == pytest.approx(0.3)
    assert "b' alone: it is the soup" in caplog.text


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_it_opens_in_the_format_it_has(
    make_ingredient: MakeIngredient, tmp_path: Path, dtype: torch.dtype | None
) -> None:
    folders = [make_ingredient(name, dtype=torch.float16) for name in "ab"]
    make_soup(folders, tmp_path / "soup", dtype=dtype)
    model = AutoModelForPreTraining.from_pretrained(tmp_path / "soup", dtype="auto")
    assert model.dtype == (dtype or torch.float16)
    assert {tensor.dtype for tensor in weights(tmp_path / "soup").values()} == {model.dtype}


def test_numbers_that_have_no_room_are_refused(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folder = set_bias(make_ingredient("a"), 1e6)
    with pytest.raises(
        UserError, match="discriminator_predictions.dense.bias holds numbers that torch.float16 has no"
    ):
        make_soup([folder], tmp_path / "soup", dtype=torch.float16)
    assert not (tmp_path / "soup").exists()


def test_fine_tuned_checkpoints(make_classifier: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_classifier(name) for name in "ab"]
    make_soup(folders, tmp_path / "soup")
    opened: Any = BertForSequenceClassification.from_pretrained(tmp_path / "soup", output_loading_info=True)
    model, info = opened
    assert not any(info.values()) and model.config.id2label[2] == "good"
    head = torch.stack([weights(folder)["classifier.weight"] for folder in folders]).mean(0)
    torch.testing.assert_close(model.classifier.weight, head)
    assert (tmp_path / "soup" / "tokenizer.json").read_text() == (folders[0] / "tokenizer.json").read_text()
    assert ModelCard.load(tmp_path / "soup" / "README.md").data.pipeline_tag == "text-classification"


def test_greedy_keeps_what_does_no_harm(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    """The score is highest at 0.5: 0.6 is the best, 0.3 helps it (0.45), and 0.1 does not (1/3)."""
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.6), ("c", 0.3))]

    def score(folder: Path) -> float:
        return -abs(bias(folder) - 0.5)

    soup = make_soup(folders, tmp_path / "soup", "greedy", score=score)
    assert soup.coefficients == [0.0, 0.5, 0.5] and soup.score == pytest.approx(-0.05)
    assert bias(tmp_path / "soup") == pytest.approx(0.45)


def test_greedy_is_never_worse_than_the_best(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.6))]
    soup = make_soup(folders, tmp_path / "soup", "greedy", score=bias)
    assert soup.coefficients == [0.0, 1.0] and bias(tmp_path / "soup") == pytest.approx(0.6)


def test_the_card_lists_what_is_in_it(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient(name), value) for name, value in (("a", 0.1), ("b", 0.3))]
    make_soup(folders, tmp_path / "soup", "weighted", score=bias)
    card = ModelCard.load(tmp_path / "soup" / "README.md")
    assert "| a | 0.2500 | 0.1000 |" in card.text and "| **the soup** | 1 | **0.2500** |" in card.text
    assert card.data.library_name == "transformers" and "model-soup" in card.data.tags


@pytest.mark.parametrize("word", NASTY)
def test_words_of_files_and_users_are_no_markup(word: str) -> None:
    def card(word: str) -> ModelCard:
        soup = Soup("uniform", [word, "b"], [0.5, 0.5], [0.1, 0.2], 0.3, measure=f"loss {word}", source=word)
        return soup_card(soup, word, MclConfig.tiny(architectures=["MclForMaskedLM"]))

    assert look(card(word.replace("/", "-"))) == look(card("word"))


def test_nothing_is_half_written(make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [set_bias(make_ingredient("a"), 0.0), set_bias(make_ingredient("b"), float("nan"))]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="b': the tensor discriminator_predictions.dense.bias holds a NaN"):
        make_soup(folders, tmp_path / "soup")
    assert sorted(tmp_path.iterdir()) == before


def test_an_ingredient_is_not_written_over(make_ingredient: MakeIngredient) -> None:
    a, b = make_ingredient("a"), make_ingredient("b")
    with pytest.raises(UserError, match="a' is the ingredient "):
        make_soup([a, b], a)


@pytest.mark.parametrize(
    ("weights", "message"), [("best", "there is no 'best'; choose from uniform"), ("greedy", "needs a score")]
)
def test_unknown_methods_are_refused(tmp_path: Path, weights: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_soup(["a"], tmp_path / "soup", weights)


def test_an_argument_that_would_be_forgotten_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make_soup: there is no 'method'; choose from cache_dir"):
        make_soup(["a"], tmp_path / "soup", method="greedy")


def test_another_initialisation_is_warned_of(
    make_ingredient: MakeIngredient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="transformers_mcl"):
        make_soup([make_ingredient("a"), make_ingredient("b")], tmp_path / "same")
        assert "different initialisations" not in caplog.text
        make_soup([make_ingredient("a"), make_ingredient("c", start=1)], tmp_path / "other")
    assert "different initialisations: no two rows of electra.embeddings.word_embeddings.weight" in caplog.text
