"""Folders of sentence-transformers: what they have beside the encoder is in the soup."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, BertTokenizer

from transformers_mcl import UserError
from transformers_mcl.soups.methods import make_soup

from .conftest import MakeIngredient

st: Any = pytest.importorskip("sentence_transformers")
modules: Any = pytest.importorskip("sentence_transformers.sentence_transformer.modules")


def embedder(encoder: Path, tokenizer: BertTokenizer, seed: int, width: int = 8) -> Path:
    """A folder with an encoder, its pooling, a layer with weights and one that has no settings."""
    tokenizer.save_pretrained(encoder)
    torch.manual_seed(seed)
    parts = [modules.Transformer(str(encoder)), modules.Pooling(64, "cls"), modules.Dense(64, width)]
    folder = encoder.with_name(f"{encoder.name}-embedder")
    st.SentenceTransformer(modules=[*parts, modules.Normalize()], device="cpu").save(str(folder))
    return folder


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
def test_modules_are_kept_and_averaged(
    weights: Any, make_ingredient: MakeIngredient, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    folders = [embedder(make_ingredient(name), tokenizer, seed) for seed, name in enumerate("ab")]
    make_soup(folders, tmp_path / "soup", weights)
    model = st.SentenceTransformer(str(tmp_path / "soup"), device="cpu")
    kinds = [type(part).__name__ for part in model]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]
    share = weights[0] / sum(weights) if weights else 0.5
    ours, theirs = (load_file(folder / "2_Dense" / "model.safetensors") for folder in folders)
    for name, found in load_file(tmp_path / "soup" / "2_Dense" / "model.safetensors").items():
        torch.testing.assert_close(found, share * ours[name] + (1 - share) * theirs[name])
    assert model.encode(["w2 w3 w4"]).shape == (1, 8)
    pooling = [folder / "1_Pooling" / "config.json" for folder in (*folders, tmp_path / "soup")]
    assert len({path.read_text() for path in pooling}) == 1
    data: Any = ModelCard.load(tmp_path / "soup" / "README.md").data
    assert (data.library_name, data.pipeline_tag) == ("sentence-transformers", "sentence-similarity")


def test_other_modules_cannot_be_averaged(
    make_ingredient: MakeIngredient, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    first, second = (embedder(make_ingredient(name), tokenizer, 0, width) for name, width in (("a", 8), ("b", 4)))
    encoder = tmp_path / "encoder"
    shutil.copytree(first, encoder, ignore=shutil.ignore_patterns("modules.json", "2_Dense"))
    for others in ([first, second], [first, encoder]):
        with pytest.raises(UserError, match="the module 2_Dense of sentence-transformers is another one in"):
            make_soup(others, tmp_path / "soup")
        assert not (tmp_path / "soup").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"path": "../../elsewhere", "type": "Dense"}]', "names a folder '../../elsewhere', which is none inside"),
        ('[{"path": "/elsewhere", "type": "Dense"}]', "names a folder '/elsewhere'"),
        ('{"path": 1}', "modules.json is damaged: it holds a dict, not a list"),
        ("[1]", "is no list of modules"),
        ("[", "modules.json is damaged"),
    ],
)
def test_a_list_of_modules_that_is_none(text: str, said: str, make_ingredient: MakeIngredient, tmp_path: Path) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    (folders[1] / "modules.json").write_text(text)
    with pytest.raises(UserError, match=said):
        make_soup(folders, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


def test_the_tokenizer_of_a_soup_knows_the_length_of_its_model(
    make_ingredient: MakeIngredient, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    folders = [make_ingredient(name) for name in "ab"]
    for folder in folders:
        BertTokenizer(vocab=tokenizer.get_vocab()).save_pretrained(folder)
    make_soup(folders, tmp_path / "soup")
    opened = AutoTokenizer.from_pretrained(tmp_path / "soup")
    assert opened.model_max_length == 32
    AutoModel.from_pretrained(tmp_path / "soup")(**opened("w2 " * 99, truncation=True, return_tensors="pt"))
