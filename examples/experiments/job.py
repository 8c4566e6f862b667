"""One run of an experiment, called by `run.py`: trains, judges, writes down what came of it. Killed, it goes on."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import PartialState

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from course_soups.results import LOSS
from course_soups.run import run as run_study
from course_soups.study import INGREDIENTS
from experiments.alike import LAYOUT, has_detector
from experiments.plan import going_on, named, parse
from transformers_mcl.cli.main import entry, main
from transformers_mcl.errors import UserError
from transformers_mcl.io import read_json, versions, write_json, write_text
from transformers_mcl.training.checkpoints import last_checkpoint
from transformers_mcl.training.precision import device_name, multiplies_bf16
from transformers_mcl.training.run import prepare

ENVIRONMENT = "environment.json"
LIBRARIES = ("transformers-mcl", "torch", "transformers", "datasets", "accelerate", "numpy")
# Of what a trainer logs, what is kept with its operations.
CURVE = ("loss", "mlm_loss", "slm_loss", "rtd_disc_auc", "std_disc_auc", "itd_disc_auc", "rtd_masked_lm_accuracy")


def run_job(path: Path) -> None:
    """Does what the job says, leaves out what is done, and writes its results.

    Args:
        path: a YAML file, as `run.py` writes it: what the run is called, its seed, and what each command is told.

    Raises:
        UserError: a command failed.
    """
    text = path.read_text(encoding="utf-8")
    job = yaml.safe_load(text)
    folder = path.parent
    if writes() and not (folder / ENVIRONMENT).is_file():  # it may be judged elsewhere, or later
        write_json(folder / ENVIRONMENT, environment(job), **LAYOUT)
    for name, pair in TRAINED[job["kind"]](job, folder):
        results = judge(job, pair, folder if pair == folder / "pair" else pair)
        if writes():
            results |= read_json(folder / ENVIRONMENT)
            file = Path(job["results"], f"{name}-seed-{job['seed']}.json")
            write_json(file, results | {"run": name}, **LAYOUT)
    if writes():
        write_text(folder / "done", text)


def writes() -> bool:
    """Whether this process is the one that writes, of those of a launch."""
    return int(os.environ.get("RANK", "0")) == 0


def command(*words: str, arguments: dict[str, Any], file: Path) -> None:
    """A command of the package, its arguments in a file whose name comes last."""
    check_status(f"transformers-mcl {words[0]}", main([*words, save_arguments(arguments, file)]))


def save_arguments(arguments: dict[str, Any], file: Path) -> str:
    """Writes arguments, for all processes of a launch; the name of the file."""
    if writes():
        write_text(file, yaml.safe_dump(arguments, sort_keys=False, allow_unicode=True))
    if "RANK" in os.environ:
        PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()
    return str(file)


def check_status(name: str, status: int) -> None:
    if status:
        raise UserError(f"{name} ended with the exit status {status}")


def pretrain(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    pair = folder / "pair"
    if read_json(pair / "eval_results.json") is None:
        given = {**job["pretrain"], "output_dir": str(pair), "seed": job["seed"]}
        if job["starts_from"]:
            given["model_name_or_path"] = job["starts_from"]
        goes_on = "resume_from_checkpoint" if last_checkpoint(pair) else "overwrite_output_dir"
        command("pretrain", "--config", arguments=given | {goes_on: True}, file=folder / "pretrain.yaml")
    yield job["name"], pair


def peer(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    pair = folder / "pair"
    if read_json(pair / "eval_results.json") is None:
        from experiments.peer import run  # of all jobs, it alone needs a package that is no dependency of ours

        given = {**job["pretrain"], "output_dir": str(pair), "seed": job["seed"], "overwrite_output_dir": True}
        run(["--config", save_arguments(given, folder / "pretrain.yaml")])
    yield job["name"], pair


def soups(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """The study of course soups, from a pair that is trained: its soups, and its best ingredient by held-out loss."""
    before = folder / "recipe"  # its name when the first were begun
    made = before if before.is_dir() else folder / "study"
    if read_json(made / "results.json") is None:
        given = {**job["pretrain"], "model_name_or_path": job["starts_from"], "output_dir": str(made)}
        given |= {"seed": job["seed"], "ingredients": list(INGREDIENTS), **job["soups"]}
        check_status("course_soups/run.py", run_study(["--config", save_arguments(given, folder / "soups.yaml")]))
    scores = json.loads((made / "results.json").read_text(encoding="utf-8"))["scores"]
    best = min(INGREDIENTS, key=lambda name: scores[name][LOSS])
    yield f"{job['name']}_best_ingredient", made / "ingredients" / best
    for method in job["soups"]["methods"]:
        yield f"{job['name']}_{method}", made / "soups" / method


def reference(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """An encoder that others trained, as it is."""
    yield job["name"], Path(job["reference"])


TRAINED: dict[str, Callable[[dict[str, Any], Path], Iterator[tuple[str, Path]]]] = {
    "pretrain": pretrain,
    "peer": peer,
    "soups": soups,
    "reference": reference,
}


def judge(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, Any]:
    """Everything that is known of a pair: held-out figures, what judges say of it, and how it came about."""
    results: dict[str, Any] = {key: job[key] for key in ("label", "kind", "scale", "seed", "soups")}
    results |= {key: named(job.get(key)) for key in ("pretrain", *(asked for _, asked in JUDGES))}
    if job["kind"] == "reference":
        results["label"] += f": {pair.name}"
    else:
        results |= {"pair": str(pair.relative_to(Path(job["results"]).parent)), **training(pair)}
        results["held_out"] = held_out(job, pair, folder)
    for by, asked in JUDGES:
        if job.get(asked) is not None:
            results[by.__name__] = by(job, pair, folder)
    return results


def probes(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, Any]:
    """By task its metric, and the score of each layer of the frozen encoder."""
    out, file = folder / "probe", folder / "probe.yaml"
    given = {**job["probe"], "model_name_or_path": str(pair), "output_dir": str(out)}
    forget_other(out, file, given)
    if not (out / "results.json").is_file():
        command("evaluate", "--task", "probe", "--config", arguments=given, file=file)
    return {
        task: {
            "metric": of["metric"],
            "scores": {layer: figures[of["metric"]] for layer, figures in of["layers"].items()},
        }
        for task, of in json.loads((out / "results.json").read_text(encoding="utf-8"))["results"].items()
    }


def blimp(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, Any]:
    """How many minimal pairs each half has right that has learnt to judge them."""
    out = folder / "blimp"
    given = {**job["evaluate"], "model_name_or_path": str(pair), "output_dir": str(out)}
    if not has_detector(pair):
        given["scorer"] = "generator"
    command("evaluate", "--task", "blimp", "--config", arguments=given, file=folder / "blimp.yaml")
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))["results"]
    return {half: summary["all"]["all"] for half, summary in found.items()}


def glue(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, Any]:
    """By task its metric, and the score of each fine-tuning."""
    out, file = folder / "glue", folder / "glue.yaml"
    given = {**job["finetune"], "model_name_or_path": str(pair), "output_dir": str(out), "seed": job["seed"]}
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:  # as many rows a step as on one device
        rows = parse("finetune", given)[2].per_device_train_batch_size
        given["per_device_train_batch_size"] = max(1, rows // processes)
    forget_other(out, file, given)
    command("finetune", "--config", arguments=given, file=file)
    found: dict[str, Any] = {}
    for run in json.loads((out / "results.json").read_text(encoding="utf-8"))["runs"]:
        task = found.setdefault(run["task"], {"metric": run["main_metric"], "scores": []})
        task["scores"].append(run["metrics"][run["main_metric"]])
    return found


def forget_other(out: Path, file: Path, given: dict[str, Any]) -> None:
    """Removes the folder of a judge that was told otherwise when it ran before."""
    if file.is_file() and yaml.safe_load(file.read_text(encoding="utf-8")) != given:
        shutil.rmtree(out, ignore_errors=True)


JUDGES = ((probes, "probe"), (blimp, "evaluate"), (glue, "finetune"))
"""What judges, under whose name its part of the results is; and what its arguments are called in a job."""


def held_out(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, float]:
    """Figures on the held-out text: what training ended with, or measured now, since a soup has none."""
    values = read_json(pair / "eval_results.json")
    if values is None:
        given = {**going_on(job["pretrain"]), "model_name_or_path": str(pair), "output_dir": str(folder / "held-out")}
        run = prepare(*parse("pretrain", given))
        values = run.trainer.evaluate() | run.baselines
        if writes():
            write_json(pair / "eval_results.json", values)
    names = ("loss", "auc", "accuracy", "precision", "recall", "pos", "entropy", "token")
    return {k.removeprefix("eval_"): v for k, v in values.items() if any(name in k for name in names)}


def training(pair: Path) -> dict[str, Any]:
    """How long it took, in steps, tokens, operations and seconds, and its curves over operations."""
    state = read_json(pair / "trainer_state.json")
    if state is None:  # a soup
        return {}
    logs, total = state["log_history"], state["total_flos"]
    steps, flops, seconds, tokens = [0], [0.0], 0.0, 0
    for log in logs:
        if "tokens_per_second" in log:  # steps do not all cost the same: courses may begin later
            spent = (log["train_tokens_seen"] - tokens) / log["tokens_per_second"]
            seconds, tokens = seconds + spent, log["train_tokens_seen"]
            flops.append(min(flops[-1] + spent * log["flops_per_second"], total))
            steps.append(log["step"])
    if steps[-1] < state["global_step"]:
        steps, flops = [*steps, state["global_step"]], [*flops, total]
    curve = []
    for log in logs:
        if kept := {name: value for name, value in log.items() if name.removeprefix("eval_") in CURVE}:
            curve.append({"step": log["step"], "flops": float(np.interp(log["step"], steps, flops)), **kept})
    return {
        "steps": state["global_step"],
        "tokens": state["num_input_tokens_seen"],
        "epochs": state.get("epoch"),
        "flops": total,
        "seconds": seconds or next(log["train_runtime"] for log in logs if "train_runtime" in log),
        "curve": curve,
    }


def environment(job: dict[str, Any]) -> dict[str, Any]:
    """Versions and hardware, as a run begins."""
    on_gpu = torch.cuda.is_available() and not job["pretrain"].get("use_cpu")
    device = f"{device_name('cpu')} CPU, {torch.get_num_threads()} thread(s)"
    if on_gpu:
        device = f"{os.environ.get('WORLD_SIZE', '1')} x {device_name('cuda')}"
    return {
        "versions": {"python": platform.python_version(), **versions(*LIBRARIES)},
        "hardware": device,
        "bf16": job["pretrain"].get("bf16", multiplies_bf16("cuda" if on_gpu else "cpu")[0]),
    }


def start(words: list[str]) -> int:
    """The exit status. A run that cannot go on, diverged say, is no reason to leave out others: never 2."""
    try:
        run_job(Path(words[0]))
    except UserError as error:
        print(f"{words[0]}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    entry(lambda: start(sys.argv[1:]))
