"""The pair inside the package: whole, small enough to ship, open to all, and alive."""

from __future__ import annotations

import hashlib

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import safe_open
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer

from transformers_mcl import MclForMaskedLM, MclForPreTraining, MclModel
from transformers_mcl.data.shipped import shipped_figures, shipped_pair
from transformers_mcl.method.courses import COURSES
from transformers_mcl.method.metrics import summarize_metrics

FOLDER = shipped_pair()


def test_its_files_are_those_of_the_checksums() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    sums = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    assert sums.keys() == {path.name for path in FOLDER.iterdir()} - {"SHA256SUMS"}
    for name, checksum in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == checksum, name


def test_it_is_small_and_in_bfloat16() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6e6
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"BF16"}  # noqa: SIM118


def test_the_auto_classes_open_it() -> None:
    """In float32, which every CPU computes in."""
    for auto, kind in ((AutoModel, MclModel), (AutoModelForMaskedLM, MclForMaskedLM)):
        model = auto.from_pretrained(FOLDER)
        assert type(model) is kind and model.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.decode(tokenizer("The chef.").input_ids) == "[CLS] the chef. [SEP]"


def test_its_card_says_what_it_is_made_of() -> None:
    card = ModelCard.load(FOLDER / "README.md")
    assert card.data.license == "cc-by-sa-4.0"
    for source in ("Wikipedia", "ELTeC", "State of the Union"):
        assert source in card.text
    figures = shipped_figures()
    for course in COURSES:
        assert f"{figures[f'{course}_disc_auc']:.3f}" in card.text
    assert yaml.safe_load((FOLDER / "recipe.yaml").read_text())["max_steps"] > 0


def test_it_is_alive() -> None:
    """On text of the demo it finds what was replaced, and every cell of the notebook has tokens."""
    pair = AutoModelForPreTraining.from_pretrained(FOLDER)
    assert isinstance(pair, MclForPreTraining)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    text = (FOLDER.parent / "demo" / "validation.txt").read_text(encoding="utf-8")[:20_000]
    ids = tokenizer(text, add_special_tokens=False).input_ids
    rows = [[tokenizer.cls_token_id, *ids[i : i + 62], tokenizer.sep_token_id] for i in range(0, 64 * 62, 62)]
    with torch.no_grad():
        metrics = pair.eval()(torch.tensor(rows), generator=torch.Generator().manual_seed(0)).metrics
    figures = summarize_metrics(metrics)
    for course in COURSES:
        assert figures[f"{course}_disc_auc"] > 0.7
    for course in ("rtd", "std"):
        assert min(figures[f"{course}_notebook_pos{cell}"] for cell in range(1, 5)) > 0.005


@pytest.mark.parametrize("figure", ["disc_auc", "disc_recall", "notebook_pos4"])
def test_its_figures_are_kept(figure: str) -> None:
    assert f"rtd_{figure}" in shipped_figures()
