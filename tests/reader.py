"""The folder of someone who reads the pages: what their commands speak of, small, and programs that are soon done.

As a program this is the `transformers-mcl` of that folder: it does what it is told, with few rows, steps and layers.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ROOT", "environment", "fill", "programs", "shortened"]

ROOT = Path(__file__).parents[1]
_DEMO = ROOT / "src" / "transformers_mcl" / "data" / "demo"

_FEW = {
    "pretrain": "--use_cpu true --per_device_train_batch_size 2 --per_device_eval_batch_size 2 --max_eval_samples 4 "
    "--gradient_accumulation_steps 1 --save_steps 1 --torch_compile false --max_steps 2",
    "plan": "--use_cpu true --per_device_train_batch_size 2 --max_train_samples 64 --max_eval_samples 4 "
    "--preset tiny --ladder_steps 20",
    "finetune": "--use_cpu true --num_seeds 1 --max_seq_length 32 --doc_stride 8 --max_train_samples 16 "
    "--max_eval_samples 8 --max_steps 1",
    "tokenizer": "--overwrite_output_dir true",
    "soup": "--use_cpu true --max_eval_samples 4",
    "evaluate": "--use_cpu true",
}
"""What a command is given besides; a later argument wins over an earlier one."""
_LENGTHS = {"--max_hours", "--num_train_epochs", "--max_tokens"}
_SHAPED = {"--discriminator_name_or_path", "--model_name_or_path", "--config"}


def shortened(words: list[str]) -> list[str]:
    """The words of a command, such that it takes seconds."""
    command, *words = words
    given = _values(words)
    if command == "pretrain":
        for name in _LENGTHS & given.keys():
            del words[words.index(name) : words.index(name) + 2]
    return [command, *words, *_FEW.get(command, "").split(), *_smaller(command, given)]


def _values(words: list[str]) -> dict[str, str]:
    """What follows each word."""
    return dict(zip(words, [*words[1:], ""], strict=True))


def _smaller(command: str, given: dict[str, str]) -> Iterator[str]:
    """Arguments that depend on what is given: layers, and data instead of the Hub's."""
    files = {"--train_file", "--validation_file", "--test_file", "--dataset_name", "--pairs_file"} & given.keys()
    if command in ("pretrain", "plan") and not _SHAPED & given.keys():
        layers = [given.get("--config_overrides"), "num_hidden_layers=1", "generator_num_hidden_layers=1"]
        yield from ("--config_overrides", ",".join(filter(None, layers)))
    if command == "pretrain" and "--validation_file" not in given:
        yield from ("--validation_documents", "20") if "--streaming" in given else ("--max_train_samples", "64")
    if command == "pretrain" and given.get("--preset") == "base":
        yield from ("--preset", "small")
    if (command == "finetune" or given.get("--task") == "probe" or given.get("--score") == "cola") and not files:
        yield from ("--dataset_name", "glue-files")
    if given.get("--task") == "probe":
        yield from ("--max_train_samples", "16", "--max_eval_samples", "8")
    if given.get("--task") == "blimp" and not files:
        yield from ("--pairs_file", "pairs.csv")


def environment(folder: Path) -> dict[str, str]:
    """Where the programs of a filled folder are found first, nothing is downloaded, and no card is used."""
    ours = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **ours, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}


def fill(folder: Path) -> None:
    """Makes all that the pages name."""
    programs(folder / "bin")
    _texts(folder)
    _tables(folder)
    _models(folder)
    for name in ("examples", "tests"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs")  # which the experiments' report writes anew


def programs(folder: Path) -> None:
    folder.mkdir()
    for name, words in {"python": "", "transformers-mcl": f" '{__file__}'"}.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}'{words} \"$@\"\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _texts(folder: Path) -> None:
    book = (_DEMO / "train.txt").read_text(encoding="utf-8")
    text, other = book[:60_000], book[-20_000:]
    for name in ("corpus", "domain", "text"):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    for name in ("held_out", "held-out", "other"):
        (folder / f"{name}.txt").write_text(other, encoding="utf-8")
    rows = "".join(json.dumps({"text": line}) + "\n" for line in text.splitlines() if line)
    (folder / "shards").mkdir()
    with gzip.open(folder / "shards" / "one.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(rows)
    for name in ("my-tokenizer", "TOKENIZER", "tokenizer", "fables-tokenizer"):
        shutil.copytree(_DEMO / "tokenizer", folder / name)


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    opened = gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8")
    with opened as file:
        file.write(lines)


def _tables(folder: Path) -> None:
    labels = [number % 2 for number in range(24)]
    single: list[dict[str, object]] = [{"sentence": f"a {('bad', 'good')[k]} film", "label": k} for k in labels]
    pairs = [{"sentence1": row["sentence"], "sentence2": "a fine film", "label": row["label"]} for row in single]
    answers = {"text": ["bob"], "answer_start": [0]}
    glue = {"sst2": single, "cola": single, **dict.fromkeys(("rte", "stsb", "mrpc"), pairs)}
    glue["squad_v2"] = [{"question": "who ?", "context": "bob was in rome", "answers": answers}] * 4
    for split in ("train", "validation"):
        for task, rows in glue.items():
            _write(folder / "glue-files" / task / f"{split}.jsonl", rows)
            _write(folder / "glue" / task / f"{split}.jsonl", rows)
        _write(folder / "sst2" / f"{split}.jsonl.gz", single)
        for task, (first, second) in {"mnli": ("premise", "hypothesis"), "qqp": ("question1", "question2")}.items():
            rows = [{first: row["sentence1"], second: row["sentence2"], "label": row["label"]} for row in pairs]
            _write(folder / "glue_filtered" / f"{task}.{split.replace('validation', 'valid')}.jsonl", rows)
    for name in ("train.csv", "test.csv", "dev.csv"):
        lines = [f"a {word} film,{word},who ?,bob,{word}" for word in ("bad", "good") * 8]
        (folder / name).write_text("\n".join(["text,label,question,answer,quality", *lines, ""]), encoding="utf-8")
    (folder / "pairs.csv").write_text("sentence_good,sentence_bad,UID\nbob lives,lives bob,order\n", encoding="utf-8")
    (folder / "verbs.csv").write_text("sentence_good,sentence_bad,verb\nbob lives,lives bob,live\n", encoding="utf-8")
    _write(folder / "pairs.jsonl.gz", [{"good": "bob lives", "bad": "lives bob", "phenomenon": "order"}])
    _write(folder / "blimp.jsonl.gz", [{"sentence_good": "bob lives", "sentence_bad": "lives bob", "UID": "order"}])
    _write(folder / "choices.jsonl", [{"context": "Box 0 has", "options": ["the ship.", "the map."], "label": 0}])
    row: dict[str, object] = {"input_prefix": "Box 0 has", "options": ["the ship.", "the map."], "numops": 1}
    _write(folder / "entity_tracking" / "one.jsonl", [row])
    boolq: list[dict[str, object]] = [{"question": "who ?", "passage": "a film", "answer": k == 1} for k in labels]
    for split in ("train", "validation"):
        _write(folder / "boolq" / f"{split}.jsonl", boolq)


def _models(folder: Path) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining

    from tests.families import save_encoder

    text = "pretrain --train_file corpus.txt --tokenizer_name my-tokenizer"
    for command in (
        f"{text} --preset small --output_dir my-pair",
        f"{text} --preset tiny --output_dir one",
        "finetune --task_name cola --model_name_or_path one --output_dir cola-1",
    ):
        words = [str(folder / "bin" / "transformers-mcl"), *command.split()]
        done = subprocess.run(words, cwd=folder, env=environment(folder), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.copyfile(folder / "one" / "recipe.yaml", folder / "recipe.yaml")
    for name in ("two", "three", "start", "my-mcl", "mcl-demo", "runs/mcl"):
        shutil.copytree(folder / "one", folder / name)
    for name, family, kind in [
        ("google/electra-small-discriminator", "electra", AutoModelForPreTraining),
        ("google/electra-small-generator", "electra", AutoModelForMaskedLM),
        ("answerdotai/ModernBERT-base", "modernbert", AutoModelForMaskedLM),
        ("google-bert/bert-base-uncased", "bert", AutoModelForMaskedLM),
        ("all-MiniLM-L6-v2", "bert", AutoModel),
    ]:
        save_encoder(folder / name, family, kind, length=512)
    fairseq = ROOT / "tests" / "fixtures" / "fairseq" / "mcl_base_like"
    for name in ("McmanusChen/MCL-base", "my-fairseq-folder"):
        shutil.copytree(fairseq, folder / name)
    for name in ("cola-2", "my-classifier"):
        shutil.copytree(folder / "cola-1", folder / name)


def _main() -> None:
    sys.path[0] = str(ROOT)
    from transformers_mcl.cli.main import COMMANDS, entry, main

    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        words = shortened(words)
        given = _values(words)
        made = Path(given.get("--output_dir", ""))
        if made.name and words[0] != "evaluate" and "--resume_from_checkpoint" not in given:
            shutil.rmtree(made, ignore_errors=True)  # readers begin without it
    entry(lambda: main(words))


if __name__ == "__main__":
    _main()
