"""One run of an experiment, called by `run.py`: trains, judges, writes down what came of it. Killed, it goes on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import entry, main
from transformers_mcl.data import DataArguments
from transformers_mcl.soups.recipe import INGREDIENTS
from transformers_mcl.soups.recipe_results import LOSS
from transformers_mcl.training.arguments import MclTrainingArguments
from transformers_mcl.training.checkpoints import last_checkpoint
from transformers_mcl.training.pretraining import ModelArguments, prepare, recipe_path

LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "numpy")
# Of what a trainer logs, what the page draws over operations.
CURVE = ("loss", "mlm_loss", "slm_loss", "rtd_disc_auc", "std_disc_auc", "itd_disc_auc", "rtd_masked_lm_accuracy")
# What makes a pair, and is not said to a run that goes on from one.
OF_A_NEW_PAIR = ("preset", "objective", "config_overrides", "discriminator_weight", "loss_weights")


class Failed(Exception):
    """A command ended with another status than 0."""


def run_job(path: Path) -> int:
    """Does what the job says, leaves out what is done, and writes its results.

    Args:
        path: a YAML file, as `run.py` writes it: what the run is called, its seed, and what each command is told.
    """
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    folder = path.parent
    try:
        for name, pair in TRAINED[job["kind"]](job, folder):
            results = judge(job, pair, folder if pair == folder / "pair" else pair)
            write_json(Path(job["results"]) / f"{name}-seed-{job['seed']}.json", results | {"run": name})
    except Failed as error:
        return int(str(error))
    (folder / "done").touch()
    return 0


def command(*words: str, arguments: dict[str, Any], file: Path) -> None:
    """A command of the package, its arguments in a file whose name comes last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(arguments, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if status := main([*words, str(file)]):
        raise Failed(str(status))


def pretrain(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    pair = folder / "pair"
    if not (pair / "eval_results.json").is_file():
        given = dict(job["pretrain"])
        if job["starts_from"]:
            preset = yaml.safe_load(recipe_path(given["preset"]).read_text(encoding="utf-8"))
            given = {k: v for k, v in (preset | given).items() if k not in OF_A_NEW_PAIR}
            given["model_name_or_path"] = job["starts_from"]
        given |= {"output_dir": str(pair), "seed": job["seed"]}
        goes_on = "resume_from_checkpoint" if last_checkpoint(pair) else "overwrite_output_dir"
        command("pretrain", "--config", arguments=given | {goes_on: True}, file=folder / "pretrain.yaml")
    yield job["name"], pair


def peer(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    pair = folder / "pair"
    if not (pair / "eval_results.json").is_file():
        from peer import run  # beside this file; needs a package that is no dependency of ours

        file = folder / "pretrain.yaml"
        given = {**job["pretrain"], "output_dir": str(pair), "seed": job["seed"], "overwrite_output_dir": True}
        file.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
        run(["--config", str(file)])
    yield job["name"], pair


def soups(job: dict[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """The paper's recipe, from a pair that is trained: its soups, and its best ingredient by held-out loss."""
    made = folder / "recipe"
    if not (made / "results.json").is_file():
        preset = yaml.safe_load(recipe_path(job["pretrain"]["preset"]).read_text(encoding="utf-8"))
        given = {k: v for k, v in (preset | job["pretrain"]).items() if k not in OF_A_NEW_PAIR}
        given |= {"model_name_or_path": job["starts_from"], "output_dir": str(made), "seed": job["seed"]}
        given |= {"ingredients": list(INGREDIENTS)}
        command("soup", "--recipe", arguments=given | job["soups"], file=folder / "soups.yaml")
    scores = json.loads((made / "results.json").read_text(encoding="utf-8"))["scores"]
    best = min(INGREDIENTS, key=lambda name: scores[name][LOSS])
    yield f"{job['name']}_best_ingredient", made / "ingredients" / best
    for method in job["soups"]["methods"]:
        yield f"{job['name']}_{method}", made / "soups" / method


TRAINED: dict[str, Callable[[dict[str, Any], Path], Iterator[tuple[str, Path]]]] = {
    "pretrain": pretrain,
    "peer": peer,
    "soups": soups,
}


def judge(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, Any]:
    """Everything that is known of a pair: held-out figures, minimal pairs, fine-tuning, and how it came about."""
    results: dict[str, Any] = {key: job[key] for key in ("label", "kind", "scale", "seed", "starts_from")}
    results |= {"arguments": job["pretrain"], **environment(), **training(pair)}
    results["held_out"] = held_out(job, pair, folder)
    if job.get("evaluate") is not None:
        out = folder / "blimp"
        given = {**job["evaluate"], "model_name_or_path": str(pair), "output_dir": str(out)}
        if not (out / "results.json").is_file():
            command("evaluate", "--task", "blimp", "--config", arguments=given, file=folder / "blimp.yaml")
        found = json.loads((out / "results.json").read_text(encoding="utf-8"))["results"]
        results["blimp"] = {half: summary["all"]["all"] for half, summary in found.items()}
    if job.get("finetune") is not None:
        out = folder / "glue"
        given = {**job["finetune"], "model_name_or_path": str(pair), "output_dir": str(out), "seed": job["seed"]}
        command("finetune", "--config", arguments=given, file=folder / "glue.yaml")
        runs = json.loads((out / "results.json").read_text(encoding="utf-8"))["runs"]
        results["glue"] = {}
        for run in runs:
            task = results["glue"].setdefault(run["task"], {"metric": run["main_metric"], "scores": []})
            task["scores"].append(run["metrics"][run["main_metric"]])
    return results


def held_out(job: dict[str, Any], pair: Path, folder: Path) -> dict[str, float]:
    """Figures on the held-out text: what training ended with, or measured now, since a soup has none."""
    file = pair / "eval_results.json"
    if not file.is_file():
        given = {k: v for k, v in job["pretrain"].items() if k not in OF_A_NEW_PAIR}
        given |= {"model_name_or_path": str(pair), "output_dir": str(folder / "held-out")}
        (folder / "held-out.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        parsed = parse_arguments(
            (ModelArguments, DataArguments, MclTrainingArguments),
            ["--config", str(folder / "held-out.yaml")],
            prog="held out",
            description="",
        )
        model_args, data_args, args = parsed
        run = prepare(model_args, data_args, args)
        write_json(file, run.trainer.evaluate() | run.baselines)
    values = json.loads(file.read_text(encoding="utf-8"))
    return {k.removeprefix("eval_"): v for k, v in values.items() if isinstance(v, float) and "_second" not in k}


def training(pair: Path) -> dict[str, Any]:
    """How long it took, in steps, tokens, operations and seconds, and its curves over operations."""
    try:
        state = json.loads((pair / "trainer_state.json").read_text(encoding="utf-8"))
    except OSError:  # a soup
        return {}
    curve, per_step = [], state["total_flos"] / max(state["global_step"], 1)
    for entry_ in state["log_history"]:
        if "loss" in entry_ or "eval_loss" in entry_:
            kept = {k: v for k, v in entry_.items() if k.removeprefix("eval_") in CURVE}
            curve.append(
                {"step": entry_["step"], "flops": entry_.get("total_flos", per_step * entry_["step"]), **kept}
            )
    last = next((e for e in reversed(state["log_history"]) if "train_runtime" in e), {})
    return {
        "steps": state["global_step"],
        "tokens": state["num_input_tokens_seen"],
        "flops": state["total_flos"],
        "seconds": last.get("train_runtime"),
        "curve": curve,
    }


def environment() -> dict[str, Any]:
    """Versions and hardware."""
    device = f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"versions": {"python": platform.python_version(), **versions}, "hardware": device}


def write_json(path: Path, content: Any) -> None:
    """The file appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)


if __name__ == "__main__":
    entry(lambda: run_job(Path(sys.argv[1])))
