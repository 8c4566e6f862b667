"""What reaches the Hub, from everywhere that a model can be pushed from, by the real client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import BertTokenizer

from tests.families import demo_tokenizer, tiny_pair
from transformers_mcl import UserError
from transformers_mcl.hub.model_card import RunSummary
from transformers_mcl.hub.push import check_repo_name, create_repository

MODEL = {"README.md", "config.json", "model.safetensors", "needs_transformers_mcl.py"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}


def test_pushes_and_what_arrives(hub: Any, run_with_hub: Any, tokenizer: BertTokenizer, tmp_path: Path) -> None:
    BertTokenizer(vocab=tokenizer.get_vocab()).save_pretrained(tmp_path / "tokenizer")  # that knows of no length
    other = tiny_pair("modernbert", generator_shares="gdes")
    other.save_pretrained(tmp_path / "other")
    demo_tokenizer().save_pretrained(tmp_path / "other")
    RunSummary(other.config, {}, "", "", 1, 1, 1.0, "", {}, {}, {}).save(tmp_path / "other")
    run_with_hub(Path(__file__).with_name("pushes.py"), tmp_path)
    run_with_hub("-c", OPENED_BY_NAME, tmp_path)
    trained, by_model, generator = (hub.repositories[f"ada/{name}"] for name in ("trained", "by-model", "generator"))
    assert set(trained) >= MODEL | TOKENIZER | {"curves.png", "eval_results.json"}
    for branch in ("step-1", "tokens-64", "step-2", "tokens-128"):
        assert set(hub.branches["ada/trained", branch]) == MODEL - {"README.md"} | TOKENIZER
    assert hub.branches["ada/trained", "step-2"]["model.safetensors"] == (
        (tmp_path / "pair" / "checkpoint-2" / "model.safetensors").read_bytes()
    )
    assert set(by_model) == MODEL | TOKENIZER | {"curves.png"}
    assert set(generator) == MODEL | TOKENIZER | {"curves.png"}
    pushed = {name: hub.repositories[f"ada/{name}"]["README.md"].decode() for name in ("other", "native")}
    for name, card in pushed.items():
        door = {"needs_transformers_mcl.py"} if name == "native" else set()
        assert set(hub.repositories[f"ada/{name}"]) == (MODEL | TOKENIZER) - door
        tags = yaml.safe_load(card.split("---")[1])["tags"]
        assert {"mcl", "modernbert", "replaced-token-detection"} <= set(tags) and "electra" not in tags
        assert f'"ada/{name}"' in card and "- Shared: token embeddings, disentangled (gdes)" in card
    assert "import transformers_mcl" in pushed["other"] and "import transformers_mcl" not in pushed["native"]
    for name, files in hub.repositories.items():
        pickles = [file for file in files if file.endswith((".bin", ".pt", ".pth", ".pkl"))]
        assert pickles == [], name
        assert [file for file, content in files.items() if str(tmp_path).encode() in content] == [], name
        assert [file for file in files if "tfevents" in file or file.endswith(".lock")] == [], name
    assert (tmp_path / "pair" / "checkpoint-2" / "optimizer.pt").exists()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("tfevents" in path.name for path in written)
    assert [path for path in written if b"not-to-be-written" in path.read_bytes()] == []

    card = trained["README.md"].decode()
    metadata = yaml.safe_load(card.split("---")[1])
    assert (metadata["language"], metadata["license"]) == (["en", "de"], "mit")
    (results,) = metadata["model-index"]
    measured = {m["name"]: m["value"] for result in results["results"] for m in result["metrics"]}
    told = json.loads(trained["eval_results.json"])
    assert measured["rtd_disc_auc"] == pytest.approx(told["eval_rtd_disc_auc"])
    for words in ("| RTD | 15 % masked |", "## Results", "![Losses", "--config recipe.yaml"):
        assert words in card
    pushed = by_model["README.md"].decode()
    assert pushed.replace("- chefs\n", "").replace("ada/by-model", "ada/trained") == card
    assert "has been automatically generated" in hub.repositories["ada/new-head"]["README.md"].decode()
    assert b"# By hand" in hub.repositories["ada/kept"]["README.md"]
    half = hub.repositories["ada/half"]["README.md"].decode()
    assert 'MclDiscriminator.from_pretrained("ada/half")' in half and "| RTD | 15 % masked |" in half
    exported = generator["README.md"].decode()
    assert yaml.safe_load(exported.split("---")[1])["pipeline_tag"] == "fill-mask"
    assert '"ada/generator"' in exported
    assert "It is a pair" in card and "It is a pair" not in exported
    assert "| RTD | 15 % masked |" in exported


OPENED_BY_NAME = """
import sys
sys.modules["transformers_mcl"] = None  # as where it is not installed
import torch
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("ada/remote")
rows = tokenizer(["the chef cooked", "a meal"], padding=True, return_tensors="pt")
model = AutoModelForSequenceClassification.from_pretrained("ada/remote", trust_remote_code=True, num_labels=3)
assert type(model).__module__.startswith("transformers_modules.ada"), type(model)
model.save_pretrained(sys.argv[1] + "/saved")
again = AutoModelForSequenceClassification.from_pretrained(sys.argv[1] + "/saved", trust_remote_code=True)
with torch.no_grad():
    assert again(**rows).logits.equal(model.eval()(**rows).logits)
    hidden = AutoModel.from_pretrained("ada/remote", trust_remote_code=True)(**rows).last_hidden_state
    assert hidden.equal(model.electra(**rows).last_hidden_state)
    assert AutoModelForPreTraining.from_pretrained("ada/remote", trust_remote_code=True)(**rows).logits.dim() == 2
"""


@pytest.mark.parametrize("name", ["a/b/c", "ada/my model", ""])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UserError, match=f"push_to_hub='{name}' is no name of a repository"):
        check_repo_name(name)


def test_no_token_is_shown(online: Any) -> None:
    with pytest.raises(UserError, match="refused: Illegal header value b'the token$"):
        create_repository("ada/new", token="hf_secret ")
