"""Evaluations from outside the package: registered with one call, they are as those that come with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from huggingface_hub import EvalResult, ModelCard
from transformers import AutoModelForMaskedLM, BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.data import load_tokenizer
from transformers_mcl.evaluation import (
    Evaluation,
    EvaluationArguments,
    MinimalPairs,
    Outcome,
    PairSet,
    find_evaluation,
    register_evaluation,
)
from transformers_mcl.evaluation.evaluation import EVALUATIONS
from transformers_mcl.soups.ingredients import open_ingredients
from transformers_mcl.soups.score_arguments import ScoreArguments
from transformers_mcl.soups.scores import make_score


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(EVALUATIONS)
    yield
    EVALUATIONS.clear()
    EVALUATIONS.update(before)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a pair, its tokenizer and a card."""
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the chef chefs cooks".split()
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    torch.manual_seed(0)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    config = MclConfig.tiny(vocab_size=len(words), num_hidden_layers=1, generator_num_hidden_layers=1, **ids)
    MclForPreTraining(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n\n# chef\n")
    return tmp_path / "model"


@pytest.fixture
def kitchen(tmp_path: Path) -> PairSet:
    """Two pairs, in a file whose columns have names of their own."""
    path = tmp_path / "kitchen.csv"
    path.write_text("yes,no,kind\nthe chef cooks,the chefs cooks,number\nThe,the,case\n")
    columns: dict[str, Any] = {"sentence_good_column": "yes", "sentence_bad_column": "no", "field_column": "kind"}
    return PairSet("Kitchen", pairs_file=(str(path),), **columns)


def evaluate(model: Path, task: str, *more: str) -> int:
    words = ["--task", task, "--model_name_or_path", str(model), "--output_dir", str(model.parent / "out")]
    return main(["evaluate", *words, "--use_cpu", "true", *more])


def test_another_set_of_minimal_pairs(
    model: Path, kitchen: PairSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_evaluation(MinimalPairs("kitchen", kitchen))
    assert evaluate(model, "kitchen", "--update_card", "true", "--scorer", "generator") == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (found["task"], found["pairs"]) == ("kitchen", "kitchen.csv")
    assert found["results"]["generator"]["all"]["all"]["pairs"] == 2
    assert list(found["results"]["generator"]["field"]) == ["number", "case"]
    assert capsys.readouterr().out.startswith(f"# Minimal pairs: {model}\n\nkitchen.csv. A tie")
    data: Any = ModelCard.load(model / "README.md").data
    assert {(r.dataset_type, r.dataset_name) for r in data.eval_results} == {("kitchen.csv", "Kitchen")}
    # What is given goes before what the set says.
    (tmp_path / "other.csv").write_text("yes,bad\nthe chef cooks,cooks the chef\n")
    other = ["--pairs_file", str(tmp_path / "other.csv"), "--sentence_bad_column", "bad"]
    assert evaluate(model, "kitchen", *other) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (found["pairs"], found["results"]["generator"]["all"]["all"]["pairs"]) == ([other[1]], 1)


def test_soups_are_scored_by_it_too(model: Path, kitchen: PairSet) -> None:
    register_evaluation(MinimalPairs("kitchen", kitchen))
    score = make_score(ScoreArguments(score="kitchen", use_cpu=True), open_ingredients([model]))
    assert str(score) == "kitchen accuracy on 2 pairs of kitchen.csv, generator"
    assert 0 <= score(model) <= 1
    with pytest.raises(
        UserError, match=r"score: there is no 'kitchn'; choose from .*, blimp, kitchen,.*did you mean 'kitchen'"
    ):
        make_score(ScoreArguments(score="kitchn", use_cpu=True), open_ingredients([model]))


@dataclass
class WordArguments:
    """Which word."""

    word: str


class Probability(Evaluation):
    """How probable a masked language model holds a word without context."""

    name = "probability"
    arguments = (WordArguments,)

    def __call__(self, args: EvaluationArguments, *own: Any, say: Callable[[str], object]) -> Outcome:
        tokenizer: Any = load_tokenizer(args.tokenizer_name or args.model_name_or_path)
        opened = AutoModelForMaskedLM.from_pretrained(args.model_name_or_path).to(PartialState().device).eval()
        ids = tokenizer(tokenizer.mask_token, return_tensors="pt")["input_ids"]
        probability = opened(ids).logits[0, 1].softmax(-1)[tokenizer.convert_tokens_to_ids(own[0].word)].item()
        say(f"looked at {own[0].word}")
        card = [EvalResult("fill-mask", "none", "no data", "probability", probability)]
        return Outcome({"probability": probability}, f"p = {probability:.3f}", {"word": own[0].word}, card)


def test_an_evaluation_with_arguments_of_its_own(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_evaluation(Probability())
    (tmp_path / "recipe.yaml").write_text(f"task: probability\nmodel_name_or_path: {model}\nword: chef\n")
    out = ["--output_dir", str(tmp_path / "out"), "--use_cpu", "true", "--update_card", "true"]
    assert main(["evaluate", "--config", str(tmp_path / "recipe.yaml"), *out]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(found)[:3] == ["task", "model_name_or_path", "word"]
    assert 0 < found["results"]["probability"] < 1
    said = capsys.readouterr()
    assert said.out.startswith("p = 0.") and said.out.endswith(f"in {tmp_path / 'out'}\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json", "results.md"]
    assert "looked at chef" in said.err
    data: Any = ModelCard.load(model / "README.md").data
    assert data.eval_results[0].metric_value == found["results"]["probability"]
    capsys.readouterr()
    assert evaluate(model, "probability", "--word", "chef", "--scorer", "generator") == 2  # an argument of blimp's
    assert "unknown argument --scorer" in capsys.readouterr().err


def test_unknown_names_are_answered_with_the_nearest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(model, "blmp") == 2
    line = "--task: unknown evaluation 'blmp'; did you mean blimp? the evaluations are blimp"
    assert line in capsys.readouterr().err
    with pytest.raises(UserError, match="unknown evaluation 'blmp'; did you mean blimp"):
        find_evaluation("blmp")
    with pytest.raises(UserError, match="unknown evaluation 'blmp'; did you mean blimp"):
        EvaluationArguments("blmp", str(model), "out")


def test_what_is_no_evaluation(kitchen: PairSet) -> None:
    with pytest.raises(UserError, match="evaluation 'blimp' is there already"):
        register_evaluation(MinimalPairs("blimp", kitchen))
    with pytest.raises(UserError, match="'Nothing' must have a dataset_name on the Hub, or files as pairs_file"):
        PairSet("Nothing")
