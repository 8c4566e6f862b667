"""A text so small that a run on it takes seconds, and a tokenizer for it."""

from __future__ import annotations

import random
from pathlib import Path

from transformers_mcl.cli.main import main

__all__ = ["write_text_and_tokenizer"]


def write_text_and_tokenizer(folder: Path) -> Path:
    """Writes `text.txt`, sixty lines of forty words, and `tokenizer`, made from it; returns `folder`."""
    words = "the chef cooked a meal and we ate it all in one evening by the sea".split()
    draw = random.Random(0)
    lines = [" ".join(draw.choices(words, k=40)) for _ in range(60)]
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    tokenizer = ["tokenizer", "--train_file", str(folder / "text.txt"), "--vocab_size", "60"]
    assert main([*tokenizer, "--output_dir", str(folder / "tokenizer")]) == 0
    return folder
