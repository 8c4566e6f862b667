"""Averages checkpoints of the Hub of HF_ENDPOINT, and pushes what comes of it: `soups.py FOLDER`.

A program, since the client reads where the Hub is when it is imported. The folder holds pairs `a` and `b`, `b` in
several files, with their tokenizer.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForPreTraining, AutoTokenizer

from transformers_mcl.cli.main import main
from transformers_mcl.hub.push import push_folder


def run(folder: Path) -> None:
    for name in "ab":
        push_folder(folder / name, f"ada/{name}")
    text = folder / "text.txt"
    text.write_text("the chef cooked a meal .\n" * 200)
    words = f"soup ada/a ada/b {folder / 'b'} --output_dir {folder / 'soup'} --push_to_hub ada/soup --method greedy"
    words += f" --validation_file {text} --max_seq_length 16 --max_eval_samples 4 --use_cpu"
    assert main(words.split()) == 0

    soup: Any = AutoModelForPreTraining.from_pretrained("ada/soup")
    here: Any = AutoModelForPreTraining.from_pretrained(folder / "soup")
    assert all(torch.equal(a, b) for a, b in zip(soup.state_dict().values(), here.state_dict().values(), strict=True))
    assert len(AutoTokenizer.from_pretrained("ada/soup")) == soup.config.vocab_size
    card = ModelCard.load("ada/soup")
    card.validate()
    assert card.data.base_model == ["ada/a", "ada/b"] and "| ada/b |" in card.text and "# ada/soup" in card.text
    assert main(["soup", "ada/none", "--output_dir", str(folder / "other")]) == 2
    assert not (folder / "other").exists()


if __name__ == "__main__":
    logging.disable()
    run(Path(sys.argv[1]))
