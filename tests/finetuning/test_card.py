"""What of a fine-tuning reaches the Hub, and what its card says to people and to the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import BertTokenizer
from transformers_mcl.hub.finetuned_card import FinetunedCard

from transformers_mcl import MclForPreTraining
from transformers_mcl.finetuning.results import summarize_runs

MODEL = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
RESULTS = {"results.md", "results.json", "results.png", "curves.png"}


def run(seed: int, **metrics: float) -> dict[str, Any]:
    figures = {"task": "mnli", "main_metric": "accuracy", "settings": {}, "steps": 12, "seconds": 3.2}
    return {**figures, "seed": seed, "metrics": metrics}


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    """Of MNLI, the best of two seeds."""
    runs = [run(seed, accuracy=0.5 + seed / 10, accuracy_mm=0.4, loss=1.0) for seed in (0, 1)]
    FinetunedCard(
        name="my-mnli",
        base_model="google/electra-small-discriminator",
        model_type="electra",
        task="mnli",
        pipeline_tag="text-classification",
        data="mnli: 9 train; premise and hypothesis to 3 classes (label)",
        dataset="/home/ada/glue",
        result=runs[1],
        entries=summarize_runs(runs),
        recipe={"dataset_name": "/home/ada/glue", "learning_rate": 2e-5, "train_file": ["~/a.csv"]},
        versions={"torch": "2"},
    ).save(tmp_path)
    return ModelCard.load(tmp_path / "README.md")


def test_the_results_are_metadata(card: ModelCard) -> None:
    data: Any = card.data
    found = [(r.dataset_split, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found[0] == ("validation_matched", "accuracy", "accuracy", 0.6)
    assert ("validation_matched", "accuracy", "accuracy (median of 2 seeds)", 0.55) in found
    assert ("validation_matched", "accuracy", "accuracy (lowest of 2 seeds)", 0.5) in found
    assert ("validation_mismatched", "accuracy", "accuracy_mm", 0.4) in found
    assert len(found) == 8  # of either set the model's, and three of all; no loss
    assert {(r.dataset_type, r.dataset_config, r.task_type) for r in data.eval_results} == {
        ("nyu-mll/glue", "mnli", "text-classification")
    }
    assert data.base_model == "google/electra-small-discriminator"
    assert data.datasets == ["nyu-mll/glue"]


def test_the_text_names_no_folder_and_says_what_was_chosen(card: ModelCard) -> None:
    assert "/home" not in card.content and "~" not in card.content
    for words in (
        "Of 2 runs this is the one with the highest accuracy",
        "| mnli | **accuracy** | 0.5500 | 0.5000 | 0.6000 | 2 |",
        "| accuracy | 0.6000 |",
        'model({"text": "one sentence", "text_pair": "and another"})',
        "- Steps: 12, in 0:00:03",
        "learning_rate: 2.0e-05",
        "![The course of training](curves.png)",
    ):
        assert words in card.text
    assert "import transformers_mcl" not in card.text


def test_what_arrives_at_the_hub(
    hub: Any,
    run_with_hub: Any,
    tokenizer: BertTokenizer,
    make_pair: Callable[..., MclForPreTraining],
    tmp_path: Path,
) -> None:
    make_pair().save_pretrained(tmp_path / "pair")
    tokenizer.save_pretrained(tmp_path / "pair")
    run_with_hub(Path(__file__).with_name("finetuned_pushes.py"), tmp_path)
    names = {"ada/swept", "ada/glued-sst2", "ada/glued-cola", "ada/answers"}
    assert set(hub.repositories) == names
    for name in names:
        files = hub.repositories[name]
        assert set(files) == MODEL | RESULTS, name
        for file, content in files.items():
            assert str(tmp_path).encode() not in content, (name, file)
    assert list((tmp_path / "answers").glob("checkpoint-*/optimizer.pt"))  # here, and not there
    swept = hub.repositories["ada/swept"]["README.md"].decode()
    assert "Of 4 runs" in swept
    assert "| sst2 | **accuracy** |" in swept
    assert "push_to_hub" not in swept
    (results,) = yaml.safe_load(hub.repositories["ada/answers"]["README.md"].decode().split("---")[1])["model-index"]
    kinds = {metric["name"]: metric["type"] for metric in results["results"][0]["metrics"]}
    assert (kinds["f1"], kinds["exact"], kinds["HasAns_exact"]) == ("f1", "exact_match", "exact_match")
    assert results["results"][0]["dataset"]["type"] == "rajpurkar/squad_v2"
