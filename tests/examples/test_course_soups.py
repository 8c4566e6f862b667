from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from course_soups import results, study
from course_soups import run as script
from course_soups.study import CORRECTIONS, INGREDIENTS
from jobs import Job
from transformers_mcl import MclForPreTraining
from transformers_mcl.cli.main import main
from transformers_mcl.errors import UserError
from transformers_mcl.soups.soup import METHODS
from transformers_mcl.training import run as pretraining

ROOT = Path(__file__).parents[2]
SHAPE = "hidden_size=16,embedding_size=16,num_hidden_layers=1,intermediate_size=16,generator_hidden_size=16,"
SHAPE += "generator_num_hidden_layers=1,generator_intermediate_size=16"
THREE = ["--ingredients", "re_mlm", "re_std", "mcl"]

FINETUNED = [
    {"task": "cola", "best": True, "main_metric": "mcc", "metrics": {"mcc": {"median": 0.5}, "f1": {"median": 0.9}}},
    {"task": "rte", "best": True, "main_metric": "accuracy", "metrics": {"accuracy": {"median": 0.75}}},
    {"task": "rte", "best": False, "main_metric": "accuracy", "metrics": {"accuracy": {"median": 0.7}}},
]

RunStudy = Callable[..., tuple[int, list[list[str]]]]


@pytest.fixture
def run_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStudy:
    """Runs the study at four steps into `tmp_path / "out"`; what would be processes run in this one. Returns the exit
    status and the processes' command lines."""

    def run(*words: str, crash: str = "") -> tuple[int, list[list[str]]]:
        commands: list[list[str]] = []

        def run_here(todo: Sequence[Job], environments: Any, say: Any, what: str) -> None:
            for job in todo:
                if job.name == crash:
                    raise UserError(f"{job.name} crashed")
                commands.append(list(job.command))
                assert commands[-1][3] == "finetune" or main(commands[-1][3:]) == 0
                if commands[-1][3] == "finetune":  # takes long, and has tests of its own
                    folder = Path(commands[-1][-1])
                    folder.mkdir(parents=True)
                    (folder / "results.json").write_text(json.dumps({"average": None, "summary": FINETUNED}))

        monkeypatch.setattr(pretraining, "plot_curves", lambda *args, **kwargs: None)  # takes most of the time
        for module in (study, results):
            monkeypatch.setattr(module, "run_jobs", run_here)
        given = ["--config", str(ROOT / "examples/course_soups/study.yaml"), "--output_dir", str(tmp_path / "out")]
        given += ["--use_cpu", "true", "--config_overrides", SHAPE, "--max_steps", "4", "--save_steps", "2"]
        given += ["--max_train_samples", "64", "--max_eval_samples", "8", "--disable_tqdm", "true"]
        given += ["--max_evaluations", "3", "--course_warmup_steps", "0", "--save_total_limit", "2"]
        return script.run([*given, *words]), commands

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_the_fourteen_are_every_mixture_but_none_and_all() -> None:
    assert len(INGREDIENTS) == 14 == len({frozenset(subset) for subset in INGREDIENTS.values()})
    assert all(0 < len(subset) < 4 and set(subset) < set(CORRECTIONS) for subset in INGREDIENTS.values())
    assert list(INGREDIENTS)[:5] == ["re_mlm", "re_slm", "re_rtd", "re_std", "re_mlm-re_slm"]


def test_from_arguments_to_the_table(run_study: RunStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run_study(*THREE, "--train_only", "true")[0] == 0 and not (out / "soups").exists()
    (tmp_path / "finetune.yaml").write_text("task_name: [cola, rte]\n")
    (tmp_path / "pairs.csv").write_text("sentence_good,sentence_bad\nHe was here.,Here was he was.\n")
    judges = ["--finetune_config", str(tmp_path / "finetune.yaml"), "--pairs_file", str(tmp_path / "pairs.csv")]
    status, commands = run_study(*THREE, *judges)
    assert status == 0 and [command[3] for command in commands] == ["finetune"] * 7  # all are trained
    assert commands[3][5:] == [
        *(judges[1], "--model_name_or_path", str(out / "soups" / "uniform")),
        *("--output_dir", str(out / "finetuned" / "uniform soup")),
    ]
    for name in ("re_mlm", "re_std", "mcl"):
        model = MclForPreTraining.from_pretrained(out / "ingredients" / name)
        off = set(CORRECTIONS) - set(INGREDIENTS.get(name, CORRECTIONS))
        assert {loss for loss, weight in model.config.weights.items() if not weight} == off
        arguments = yaml.safe_load((out / "ingredients" / name / "recipe.yaml").read_text())
        assert arguments["model_name_or_path"] == str(out / "initial") and arguments["seed"] == 42
    results = json.loads((out / "results.json").read_text())
    assert list(results["scores"]) == ["re_mlm", "re_std", "mcl", *(f"{m} soup" for m in METHODS)]
    figures = results["scores"]["uniform soup"]
    assert list(figures) == ["held-out loss", "minimal pairs", "cola", "rte", "average"]
    assert figures["rte"] == 0.75 and figures["average"] == 0.625 and figures["minimal pairs"] in (0, 1)
    assert results["coefficients"]["uniform"] == {"re_mlm": 0.5, "re_std": 0.5}
    mixed, *both = (weights(out / where) for where in ("soups/uniform", "ingredients/re_mlm", "ingredients/re_std"))
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, (both[0][name] + both[1][name]) / 2)
    said = capsys.readouterr().out
    assert "| re_std |  |  |  | ● |" in said and "| mcl | ● | ● | ● | ● |" in said and "*their mean*" in said
    assert Image.open(out / "results.png").size[0] > 600
    assert json.loads((out / "diagnosis" / "diagnosis.json").read_text())["start"] == str(out / "initial")
    assert len(json.loads((out / "diagnosis" / "gradients.json").read_text())["losses"]) == 9
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert run_study(*THREE, *judges) == (0, [])
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}


@pytest.mark.slow
def test_a_killed_study_goes_on_and_comes_to_the_same(run_study: RunStudy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--ingredients", "re_mlm", "re_std", "--train_only", "true"]
    assert run_study(*words, crash="re_std")[0] == 2  # the first is done, the second has not begun
    first, done = out / "ingredients" / "re_mlm", weights(out / "ingredients" / "re_mlm")
    for name in ("model.safetensors", "eval_results.json", "checkpoint-4"):  # as after a kill in step 3
        shutil.rmtree(first / name, ignore_errors=True)
        (first / name).unlink(missing_ok=True)
    status, (one, other) = run_study(*words)
    assert status == 0 and one[-2:] == ["--resume_from_checkpoint", "true"]
    assert other[-2:] == ["--overwrite_output_dir", "true"]
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, done[name]), name


def test_all_begin_from_one_pair(run_study: RunStudy, tmp_path: Path) -> None:
    """With a rate of 0 nothing moves; the same seed, which is among the arguments, gives the same order."""
    out = tmp_path / "out"
    words = ["--ingredients", "re_mlm", "re_slm", "--train_only", "true", "--learning_rate", "0", "--max_steps", "1"]
    assert run_study(*words)[0] == 0
    start = weights(out / "initial")
    for name in ("re_mlm", "re_slm"):
        trained = weights(out / "ingredients" / name)
        assert all(torch.equal(trained[tensor], start[tensor]) for tensor in start)


def test_another_study_beside_trained_ingredients_is_refused(
    run_study: RunStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ingredients", "re_mlm", "--train_only", "true"]
    assert run_study(*words)[0] == 0
    assert run_study(*words, "--learning_rate", "1e-4")[0] == 2
    assert "error: learning_rate is 0.0001, and was 0.003 when" in capsys.readouterr().err
    assert (
        run_study(*words, "--logging_steps", "2", "--weight_decay", "0.01")[0] == 0
    )  # changes nothing, or is the preset's


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ingredients", "re_std-re_mlm"], "ingredients: there is no 're_std-re_mlm'; choose from re_mlm, re_slm"),
        (["--methods", "mean"], "methods: there is no 'mean'; choose from uniform"),
        (["--ingredients", "mcl"], "ingredients: mcl alone makes no soup"),
        (["--finetune_config", "none.yaml"], "finetune_config: there is no file 'none.yaml'"),
        (["--soup_score", "blimp"], "soup_score=blimp needs minimal pairs"),
        (["--push_to_hub", "true"], "push_to_hub does not go with this study"),
        (["--push_revisions", "true", "--hub_model_id", "ada/soup"], "push_revisions does not go with this study"),
        (["--objective", "electra"], "loss_weights: slm has weight 0, and the study needs all nine losses"),
        (["--num_jobs", "0"], "num_jobs=0 must be at least 1"),
        (["--learning_rat", "1"], "did you mean --learning_rate?"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, run_study: RunStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_study(*words)[0] == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "ingredients").exists()


def test_a_folder_of_something_else_is_left_alone(
    run_study: RunStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert run_study()[0] == 2
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_the_command_of_the_page() -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "course_soups.md").read_text(), re.DOTALL)
    python, path, *words = shlex.split(block)
    assert python == "python" and (ROOT / path).samefile(str(script.__file__))
    assert words[0] == "--config" and (ROOT / words[1]).is_file()
    assert block in (ROOT / words[1]).read_text()
    options = re.findall(r"--(\w+)", (ROOT / "docs" / "course_soups.md").read_text())
    assert {field.name for field in fields(study.StudyArguments)} <= set(options)


def test_ingredients_train_in_processes_of_their_own(tmp_path: Path) -> None:
    """The command line that the other tests run in their own process."""
    assert study.module_command("pretrain")[:3] == [sys.executable, "-m", "transformers_mcl.cli"]
