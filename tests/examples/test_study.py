"""The study: its plan, its arms, the judges that it adds, and the page of its learning rates."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from transformers import BertConfig, BertModel

from tests.examples.experiment_runs import (
    ROOT,
    SCALES,
    asked,
    command,
    make_job,
    make_result,
    named_runs,
    planner,
    probing,
)
from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.training.precision import multiplies_bf16
from transformers_mcl.training.run import DEMO_FOLDER


def test_every_run_is_asked_for(scripts: dict[str, Any]) -> None:
    questions, runs = scripts["plan"].load_questions()
    assert {run for question in questions.values() for run in question.runs} == runs.keys()
    assert "study" not in scripts["plan"].load_scale("cpu").asked(questions)
    scales = [scripts["plan"].load_scale(scale) for scale in SCALES]
    assert {name for scale in scales for name in scale.asked(questions)} == questions.keys()


def test_all_arms_of_the_study_begin_alike_and_are_tuned_alike(scripts: dict[str, Any]) -> None:
    planning, plan = scripts["plan"], planner(scripts, "study")
    arms = {"mlm", "electra", "courses", "corrections", "full"}
    assert (
        arms == plan.scale.runs.keys() == set(planning.load_questions()[0]["study"].runs) - {"untrained", "reference"}
    )
    weights = {}
    for arm in arms:
        model, _, training = planning.parse("pretrain", {**plan.arguments(arm), "output_dir": "x", "use_cpu": True})
        config = planning.build_config(model, model.preset, plan.tokenizer)
        assert training.generator_warmup_steps == 0.1 and training.train_batch_size == 64
        assert (config.hidden_size, config.num_hidden_layers, config.hidden_dropout_prob) == (256, 6, 0)
        weights[arm] = {name for name, weight in config.weights.items() if weight}
        assert config.course_schedule == ("all" if arm == "full" else "sampled")
        grid = [run for run in asked(scripts, plan) if run.share == 0.1 and run.name.startswith(f"{arm}_")]
        assert sorted(float(run.arguments["learning_rate"]) for run in grid) == [5e-4, 1e-3, 2e-3, 3e-3]
        for run in grid:
            assert {**plan.arguments(run.name), "learning_rate": 0, "max_steps": 0} == {
                **plan.arguments(arm),
                "learning_rate": 0,
                "max_steps": 0,
            }
    assert weights["mlm"] == {"mlm"} and weights["electra"] == {"mlm", "rtd"}
    assert weights["courses"] == {"mlm", "slm", "rtd", "std", "itd"}
    assert weights["corrections"] == weights["full"] == weights["courses"] | {"re_mlm", "re_slm", "re_rtd", "re_std"}
    small = planner(scripts, "study_small_budget")
    assert (
        small.flops("electra") == pytest.approx(plan.flops("electra_1e3")) == pytest.approx(plan.flops("electra") / 10)
    )


def test_the_plan_of_the_study_says_what_is_run(scripts: dict[str, Any]) -> None:
    page, plan = (ROOT / "docs" / "study.md").read_text(), planner(scripts, "study")
    plan.tokenizer.add_tokens([f"<{number}>" for number in range(8192 - len(plan.tokenizer))])
    for arm in ("mlm", "electra", "courses", "corrections", "full"):
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{arm}`"))
        steps = plan.steps(arm)
        assert row.endswith(f"| {steps:,} | {steps * 64 * 128 / 1e6:.1f} |")
        assert f"{plan.flops(arm):.1e}" == "2.2e+15" and "2.2e15" in page
    operations = sum(plan.flops(run.name) * len(plan.scale.seeds_of(name)) for name, run in named_runs(scripts, plan))
    assert f"{operations:.1e}".replace("+", "") in page
    commands = re.findall(r"run.py (.*?)(?:\n(?=nice)|\n```)", page, re.DOTALL)
    assert len(commands) == 2
    for given in commands:
        words = shlex.split(given.replace("\\\n", ""))
        kind = scripts["run"].ExperimentArguments
        (args,) = scripts["run"].parse_arguments([kind], words, prog="", description="", positional="questions")
        assert args.scale == "study" and set(args.questions) <= {"study", "study_rates"}


def test_an_encoder_without_a_detector_is_judged_by_what_it_has_learnt(
    scripts: dict[str, Any], tmp_path: Path
) -> None:
    path = make_job(tmp_path, name="mlm", finetune=None, probe=probing(tmp_path))
    job = yaml.safe_load(path.read_text())
    del job["pretrain"]["course_warmup_steps"]
    encoder = job["pretrain"]["config_overrides"].partition(",generator")[0]
    job["pretrain"] |= {"objective": "mlm", "config_overrides": encoder, "max_steps": 1, "eval_strategy": "no"}
    path.write_text(yaml.safe_dump(job))
    scripts["job"].run_job(path)
    scripts["alike"].judge_alike(tmp_path, "mlm", print)
    result = json.loads((tmp_path / "results" / "mlm-seed-3.json").read_text())
    assert result["blimp"].keys() == {"generator"} and result["alike"].keys() == {"mlm_loss", "reference", "sha256"}
    assert result["probes"]["text_classification"]["scores"].keys() == {"0", "1"}
    assert result["bf16"] is multiplies_bf16("cpu")[0]
    figures = {figure.name: figure.of(result) for figure in scripts["report"].FIGURES}
    assert figures["probes"] == max(result["probes"]["text_classification"]["scores"].values())
    assert figures["AUC, one G"] is None and figures["BLiMP, D"] is None and figures["G's loss"] is None
    before = (path.parent / "probe" / "results.json").stat().st_mtime_ns
    scripts["job"].run_job(path)  # nothing of it is done again
    assert (path.parent / "probe" / "results.json").stat().st_mtime_ns == before
    path.write_text(yaml.safe_dump({**job, "probe": {**job["probe"], "layers": [-1]}}))
    scripts["job"].run_job(path)
    again = json.loads((tmp_path / "results" / "mlm-seed-3.json").read_text())
    assert again["probes"]["text_classification"]["scores"].keys() == {"1"}


def test_an_encoder_of_others_is_judged_and_not_trained(scripts: dict[str, Any], tmp_path: Path) -> None:
    tokenizer, encoder = load_tokenizer(str(DEMO_FOLDER / "tokenizer")), tmp_path / "theirs"
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(encoder)
    tokenizer.save_pretrained(encoder)
    more = {"kind": "reference", "reference": str(encoder), "evaluate": None, "pretrain": {"use_cpu": True}}
    path = make_job(tmp_path, name="reference", label="others", probe=probing(tmp_path), **more)
    scripts["job"].run_job(path)
    result = json.loads((tmp_path / "results" / "reference-seed-3.json").read_text())
    assert result["label"] == "others: theirs" and "pair" not in result and "held_out" not in result
    assert result["probes"].keys() == result["glue"].keys() == {"text_classification"}
    assert str(tmp_path) not in json.dumps(result) and not (path.parent / "pair").exists()
    results = scripts["report"].Results(tmp_path / "results")
    assert [figure.name for figure in results.judges] == ["probes", "tasks"]


def test_an_encoder_of_others_is_wanted_once_and_if_there_is_one(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, columns in (
        ("sst2", ["sentence"]),
        ("mnli", ["premise", "hypothesis"]),
        ("qqp", ["question1", "question2"]),
    ):
        (tmp_path / "tasks" / task).mkdir(parents=True)
        rows = [dict.fromkeys(columns, f"text {number}") | {"label": number % 2} for number in range(4)]
        for split in ("train", "validation"):
            (tmp_path / "tasks" / task / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    BertConfig().save_pretrained(tmp_path / "theirs")
    theirs = ["--reference_model", str(tmp_path / "theirs")]
    given = command(tmp_path, "--dry_run", "true", "--scale", "study", "--glue_data", str(tmp_path / "tasks"))
    assert scripts["run"].run(["study", *given, *theirs]) == 0
    out = capsys.readouterr().out
    assert out.startswith("19 runs") and out.count("  reference seed 1: 0 operations") == out.count("reference") == 1
    assert scripts["run"].run(["study", *given]) == 0
    assert "reference" not in capsys.readouterr().out
    shutil.rmtree(tmp_path / "tasks" / "mnli")  # seen before anything is trained
    assert scripts["run"].run(["study", *given]) == 2
    assert "glue_data: mnli_10k: dataset_name: " in capsys.readouterr().err


def test_the_page_of_rates_says_which_collapsed(scripts: dict[str, Any], tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    healthy: dict[str, Any] = {"mlm_loss": 4.0, "unigram_entropy": 7.0, "rtd_disc_auc": 0.6, "rtd_disc_recall": 0.1}
    found: dict[str, dict[str, Any]] = {
        "electra_1e3": {},
        "electra_2e3": {"rtd_disc_auc": 0.501, "rtd_disc_recall": 0.0},
        "electra_3e3": {"mlm_loss": 6.9},
        "mlm_1e3": {"rtd_disc_auc": None, "rtd_disc_recall": None},
    }
    for run, held_out in found.items():
        probes = {"sst2": {"metric": "accuracy", "scores": {"0": 0.6, "1": 0.7}}}
        more: dict[str, Any] = {
            "scale": "study",
            "label": f"{run.split('_')[0].upper()}, {run}",
            "pretrain": {"learning_rate": run.split("_")[1].replace("e", "e-")},  # text, as YAML has it
        }
        result = make_result(run, 1, 4.0, held_out=healthy | held_out, probes=probes, **more)
        (results / f"{run}.json").write_text(json.dumps(result))
    scripts["report"].write_report(results, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    lines = {
        line.split(" | ")[0]: line.split(" | ")[-1] for line in page.splitlines() if line.startswith("| ELECTRA,")
    }
    assert list(lines.values()) == [
        " |",
        "D: AUC 0.501, recall 0.000 |",
        "G: loss 6.90, entropy of the tokens 7.00 |",
    ]
    assert "SST2, probe | probes |" in page and "*Probes*: " in page and "| 0.700 | 0.700 |" in page
    assert Image.open(tmp_path / "assets" / "page_study_rates.png").width > 1000
    assert page.count("*Not run yet at the scale `study`.*") == 1
