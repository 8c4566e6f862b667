"""What of a fine-tuning reaches the Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from transformers import BertTokenizer

from transformers_mcl import MclForPreTraining

MODEL = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
MODEL |= {"needs_transformers_mcl.py"}
RESULTS = {"results.md", "results.tex", "results.json", "results.png", "curves.png"}


def test_what_arrives_at_the_hub(
    hub: Any,
    run_with_hub: Any,
    tokenizer: BertTokenizer,
    make_pair: Callable[..., MclForPreTraining],
    tmp_path: Path,
) -> None:
    make_pair().save_pretrained(tmp_path / "pair")
    tokenizer.save_pretrained(tmp_path / "pair")
    run_with_hub(Path(__file__).with_name("finetuning_pushes.py"), tmp_path)
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
    assert kinds == {"f1": "f1", "exact": "exact_match"}  # and none of the answerable questions alone
    assert results["results"][0]["dataset"] == {"name": "squad.jsonl", "type": "files", "config": "squad.jsonl"}
