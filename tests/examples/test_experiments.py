"""The experiments: what is run at equal compute, one run from its job to its results, and the page made of them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.errors import UserError
from transformers_mcl.training.pretraining import DEMO_FOLDER

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "experiments"
MODULES = ("recipes", "pictures", "report", "job", "run")
SCALES = sorted(path.stem for path in (FOLDER / "scales").glob("*.yaml"))
SHAPE = "hidden_size=16,embedding_size=16,num_hidden_layers=1,intermediate_size=16,generator_hidden_size=16,"
SHAPE += "generator_num_hidden_layers=1,generator_intermediate_size=16"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, Any]]:
    """The modules of the folder, which find each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            del sys.modules[name]


@pytest.mark.parametrize("scale", SCALES)
def test_equal_compute_is_equal_to_a_step(scripts: dict[str, Any], scale: str) -> None:
    recipes = scripts["recipes"]
    questions, runs = recipes.load_questions()
    planner = recipes.Planner(recipes.load_scale(scale), runs, {}, load_tokenizer(str(DEMO_FOLDER / "tokenizer")))
    assert all(planner.arguments(name)["max_steps"] == planner.steps(name) > 0 for name in runs)
    bound = [run for run in runs.values() if run.compute_of]
    assert {"electra_long", "mcl_fifth", "sampled_three", "joint", "late"} <= {run.name for run in bound}
    for run in bound:
        step = planner.flops(run.name) / planner.steps(run.name)
        more = planner.flops(run.name) - run.share * planner.flops(run.compute_of)
        assert 0 <= more < 2 * step, run.name  # `late` has steps that cost more than its mean
    assert planner.steps("electra_long") > 4 * planner.steps("electra") == 4 * planner.steps("mcl")
    assert {run for question in questions.values() for run in question.runs} == runs.keys()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"runs": {"a": None}}, "no question defines the run a"),
        ({"runs": {"a": {"step": 3}}}, "run a has step"),
        ({"runs": {"a": {"kind": "train"}}}, "kind 'train'"),
        ({"runs": {"a": {"starts_from": "b"}}}, "no question defines the run b"),
        ({"runs": {"a": {}}, "compare": [["a", "b"]]}, "compares 'b'"),
        ({"runs": {"a": {}}, "colour": "red"}, "the file has colour"),
    ],
)
def test_mistakes_in_a_question(scripts: dict[str, Any], tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "1-q.yaml").write_text(yaml.safe_dump({"title": "?", "text": "?", **content}))
    with pytest.raises(UserError, match=said):
        scripts["recipes"].load_questions(tmp_path)


def make_job(tmp_path: Path, **more: Any) -> Path:
    folder = tmp_path / "runs" / "mcl" / "seed-3"
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
        "max_steps": 4,
        "course_warmup_steps": 0,
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


def test_a_job_writes_all_that_is_known_of_a_run_and_goes_on(scripts: dict[str, Any], tmp_path: Path) -> None:
    path = make_job(tmp_path)
    assert scripts["job"].run_job(path) == 0
    result = json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())
    assert (result["run"], result["seed"], result["steps"], result["tokens"]) == ("mcl", 3, 4, 4 * 4 * 32)
    assert result["flops"] > 0 and result["seconds"] > 0 and "CPU" in result["hardware"]
    assert {"torch", "transformers", "python"} <= result["versions"].keys()
    assert result["arguments"]["max_steps"] == 4
    assert {"mlm_loss", "rtd_disc_auc", "std_disc_auc", "itd_disc_auc"} <= result["held_out"].keys()
    assert [point["step"] for point in result["curve"] if "eval_mlm_loss" in point] == [2, 4]
    assert result["curve"][-1]["flops"] == result["flops"]
    assert {half: found["pairs"] for half, found in result["blimp"].items()} == {"generator": 2, "discriminator": 2}
    assert result["glue"]["text_classification"]["metric"] == "accuracy"
    weights = (path.parent / "pair" / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "results" / "mcl-seed-3.json").unlink()
    assert scripts["job"].run_job(path) == 0  # killed before its results were written
    assert (path.parent / "pair" / "model.safetensors").stat().st_mtime_ns == weights
    assert json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())["held_out"] == result["held_out"]


def test_a_refused_job_passes_its_status_on(scripts: dict[str, Any], tmp_path: Path) -> None:
    path = make_job(tmp_path)
    job = yaml.safe_load(path.read_text())
    job["pretrain"]["learning_rte"] = 1
    path.write_text(yaml.safe_dump(job))
    assert scripts["job"].run_job(path) == 2
    assert not (path.parent / "done").exists() and not (tmp_path / "results").exists()


def command(tmp_path: Path, *words: str) -> list[str]:
    (tmp_path / "text.txt").write_text("a text")
    given = ["--output_dir", str(tmp_path / "out"), "--train_file", str(tmp_path / "text.txt"), "--use_cpu", "true"]
    return [*given, "--tokenizer_name", str(DEMO_FOLDER / "tokenizer"), *words]


def test_says_what_there_is_to_do(scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scripts["run"].run(["equal_compute", "soup", *command(tmp_path, "--dry_run", "true", "--seeds", "4")]) == 0
    first, *jobs = capsys.readouterr().out.splitlines()
    assert first.startswith("8 runs, 0 of them done")
    assert [line.split(":")[0].strip() for line in jobs][-2:] == ["soup seed 4", "mcl_on seed 4"]  # after mcl
    soup = yaml.safe_load((tmp_path / "out" / "runs" / "soup" / "seed-4" / "job.yaml").read_text())
    assert soup["starts_from"] == str(tmp_path / "out" / "runs" / "mcl" / "seed-4" / "pair")
    (tmp_path / "out" / "runs" / "electra" / "seed-4" / "done").touch()
    assert scripts["run"].run(["equal_compute", *command(tmp_path, "--dry_run", "true", "--seeds", "4")]) == 0
    assert "6 runs, 1 of them done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["equal_steps"], "there is no question 'equal_steps'; choose from equal_compute"),
        (["--scale", "huge"], "there is no 'huge'; choose from base, cpu, small"),
        (["--num_jobs", "0", "--dry_run", "true"], "num_jobs=0"),
    ],
)
def test_mistakes_are_one_line(
    scripts: dict[str, Any], tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripts["run"].run([*words, *command(tmp_path)] if "--" not in words[0] else command(tmp_path, *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: error: ") and error.count("\n") == 1 and said in error


def test_other_arguments_than_a_run_was_begun_with_are_refused(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripts["run"].run(["baseline", *command(tmp_path, "--dry_run", "true")]) == 0
    more = ["--validation_file", str(tmp_path / "text.txt"), "--dry_run", "true"]
    assert scripts["run"].run(["baseline", *command(tmp_path, *more)]) == 2
    assert "begun with other arguments" in capsys.readouterr().err


def make_result(run: str, seed: int, loss: float, flops: float = 1e12, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"run": run, "label": run.upper(), "kind": "pretrain", "seed": seed, "scale": "cpu"}
    result |= {"versions": {"torch": "2.13.0"}, "hardware": "a CPU", "steps": 10, "tokens": 10, "flops": flops}
    result |= {"seconds": 3600, "curve": [{"flops": flops, "step": 10, "eval_mlm_loss": loss}]}
    return result | {"held_out": {"mlm_loss": loss}, "glue": {"sst2": {"metric": "accuracy", "scores": [0.7]}}} | more


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({1: 4.0, 2: 4.1, 3: 4.2}, {1: 5.0, 2: 5.0, 3: 5.1}, "**+0.933** ± 0.033"),
        ({1: 4.0, 2: 4.1, 3: 5.3}, {1: 5.0, 2: 5.0, 3: 5.1}, "+0.567 ± 0.384, within the spread"),
        ({1: 4.0, 2: 4.9, 3: 4.9}, {1: 5.0, 2: 5.0, 3: 5.0}, "+0.400 ± 0.300, within the spread"),
        ({1: 5.0, 2: 5.1}, {1: 4.0, 2: 4.0, 3: 9.0}, "-1.050 (2 seeds)"),
        ({1: 5.0}, {2: 4.0}, "–"),
    ],
)
def test_a_difference_counts_if_seeds_agree(scripts: dict[str, Any], first: Any, second: Any, said: str) -> None:
    report = scripts["report"]
    assert report.verdict(first, second, report.FIGURES[0]) == said  # the generator's loss: lower is better


def test_the_page_has_what_the_results_say(scripts: dict[str, Any], tmp_path: Path) -> None:
    report, results = scripts["report"], tmp_path / "results"
    results.mkdir()
    made = [make_result("electra", seed, 5.0 + seed / 100) for seed in (1, 2, 3)]
    made += [make_result("mcl", seed, 4.0 + seed / 50, 5e12) for seed in (1, 2, 3)]
    made += [make_result("soup_uniform", 1, 3.9, kind="soups", label="soup"), make_result("peer", 1, 5.0)]
    for one in made:
        (results / f"{one['run']}-seed-{one['seed']}.json").write_text(json.dumps(one))
    assert "7 results" not in report.write_report(results, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| MCL | 3 | 10 | 5.00 | 4.040 (4.020 to 4.060) | 0.700 (0.700 to 0.700) | 0.700" in page
    assert "| MCL than ELECTRA | **+0.980** ± 0.006 | – | – | +0.000 ± 0.000, within the spread |" in page
    assert "| soup: uniform | 1 |" in page and "8 results" in page and "8.0 hours" in page
    for name in ("equal_compute", "baseline", "soup"):
        assert f"assets/experiments_{name}.png" in page
        assert Image.open(tmp_path / "assets" / f"experiments_{name}.png").width > 1000
    assert "{" not in page.replace("${", "")


def test_results_of_two_scales_make_no_page(scripts: dict[str, Any], tmp_path: Path) -> None:
    for scale in ("cpu", "small"):
        (tmp_path / f"{scale}.json").write_text(json.dumps(make_result(f"mcl_{scale}", 1, 4.0, scale=scale)))
    with pytest.raises(UserError, match="several scales, cpu, small"):
        scripts["report"].Results(tmp_path)


def test_the_page_in_the_documentation_is_made_of_the_results(scripts: dict[str, Any], tmp_path: Path) -> None:
    scripts["report"].write_report(FOLDER / "results", tmp_path / "experiments.md")
    assert (tmp_path / "experiments.md").read_text() == (ROOT / "docs" / "experiments.md").read_text()
