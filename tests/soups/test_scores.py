from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import DatasetDict
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

from transformers_mcl import MclForPreTraining, MclTrainer, MclTrainingArguments
from transformers_mcl.data import DataArguments, DataCollatorForMcl, tokenize_and_pack
from transformers_mcl.data.corpus import read_files
from transformers_mcl.errors import UserError
from transformers_mcl.evaluation.minimal_pairs import PairsArguments, load_pairs, score_pairs
from transformers_mcl.soups.ingredients import open_ingredients
from transformers_mcl.soups.score_arguments import ScoreArguments
from transformers_mcl.soups.scores import LossScore, Score, TaskScore, make_score

from .conftest import SIZES, MakeIngredient


def score_of(folders: list[Path], **arguments: Any) -> Score:
    given: dict[str, Any] = {name: [str(v)] if isinstance(v, Path) else v for name, v in arguments.items()}
    return make_score(ScoreArguments(use_cpu=True, **given), open_ingredients(folders))


@pytest.fixture
def pairs(make_ingredient: MakeIngredient, tokenizer: BertTokenizer) -> list[Path]:
    """Two, the first with a tokenizer; the losses that they were trained on differ."""
    losses = ("mlm", "slm", "rtd", "std", "itd")
    a = make_ingredient("a", loss_weights=dict.fromkeys((*losses, "re_mlm"), 1.0), hidden_dropout_prob=0.1)
    b = make_ingredient("b", loss_weights=dict.fromkeys((*losses, "re_std"), 2.0), mask_ratio=0.3)
    tokenizer.save_pretrained(a)
    return [a, b]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"course_schedule": "sampled"},
        {"course_schedule": "joint", "loss_weights": dict.fromkeys(("mlm", "slm", "rtd", "std", "itd"), 2.0)},
        {"correction_rows": 0.25},
        {"correction_average": "own"},
        {"course_schedule": "sampled", "correction_rows": 0.5, "correction_average": "own"},
    ],
    ids=str,
)
def test_the_loss_is_that_of_the_trainers_evaluation(
    settings: dict[str, Any], make_ingredient: MakeIngredient, tokenizer: BertTokenizer, text: Path, tmp_path: Path
) -> None:
    folder = make_ingredient("a", hidden_dropout_prob=0.1, **settings)
    tokenizer.save_pretrained(folder)
    score = score_of([folder], validation_file=text, max_seq_length=16, per_device_eval_batch_size=12, eval_seed=3)
    corpus = DatasetDict(validation=read_files([str(text)], DataArguments(), None))
    rows = tokenize_and_pack(corpus, tokenizer, max_seq_length=16)[0]["validation"]
    assert len(rows) % 12  # the last batch is smaller
    model: Any = MclForPreTraining.from_pretrained(folder)
    args = MclTrainingArguments(str(tmp_path / "x"), per_device_eval_batch_size=12, eval_seed=3, use_cpu=True)
    trainer = MclTrainer(model, args, eval_dataset=rows, data_collator=DataCollatorForMcl(tokenizer))
    assert score(folder) == pytest.approx(-trainer.evaluate()["eval_loss"], rel=1e-5)


def test_all_losses_that_an_ingredient_had_count(
    pairs: list[Path], tokenizer: BertTokenizer, text: Path, tmp_path: Path
) -> None:
    score = score_of(pairs, validation_file=text, max_seq_length=16, per_device_eval_batch_size=12, eval_seed=3)
    corpus = DatasetDict(validation=read_files([str(text)], DataArguments(), None))
    rows = tokenize_and_pack(corpus, tokenizer, max_seq_length=16)[0]["validation"]
    model: Any = MclForPreTraining.from_pretrained(pairs[0])
    model.config.loss_weights = {name: max(1.0, 2.0 * (name != "re_mlm")) for name in model.config.loss_weights} | {
        "re_slm": 0.0,
        "re_rtd": 0.0,
    }
    args = MclTrainingArguments(str(tmp_path / "x"), per_device_eval_batch_size=12, eval_seed=3, use_cpu=True)
    trainer = MclTrainer(model, args, eval_dataset=rows, data_collator=DataCollatorForMcl(tokenizer))
    assert score(pairs[0]) == pytest.approx(-trainer.evaluate()["eval_loss"], rel=1e-5)


def test_every_ingredient_has_the_same_protocol(pairs: list[Path], text: Path) -> None:
    score = score_of(pairs, validation_file=text, max_seq_length=16, max_eval_samples=8)
    assert isinstance(score, LossScore) and score(pairs[1]) == score(pairs[1])
    configs: list[Any] = [score.load(folder).config for folder in pairs]
    weights = {"mlm": 2.0, "slm": 2.0, "rtd": 2.0, "std": 2.0, "itd": 2.0, "re_mlm": 1.0, "re_std": 2.0}
    for config in configs:
        assert {name: weight for name, weight in config.weights.items() if weight} == weights
        assert config.mask_ratio == 0.15
    assert "8 rows of 16 tokens" in str(score) and "re_std 2" in str(score) and str(score).startswith("minus ")
    own = score_of(pairs, validation_file=text, max_seq_length=16, max_eval_samples=8, loss_weights={"rtd": 1.0})
    assert score(pairs[0]) < own(pairs[0]) < 0


def test_parts_of_the_loss_have_its_gradient(pairs: list[Path], text: Path) -> None:
    score = score_of(pairs, validation_file=text, max_seq_length=16, max_eval_samples=8, per_device_eval_batch_size=3)
    assert isinstance(score, LossScore)
    model = score.load(pairs[0])
    parts = list(score.losses(model))
    assert len(parts) == 9  # three batches, three courses
    sum(parts).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert -sum(part.item() for part in parts) == pytest.approx(score(pairs[0]))


def test_pairs_of_sentences(pairs: list[Path], tokenizer: BertTokenizer, tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = [
        {f"sentence_{kind}": " ".join(f"w{draw.choice(range(2, 100))}" for _ in range(4)) for kind in ("good", "bad")}
        for _ in range(12)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = load_pairs(PairsArguments([str(file)]))
    model: Any = MclForPreTraining.from_pretrained(pairs[1])
    for scorer in ("generator", "discriminator"):
        score = score_of(pairs, score="blimp", validation_file=file, scorer=scorer)
        assert not score.is_loss and str(score) == f"blimp accuracy on 12 pairs of pairs.jsonl, {scorer}"
        expected = score_pairs(model, tokenizer, given, scorer).correct.mean()
        assert 0 < expected < 1 and score(pairs[1]) == expected
    assert len(score_of(pairs, score="blimp", validation_file=file, limit=5).pairs) == 5  # type: ignore[attr-defined]


def test_a_fine_tuned_checkpoint(make_classifier: MakeIngredient, reviews: Path, tokenizer: BertTokenizer) -> None:
    """Its labels count as it was trained with them: the examples have fewer, in another order."""
    classifier = make_classifier("a")
    model: Any = BertForSequenceClassification.from_pretrained(classifier).eval()
    rows = [json.loads(line) for line in reviews.read_text(encoding="utf-8").splitlines()]
    with torch.no_grad():
        logits = model(**tokenizer([row["sentence"] for row in rows], padding=True, return_tensors="pt")).logits
    wanted = torch.tensor([model.config.label2id[row["label"]] for row in rows])
    score = score_of([classifier], score="text_classification", validation_file=reviews, per_device_eval_batch_size=8)
    assert score(classifier) == (logits.argmax(-1) == wanted).double().mean().item() and not score.is_loss
    score = score_of(
        [classifier], score="text_classification", validation_file=reviews, metric="loss", per_device_eval_batch_size=8
    )
    assert isinstance(score, TaskScore) and score.is_loss
    loss = torch.nn.functional.cross_entropy(logits, wanted).item()
    assert score(classifier) == pytest.approx(-loss, rel=1e-5)
    assert sum(part.item() for part in score.losses(score.load(classifier))) == pytest.approx(loss, rel=1e-5)


def test_what_cannot_be_scored_is_said(
    pairs: list[Path],
    make_classifier: MakeIngredient,
    reviews: Path,
    tokenizer: BertTokenizer,
    text: Path,
    tmp_path: Path,
) -> None:
    classifier = make_classifier("c")

    def refused(match: str, folders: list[Path], **arguments: Any) -> None:
        with pytest.raises(UserError, match=match):
            score_of(folders, **arguments)(folders[0])

    refused("score: there is no 'best'; choose from pretraining_loss, blimp, cola", pairs, score="best")
    refused("needs held-out text: give --validation_file", pairs)
    refused(r"ingredients \(BertForSequenceClassification\) are no MCL pairs", [classifier], validation_file=text)
    refused("no ingredient has a tokenizer beside it", pairs[1:], validation_file=text)
    task: dict[str, Any] = {"score": "text_classification", "validation_file": reviews}
    refused("metric='best' is none of text_classification: choose from", [classifier], metric="best", **task)
    sizes = {key: value for key, value in SIZES.items() if not key.startswith(("generator", "embedding"))}
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    refused("encoder' is no BertForSequenceClassification: it lacks classifier", [tmp_path / "encoder"], **task)
    reviews.write_text(reviews.read_text(encoding="utf-8").replace('"good"', '"fine"'), encoding="utf-8")
    refused("its labels are bad, fine, the ingredients' are neutral, bad, good", [classifier], **task)
