"""Averages of pairs of every family, whatever their networks share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel

from tests.families import ADAPTED, demo_tokenizer, each, tiny_pair
from transformers_mcl import MclForPreTraining, UserError, make_soup
from transformers_mcl.soups import averaging
from transformers_mcl.soups.conflicts import measure_conflicts
from transformers_mcl.soups.diagnosis import diagnose_into, save_conflicts
from transformers_mcl.soups.ingredients import common_config, open_ingredients
from transformers_mcl.soups.interpolation import load_average
from transformers_mcl.soups.learning import Gradient
from transformers_mcl.soups.score_arguments import ScoreArguments
from transformers_mcl.soups.scores import PretrainingLoss, make_score

SHARES = ("token", "all", "none", "gdes")
Train = Callable[..., Path]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Saves a pair of one initialisation and a little training, as `name`, and returns its folder."""

    def save(name: str, family: str, dtype: torch.dtype = torch.float32, **fields: Any) -> Path:
        pair: Any = tiny_pair(family, {"layers": 1, "vocab_size": 1024, **fields.pop("encoder", {})}, **fields)
        torch.manual_seed(sum(map(ord, name)))
        with torch.no_grad():
            for parameter in pair.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        pair.to(dtype).save_pretrained(tmp_path / name)
        demo_tokenizer().save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def score(tmp_path: Path) -> ScoreArguments:
    (tmp_path / "text.txt").write_text("the chef cooked a meal, and who ate it?\n" * 40)
    file = [str(tmp_path / "text.txt")]
    return ScoreArguments(validation_file=file, max_seq_length=16, max_eval_samples=4, use_cpu=True)


def tables_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@each([*ADAPTED, "mcl"])
@pytest.mark.parametrize("shares", SHARES)
def test_the_average_is_that_of_the_weights(
    family: str, shares: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = {"encoder": {"num_hidden_layers": 1}} if family == "mcl" else {}
    folders = [train(name, family, generator_shares=shares, **encoder) for name in "abc"]
    monkeypatch.setattr(averaging, "_PART", 1000)  # a table is read in several parts
    make_soup(folders, tmp_path / "soup")
    opened: Any = MclForPreTraining.from_pretrained(tmp_path / "soup", output_loading_info=True)
    soup, info = opened
    assert not any(info.values())
    states = [MclForPreTraining.from_pretrained(folder).state_dict() for folder in folders]
    for name, weight in soup.state_dict().items():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        torch.testing.assert_close(weight.double(), mean, rtol=0, atol=1e-6)
    # The table that is in the file for the encoder alone is the one that the pair computes with.
    encoder_alone = AutoModel.from_pretrained(tmp_path / "soup")
    assert encoder_alone.get_input_embeddings().weight.equal(soup.discriminator.get_input_embeddings().weight)
    assert tables_of(tmp_path / "soup").keys() == tables_of(folders[0]).keys()


def test_a_sum_is_made_in_the_format_that_is_written(train: Train, tmp_path: Path) -> None:
    folders = [train(name, "bert", dtype, generator_shares="gdes") for name, dtype in zip("ab", _FORMATS, strict=True)]
    for dtype in (None, torch.float16):
        folder = tmp_path / f"soup {dtype}"
        make_soup(folders, folder, [0.3, 0.7], dtype=dtype)
        tables = tables_of(folder)
        source = tables["generator.bert.embeddings.word_embeddings.weight"]
        table, delta = (tables[f"bert.embeddings.word_embeddings.{name}"] for name in ("weight", "delta"))
        assert table.dtype == (dtype or torch.float32) and table.equal(source + delta)


_FORMATS = (torch.bfloat16, torch.float32)


def test_weights_are_counted_once(train: Train) -> None:
    """A table that is the sum of two is no weight of its own, to what measures and what learns."""
    (ingredient,) = open_ingredients([train("a", "modernbert", generator_shares="gdes")])
    table = "model.embeddings.tok_embeddings"
    assert ingredient.sums == {f"{table}.weight": (f"generator.{table}.weight", f"{table}.delta")}
    assert not ingredient.files.keys() & ingredient.sums.keys()
    assert ingredient.files.keys() >= {f"{table}.delta", f"generator.{table}.weight"}
    pair: Any = MclForPreTraining.from_pretrained(ingredient.folder)
    load_average(tiny_pair("modernbert", {"layers": 1}, generator_shares="gdes"), [ingredient], [1.0])
    assert ingredient.files.keys() <= pair.state_dict().keys()


def test_no_warning_of_differences_that_are_alike(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of differences are unlike in any two runs; those of the tables that they are added to are alike."""
    folders = [train(name, "bert", generator_shares="gdes", encoder={"width": 64}) for name in "ab"]
    for folder in folders:
        pair: Any = MclForPreTraining.from_pretrained(folder)
        torch.nn.init.normal_(pair.get_input_embeddings().delta, std=0.01)
        pair.save_pretrained(folder)
    with caplog.at_level(logging.WARNING, logger="transformers_mcl"):
        make_soup(folders, tmp_path / "soup")
    assert "different initialisations" not in caplog.text


@pytest.mark.parametrize(("family", "shares"), [("bert", "gdes"), ("deberta-v2", "token"), ("distilbert", "none")])
def test_by_a_score(family: str, shares: str, train: Train, score: ScoreArguments, tmp_path: Path) -> None:
    folders = [train(name, family, generator_shares=shares) for name in "ab"]
    greedy = make_soup(folders, tmp_path / "greedy", "greedy", score=score)
    assert greedy.is_loss and greedy.scores is not None and greedy.score is not None
    assert greedy.score >= max(greedy.scores)
    learned = make_soup(folders, tmp_path / "learned", "learned", score=score, max_evaluations=4)
    assert learned.score is not None and learned.uniform is not None and learned.score >= learned.uniform
    card = ModelCard.load(tmp_path / "learned" / "README.md")
    assert {family, "replaced-token-detection", "model-soup"} <= set(
        card.data.tags
    ) and "electra" not in card.data.tags
    text = diagnose_into(tmp_path / "look", folders, score, points=1)
    assert "barrier" in text and "gradient's length" in text


def test_the_gradient_knows_that_the_discriminator_reads_a_sum(
    train: Train, score: ScoreArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss does not train the generator's table through the discriminator; the average moves both."""
    # No jump from one sample to another.
    monkeypatch.setattr(
        "transformers_mcl.models.pretraining.sample_tokens", lambda logits, _: logits.argmax(-1).fill_(7)
    )
    settings = {"generator_shares": "gdes", "generator_trainable": False, "loss_weights": {"rtd": 1.0}}
    ingredients = open_ingredients([train(name, "bert", **settings) for name in "ab"])
    loss = make_score(score, ingredients)
    assert isinstance(loss, PretrainingLoss)
    gradient = Gradient(ingredients, loss)
    table = "embeddings.word_embeddings"
    moved = {f"generator.bert.{table}.weight"}

    def at(share: float) -> tuple[float, dict[str, Any]]:
        return gradient(lambda tensor: [share, 1 - share] if tensor in moved else [0.5, 0.5])

    _, slopes = at(0.5)
    (name,) = moved
    exact = slopes[name][0] - slopes[name][1]
    (above, _), (below, _) = at(0.505), at(0.495)  # no less: the loss is in float32
    assert exact == pytest.approx((above - below) / 0.01, rel=0.02) and exact != 0


@pytest.mark.parametrize("shares", ["gdes", "none"])
def test_halves_that_share_nothing_have_nothing_to_fight_over(
    shares: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = tiny_pair("roberta", {"layers": 1}, generator_shares=shares)
    ids = torch.randint(5, 1024, (2, 16), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 2, 3
    found = measure_conflicts(pair, [{"input_ids": ids}])
    assert np.isnan(found.shared_cosines).all()
    mlm, rtd = found.losses.index("mlm"), found.losses.index("rtd")
    assert found.cosines[mlm, rtd] == 0
    drawn: list[int] = []
    monkeypatch.setattr("transformers_mcl.soups.diagnosis.save_panels", lambda *given: drawn.append(len(given[-1])))
    save_conflicts(found, tmp_path, "pair")
    assert drawn == [1], "no map of embeddings that are not shared"


# --- what may differ, and what may not -------------------------------------------------------------------------------
def test_training_may_differ_in_the_encoders_own_configuration(train: Train, tmp_path: Path) -> None:
    other = {"attention_dropout": 0.1, "embedding_dropout": 0.1, "initializer_range": 0.1, "sparse_prediction": True}
    fields: dict[str, Any] = {"generator_shares": "none", "generator_temperature": 2.0, "generator_trainable": False}
    folders = [train("a", "modernbert", **fields), train("b", "modernbert", encoder=other, generator_shares="none")]
    config = common_config(open_ingredients(folders))
    assert config.generator_trainable and config.weights["mlm"], "one of them learned"
    make_soup(folders, tmp_path / "soup")
    MclForPreTraining.from_pretrained(tmp_path / "soup")


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            {"intermediate_size": 48},
            "field backbone_config.intermediate_size of the configurations differs: 64 in",
        ),
        ({"local_attention": 16}, "field backbone_config.local_attention of the configurations differs: 8 in "),
    ],
)
def test_other_encoders_are_refused(train: Train, encoder: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_ingredients([train("a", "modernbert"), train("b", "modernbert", encoder=encoder)])


def test_other_families_and_other_sharing_are_refused(train: Train) -> None:
    a = train("a", "bert")
    with pytest.raises(UserError, match="field backbone_config.model_type .* 'bert' in .* and 'roberta' in "):
        open_ingredients([a, train("b", "roberta")])
    with pytest.raises(UserError, match="field generator_shares of the configurations differs: 'token' in"):
        open_ingredients([a, train("c", "bert", generator_shares="none")])
