"""Fine-tunes and pushes to the Hub of HF_ENDPOINT, opens what arrived, and runs what its cards say.

Run as a program, since the client reads where the Hub is when it is imported: `finetuned_pushes.py FOLDER`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from transformers_mcl.cli.main import main


def run(folder: Path) -> None:
    words = ["finetune", "--model_name_or_path", f"{folder / 'pair'}", "--use_cpu", "true", "--disable_tqdm", "true"]
    words += ["--max_seq_length", "16", "--num_train_epochs", "2", "--learning_rate", "5e-3", "--push_to_hub", "true"]
    rows = [{"sentence": ["the chef ate .", "a soup ate ."][i % 2], "label": i % 2} for i in range(16)]
    for task in ("sst2", "cola"):
        (folder / "glue" / task).mkdir(parents=True)
        for split in ("train", "validation"):
            (folder / "glue" / task / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    sst2 = [*words, "--dataset_name", f"{folder / 'glue'}", "--task_name", "sst2"]
    grid = ["--sweep", '{"learning_rate": [1e-9, 5e-3]}', "--num_seeds", "2", "--save_strategy", "epoch"]
    assert main([*sst2, *grid, "--output_dir", f"{folder / 'swept'}", "--hub_model_id", "ada/swept"]) == 0
    assert main([*sst2, "cola", "--output_dir", f"{folder / 'glued'}", "--hub_model_id", "ada/glued"]) == 0

    context = "the chef cooked a meal . who ate ?"
    answers = {"text": ["a meal"], "answer_start": [16]}
    row: dict[str, Any] = {"id": "1", "question": "what ?", "context": context, "answers": answers}
    rows = [row, {**row, "id": "2", "answers": {"text": [], "answer_start": []}}]
    (folder / "squad.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    files = ["--train_file", f"{folder / 'squad.jsonl'}", "--validation_file", f"{folder / 'squad.jsonl'}"]
    squad = [*words, *files, "--task_name", "squad_v2", "--doc_stride", "4", "--save_strategy", "epoch"]
    assert main([*squad, "--output_dir", f"{folder / 'answers'}"]) == 0  # the folder's name is the repository's

    assert main([*sst2, "--output_dir", f"{folder / 'no'}", "--hub_model_id", "ada/forbidden"]) == 2
    assert not (folder / "no").exists()  # before any training
    for name in ("ada/swept", "ada/glued-sst2", "ada/glued-cola", "answers"):
        card = ModelCard.load(name if "/" in name else f"ada/{name}")
        card.validate()
        (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
        code = code.replace('"answers"', '"ada/answers"').replace("384", "32").replace("128", "8")
        exec(compile(code, name, "exec"), {})


if __name__ == "__main__":
    logging.disable()
    run(Path(sys.argv[1]))
