"""Kills runs at random moments, has them go on, and compares their last weights with those of runs left alone.

    MKL_CBWR=AUTO OMP_NUM_THREADS=1 python -m tests.training.kills FOLDER --kills 60 --seed 0

Each command is forked from this process, which has imported everything. A third of the kills is aimed at the moment in
which a checkpoint is written; the others come at any time of a run. A run that was killed is started again by the same
words, `--resume_from_checkpoint auto` among them, until it ends. Prints a table, and exits with 1 if a run was refused
or ended with other weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests.training.test_resume import SMALL, write_text
from transformers_mcl.cli import finetune as _finetune  # noqa: F401  imported before forking
from transformers_mcl.cli import pretrain as _pretrain  # noqa: F401
from transformers_mcl.cli.main import main
from transformers_mcl.io import markdown_table
from transformers_mcl.training.checkpoints import INCOMPLETE
from transformers_mcl.training.run import DEMO_FOLDER

EVERY_THREE = "--save_steps 3 --save_total_limit 1"
BEST = f"{EVERY_THREE} --eval_strategy steps --eval_steps 3 --load_best_model_at_end true"
SCENARIOS = {
    "cached, linear decay, accumulation": f"{EVERY_THREE} --gradient_accumulation_steps 2 --eval_strategy no",
    "cached, constant, 2 loader workers, batch warm-up": f"{EVERY_THREE} --lr_scheduler_type constant "
    "--dataloader_num_workers 2 --batch_size_warmup_steps 6 --eval_strategy no",
    "cached, cosine, best model": f"{BEST} --lr_scheduler_type cosine",
    "streamed, constant": f"{EVERY_THREE} --lr_scheduler_type constant --streaming true --shuffle_buffer_size 5 "
    "--eval_strategy no",
    "streamed, warm-up, stable, decay, best model": f"{BEST} --lr_scheduler_type warmup_stable_decay "
    '--lr_scheduler_kwargs {"num_decay_steps":4} --streaming true --shuffle_buffer_size 5',
    "fine-tuning, linear decay, best model": f"{BEST} --lr_scheduler_type linear",
}


@dataclass
class Count:
    """What became of a scenario.

    Attributes:
        fell_in: how many kills found a checkpoint half-written.
    """

    kills: int = 0
    fell_in: int = 0
    ended: int = 0
    refused: list[str] = field(default_factory=list)
    equal: int = 0


def words(name: str, folder: Path, output: str) -> list[str]:
    """The command of a scenario."""
    given = {"output_dir": folder / output, "use_cpu": "true", "disable_tqdm": "true"}
    given |= {"resume_from_checkpoint": "auto", "per_device_train_batch_size": 4, "max_seq_length": 32}
    if name.startswith("fine-tuning"):
        rows = folder / "rows.jsonl"
        given |= {"train_file": rows, "validation_file": rows, "model_name_or_path": folder / "pair"}
        given |= {"num_train_epochs": 2}  # of 7 steps
    else:
        text = folder / "text.txt"
        given |= {"train_file": text, "validation_file": text, "max_eval_samples": 4, "preset": "tiny"}
        given |= {"tokenizer_name": DEMO_FOLDER / "tokenizer", "config_overrides": SMALL, "max_steps": 14}
        if "cached" in name:
            given |= {"max_train_samples": 28}  # 7 steps an epoch
    command = "finetune" if name.startswith("fine-tuning") else "pretrain"
    return [command, *(str(w) for pair in given.items() for w in (f"--{pair[0]}", pair[1])), *SCENARIOS[name].split()]


def start(command: list[str], log: Path) -> int:
    """The process of a command; what it says goes into `log`."""
    if process := os.fork():
        return process
    status = 1
    try:
        said = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        status = main(command)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(process: int, until: float) -> int | None:
    """The exit code; None if it still runs at that time."""
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def half_written(output: Path) -> bool:
    return next(output.glob(f"checkpoint-*/{INCOMPLETE}"), None) is not None


def aimed(process: int, output: Path, limit: float) -> int | None:
    """Waits until a checkpoint is being written that was not when the command began; the exit code if it ends."""
    before = {path: path.stat().st_ino for path in output.glob(f"checkpoint-*/{INCOMPLETE}")}
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if (code := ended(process, 0)) is not None:
            return code
        for path in output.glob(f"checkpoint-*/{INCOMPLETE}"):
            try:
                if before.get(path) != path.stat().st_ino:
                    return None
            except FileNotFoundError:  # it is whole now
                pass
        time.sleep(0.001)
    return None


def kill_some(name: str, folder: Path, kills: int, draws: random.Random) -> Count:
    """Kills runs of a scenario so many times, and has each go on to its end."""
    number = list(SCENARIOS).index(name)
    log, whole = folder / f"log-{number}.txt", folder / f"whole-{number}"
    began = time.monotonic()
    code = ended(start(words(name, folder, whole.name), log), until=float("inf"))
    seconds = time.monotonic() - began
    if code != 0:
        raise RuntimeError(f"{name}: the run that was left alone ended with {code}: {log.read_text()[-2000:]}")
    count = Count()
    output = folder / f"killed-{number}-0"
    while count.kills < kills or output.exists():
        process = start(words(name, folder, output.name), log)
        code = None
        if count.kills < kills:
            if count.kills % 3 == 0:
                code = aimed(process, output, limit=10 * seconds)
                after = draws.uniform(0, 0.03)
            else:
                after = draws.uniform(0.05, 1.05) * seconds
            code = ended(process, time.monotonic() + after) if code is None else code
            if code is None:
                os.kill(process, signal.SIGKILL)
        code = ended(process, until=float("inf")) if code is None else code
        if code == -signal.SIGKILL:
            count.kills += 1
            count.fell_in += half_written(output)
            continue
        count.ended += 1
        if code != 0:
            count.refused.append(f"{name}: {code}: {log.read_text()[-1000:]}")
        else:
            left, right = ((path / "model.safetensors").read_bytes() for path in (output, whole))
            count.equal += left == right
        output = folder / f"killed-{number}-{count.ended}"
    return count


def prepare(folder: Path) -> None:
    """The text, the examples, and the pair to fine-tune."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder)
    draws = random.Random(1)
    lines = [
        json.dumps({"sentence": " ".join(draws.choices("the of and to a in that".split(), k=8)), "label": "ab"[i % 2]})
        for i in range(28)
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    code = ended(start(words(next(iter(SCENARIOS)), folder, "pair"), folder / "log.txt"), until=float("inf"))
    if code != 0:
        raise RuntimeError((folder / "log.txt").read_text()[-2000:])


def table(counts: dict[str, Count]) -> str:
    head = ["run", "kills", "in a half-written checkpoint", "ended", "refused", "weights bit-equal"]
    of_all = ["all", *(str(sum(getattr(c, name) for c in counts.values())) for name in ("kills", "fell_in", "ended"))]
    of_all += [str(sum(len(c.refused) for c in counts.values())), str(sum(c.equal for c in counts.values()))]
    return markdown_table(head, [*_rows(counts), of_all])


def _rows(counts: dict[str, Count]) -> Iterator[list[str]]:
    for name, c in counts.items():
        yield [name, *map(str, (c.kills, c.fell_in, c.ended, len(c.refused), c.equal))]


def run() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=60, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws = random.Random(args.seed)
    prepare(args.folder)
    counts: dict[str, Count] = {}
    for name in SCENARIOS:
        counts[name] = kill_some(name, args.folder, args.kills // len(SCENARIOS), draws)
        sys.stdout.write(f"{table(counts)}\n\n")
        sys.stdout.flush()
    sys.stdout.write("\n".join(line for count in counts.values() for line in count.refused))
    return int(any(c.equal < c.ended for c in counts.values()))


if __name__ == "__main__":
    sys.exit(run())
