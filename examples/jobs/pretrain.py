# /// script
# requires-python = ">=3.11"
# dependencies = ["transformers-mcl"]
# ///
"""Pre-train a pair in one job: a tokenizer first where none is named, then the pair, which is pushed as it grows.

    hf jobs uv run --flavor a10g-small --timeout 6h --secrets HF_TOKEN examples/jobs/pretrain.py \\
      --dataset_name NAME --preset small --max_hours 5 --output_dir my-pair --push_to_hub true \\
      --hub_model_id USER/my-pair

and, on a machine of your own, `uv run examples/jobs/pretrain.py ...`. The arguments are those of `transformers-mcl
pretrain`; `--vocab_size` is that of the tokenizer that is trained. A job that is started again goes on from what its
folder holds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from transformers_mcl.cli.main import entry, main

# What `tokenizer` takes of the arguments of `pretrain`: which text is read, and how.
_TEXT = {"train_file", "validation_file", "dataset_name", "dataset_config_name", "text_column", "mixing_weights"}
_TEXT |= {"document_separator", "file_format", "text_errors", "validation_split_percentage"}


def by_name(words: list[str]) -> dict[str, list[str]]:
    """Each argument with its words, by its name; one that is given twice has the last."""
    arguments: dict[str, list[str]] = {}
    for word in words:
        name = word[2:].partition("=")[0].replace("-", "_") if word.startswith("--") else ""
        if name:
            arguments[name] = []
        arguments.setdefault(name or next(reversed(arguments), ""), []).append(word)
    return arguments


def pretrain(words: list[str]) -> int:
    """Trains what is missing, in this order; the exit status."""
    asked = by_name(words)
    size = asked.pop("vocab_size", [])
    if not asked.keys() & {"help", "tokenizer_name", "model_name_or_path", "config"}:
        folder = Path(asked.setdefault("output_dir", ["--output_dir=pair"])[-1].rpartition("=")[2])
        tokenizer = folder.with_name(f"{folder.name}-tokenizer")
        if not (tokenizer / "tokenizer.json").is_file():
            text = [word for name in asked.keys() & _TEXT for word in asked[name]]
            if status := main(["tokenizer", *text, *size, "--output_dir", str(tokenizer)]):
                return status
        asked["tokenizer_name"] = ["--tokenizer_name", str(tokenizer)]
    asked.setdefault("resume_from_checkpoint", ["--resume_from_checkpoint", "auto"])
    return main(["pretrain", *(word for given in asked.values() for word in given)])


if __name__ == "__main__":
    entry(lambda: pretrain(sys.argv[1:]))
