"""What the tests of the experiments share: the scripts, jobs and results of toy size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.training.run import DEMO_FOLDER

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "experiments"
MODULES = ("plan", "report", "job", "alike", "run")
SCALES = sorted(path.stem for path in (FOLDER / "scales").glob("*.yaml"))
SHAPE = "hidden_size=16,embedding_size=16,num_hidden_layers=1,intermediate_size=16,generator_hidden_size=16,"
SHAPE += "generator_num_hidden_layers=1,generator_intermediate_size=16"


def planner(scripts: dict[str, Any], scale: str) -> Any:
    planning = scripts["plan"]
    tokenizer = load_tokenizer(str(DEMO_FOLDER / "tokenizer"))
    return planning.Planner(planning.load_scale(scale), planning.load_questions()[1], {}, tokenizer)


def asked(scripts: dict[str, Any], plan: Any) -> list[Any]:
    """The runs of all questions that are asked at a planner's scale."""
    questions, runs = scripts["plan"].load_questions()
    return [runs[name] for name in sorted({r for q in plan.scale.asked(questions) for r in questions[q].runs})]


def named_runs(scripts: dict[str, Any], plan: Any) -> list[tuple[str, Any]]:
    """Each run that is trained at a planner's scale, with its question."""
    questions, runs = scripts["plan"].load_questions()
    asked = plan.scale.asked(questions)
    return [(q, runs[run]) for q in asked for run in questions[q].runs if runs[run].kind != "reference"]


def make_job(tmp_path: Path, **more: Any) -> Path:
    folder = tmp_path / "runs" / more.get("name", "mcl") / "seed-3"
    folder.mkdir(parents=True)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the chef cooked {number} meals for the guests of the house" for number in range(60)))
    (tmp_path / "pairs.csv").write_text("sentence_good,sentence_bad\nthe chef cooks,the chefs cooks\nThe,the\n")
    examples = [{"sentence": f"a meal {number}", "label": number % 2} for number in range(8)]
    (tmp_path / "task.jsonl").write_text("\n".join(map(json.dumps, examples)))
    pretrain = {
        "preset": "tiny",
        "config_overrides": SHAPE,
        "train_file": [str(text)],
        "validation_file": [str(text)],
        "tokenizer_name": str(DEMO_FOLDER / "tokenizer"),
        "max_steps": 5,
        "course_warmup_steps": 3,
        "per_device_train_batch_size": 4,
        "max_eval_samples": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "logging_steps": 2,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    files = {"train_file": [str(tmp_path / "task.jsonl")], "validation_file": [str(tmp_path / "task.jsonl")]}
    finetune = {**files, "max_steps": 1, "eval_strategy": "no", "save_models": False, "use_cpu": True}
    evaluate = {"pairs_file": [str(tmp_path / "pairs.csv")], "use_cpu": True}
    job = {"name": "mcl", "label": "MCL", "kind": "pretrain", "seed": 3, "scale": "test", "pretrain": pretrain}
    job |= {"starts_from": None, "soups": {}, "results": str(tmp_path / "results")}
    job |= {"evaluate": evaluate, "finetune": finetune, **more}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


def probing(tmp_path: Path) -> dict[str, Any]:
    files = {"train_file": [str(tmp_path / "task.jsonl")], "validation_file": [str(tmp_path / "task.jsonl")]}
    return {**files, "C": 0.1, "use_cpu": True}


def command(tmp_path: Path, *words: str) -> list[str]:
    (tmp_path / "text.txt").write_text("a text")
    given = ["--output_dir", str(tmp_path / "out"), "--train_file", str(tmp_path / "text.txt"), "--use_cpu", "true"]
    return [*given, "--tokenizer_name", str(DEMO_FOLDER / "tokenizer"), *words]


def make_result(run: str, seed: int, loss: float, flops: float = 1e12, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"run": run, "label": run.upper(), "kind": "pretrain", "seed": seed, "scale": "cpu"}
    result |= {"versions": {"torch": "2.13.0"}, "hardware": "a CPU", "steps": 10, "tokens": 10, "flops": flops}
    result["epochs"] = 0.5
    result |= {"seconds": 3600, "curve": [{"flops": flops, "step": 10, "eval_mlm_loss": loss}]}
    return result | {"held_out": {"mlm_loss": loss}, "glue": {"sst2": {"metric": "accuracy", "scores": [0.7]}}} | more
