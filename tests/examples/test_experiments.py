"""The experiments: what is run at equal compute, one run from its job to its results, and the page made of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.examples.experiment_runs import FOLDER, ROOT, SCALES, asked, command, make_job, make_result, planner
from transformers_mcl import MclForPreTraining
from transformers_mcl.errors import UserError
from transformers_mcl.io import write_json
from transformers_mcl.training.trainer import evaluation_draws


@pytest.mark.parametrize("scale", SCALES)
def test_equal_compute_is_equal_to_a_step(scripts: dict[str, Any], scale: str) -> None:
    plan = planner(scripts, scale)
    runs = {run.name: run for run in asked(scripts, plan) if run.kind != "reference"}
    assert all(plan.arguments(name)["max_steps"] == plan.steps(name) > 0 for name in runs)
    bound = [run for run in runs.values() if run.compute_of]
    for run in bound:
        step = plan.flops(run.name) / plan.steps(run.name)
        more = plan.flops(run.name) - run.share * plan.flops(run.compute_of)
        assert 0 <= more < 2 * step, run.name  # `late` has steps that cost more than its mean
    if "study" in scale:
        assert {"mlm", "courses", "corrections", "full"} <= {run.name for run in bound}
        assert plan.steps("mlm") < plan.steps("electra") < 6 * plan.steps("full")
        return
    assert {"electra_long", "mcl_fifth", "sampled_three", "joint"} <= {run.name for run in bound}
    assert plan.steps("electra_long") > 3.5 * plan.steps("electra") == 3.5 * plan.steps("mcl")
    if "soup" in runs:
        # Fourteen ingredients, which have two of the four correction losses on average and some of them a course less.
        assert 11 < plan.steps("mcl_on") / plan.steps("soup") < 11.5


@pytest.mark.parametrize("scale", SCALES)
def test_what_every_scale_says_is_taken_by_the_commands(scripts: dict[str, Any], scale: str, tmp_path: Path) -> None:
    planning, run = scripts["plan"], scripts["run"]
    questions, runs = planning.load_questions()
    plan = planner(scripts, scale)
    args = run.ExperimentArguments(output_dir=str(tmp_path), use_cpu=True, reference_model="minilm")
    experiments = run.Experiments(args, plan.scale, questions, list(questions), runs, plan)
    rows = {}
    for name, kind in ((run.name, run.kind) for run in asked(scripts, plan)):
        content = experiments.content(name, 1)
        for part in ("pretrain", "finetune"):  # for a GPU
            given = content[part]
            content[part] = given and {k: v for k, v in given.items() if k not in ("bf16", "torch_compile")}
        if kind != "peer":
            experiments.check(content)
        if kind == "reference":
            continue
        # A warm-up in steps would be all of a short run, and hardly any of a long one.
        training = planning.parse("pretrain", {**content["pretrain"], "output_dir": "x"})[2]
        assert training.warmup_steps < 1
        rows[name] = training.per_device_train_batch_size
    if "electra_small" in rows:
        assert rows["mcl_small"] == rows["electra_small"] == rows["mcl"] / 4 == rows["electra"] / 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"runs": {"a": None}}, "no question defines the run a"),
        ({"runs": {"a": {"step": 3}}}, "run a has step"),
        ({"runs": {"a": {"kind": "train"}}}, "kind 'train'"),
        ({"runs": {"a": {"starts_from": "b"}}}, "no question defines the run b"),
        ({"runs": {"a": {"starts_from": "b"}, "b": {"starts_from": "a"}}}, "waits for itself"),
        ({"runs": {"a": {"compute_of": "a"}}}, "'a' waits for itself"),
        ({"runs": {"a": {}}, "compare": [["a", "b"]]}, "compares 'b'"),
        ({"runs": {"a": {}}, "compare": [["a", "a_b"]]}, "compares 'a_b'"),
        ({"runs": {"a": {}}, "colour": "red"}, "the file has colour"),
        ({"runs": {"a": {}}, "picture": "pie"}, "picture 'pie'"),
        ({"runs": {"a": {}}, "judges": ["glu"]}, "judges 'glu'"),
        ({}, "there is no runs in it"),
    ],
)
def test_mistakes_in_a_question(scripts: dict[str, Any], tmp_path: Path, content: Any, said: str) -> None:
    (tmp_path / "1-q.yaml").write_text(yaml.safe_dump({"title": "?", "text": "?", **content}))
    with pytest.raises(UserError, match=said):
        scripts["plan"].load_questions(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"seeds": {"default": 1}}, "seeds: default is 1, not a list"),
        ({"seeds": {"mcl": [1]}}, "seeds has no default"),
        ({"pretrain": None}, "pretrain is None"),
        ({"runs": {"mcl": 3}}, "mcl is 3"),
        ({"rnus": {}}, "the file has rnus"),
        ({"runs": {"electra_hgh": {}}}, "run in scale mine: there is no 'electra_hgh'"),
        ({"reference": "elektra"}, "run in scale mine: there is no 'elektra'"),
        ({"questions": ["equal_steps"]}, "question in scale mine: there is no 'equal_steps'"),
        ({"questions": "lite"}, "questions is 'lite', not a list of names"),
        ({"questions": [{"lite": 1}]}, "questions is [{'lite': 1}], not a list of names"),
        ({"like": "huge"}, "mine.yaml: like: there is no 'huge'"),
        ({"like": None}, "like is None, not a text"),
        ({"brief": "yes, please"}, "brief is 'yes, please', not true or false"),
        ({"about": 5}, "about is 5, not a text"),
        ({"reference": ["mcl"]}, "reference is ['mcl'], not a text"),
        ({3: 4}, "the file has 3;"),
        ({"seeds": {"default": []}}, "default is [], not a list of numbers"),
        ({"seeds": {"default": [True]}}, "default is [True], not a list of numbers"),
        ({"like": "cpu_mixed"}, "cpu_mixed is itself like cpu; name that one"),
    ],
)
def test_mistakes_in_a_scale(
    scripts: dict[str, Any], tmp_path: Path, content: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    mine = {"about": "?", "pretrain": {}, "seeds": {"default": [1]}, **content}
    file.write_text(yaml.safe_dump(mine, sort_keys=False))
    assert scripts["run"].run(command(tmp_path, "--scale", str(file))) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: error: ") and error.count("\n") == 1 and said in error


def test_a_scale_that_is_like_another_has_what_it_changes(scripts: dict[str, Any], tmp_path: Path) -> None:
    load = scripts["plan"].load_scale
    file = tmp_path / "mine.yaml"
    file.write_text("like: cpu\nabout: On my desk.\npretrain: {max_steps: 7}\nseeds: {lite: [5]}\nreference: mcl\n")
    assert load("cpu_mixed").title != load("cpu").title  # of two pages beside each other
    mine, cpu = load(str(file)), load("cpu")
    assert (mine.name, mine.about, mine.reference) == ("mine", "On my desk.", "mcl")
    assert cpu.brief and not mine.brief and mine.title != cpu.title
    assert mine.pretrain == {**cpu.pretrain, "max_steps": 7} != cpu.pretrain
    assert mine.seeds_of("lite") == [5] and mine.seeds_of("soup") == cpu.seeds_of("soup")
    assert (mine.finetune, mine.soups) == (cpu.finetune, cpu.soups)
    (tmp_path / "theirs.yaml").write_text("like: small\nabout: Theirs.\nruns: {electra_high: {max_steps: 5}}\n")
    small = load("small").runs["electra_high"]
    assert load(str(tmp_path / "theirs.yaml")).runs["electra_high"] == {**small, "max_steps": 5} != small
    (tmp_path / "ours.yaml").write_text("like: base.yaml\nabout: Theirs.\n")
    (tmp_path / "base.yaml").write_text("about: Theirs.\npretrain: {max_steps: 3}\nseeds: {default: [1]}\n")
    assert load(str(tmp_path / "ours.yaml")).pretrain == {"max_steps": 3}  # the file beside it
    file.write_text("about: On my desk.\npretrain: {}\n")
    with pytest.raises(UserError, match="there is no seeds in it"):
        load(str(file))
    file.write_bytes(b"about: caf\xe9\n")  # another encoding
    with pytest.raises(UserError, match="mine.yaml cannot be read"):
        load(str(file))


def test_a_scale_asks_some_of_the_questions(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("like: cpu\nabout: On my desk.\nquestions: [equal_compute]\n")
    given = command(tmp_path, "--scale", str(file), "--dry_run", "true", "--seeds", "4")
    assert scripts["run"].run(given) == 0
    assert capsys.readouterr().out.startswith("7 runs, 0 of them done")
    assert scripts["run"].run(["lite", *given]) == 2
    assert "question at scale mine: there is no 'lite'; choose from equal_compute" in capsys.readouterr().err
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "1.json").write_text(json.dumps(make_result("mcl", 1, 4.0, scale="mine")))
    scripts["report"].write_report(tmp_path / "results", tmp_path / "page.md", scripts["plan"].load_scale(str(file)))
    page = (tmp_path / "page.md").read_text()
    assert page.count("*Not run yet at the scale `mine`.*") == page.count("all not run yet") == 1
    assert f"report.py {tmp_path.as_posix()}/results {tmp_path.as_posix()}/page.md mine.yaml\n" in page
    words = [str(tmp_path / "results"), str(tmp_path / "page.md"), "cpu"]
    assert scripts["report"].main(words) == 2 and "scale 'mine', not of 'cpu'" in capsys.readouterr().err
    file.write_text("like: cpu\nabout: On my desk.\nquestions: [lit]\n")
    assert scripts["report"].main([*words[:2], str(file)]) == 2 and "there is no 'lit'" in capsys.readouterr().err


def test_a_job_writes_all_that_is_known_of_a_run_and_goes_on(scripts: dict[str, Any], tmp_path: Path) -> None:
    path = make_job(tmp_path)
    scripts["job"].run_job(path)
    assert (path.parent / "done").read_text() == path.read_text()
    result = json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())
    assert (result["run"], result["seed"], result["steps"], result["tokens"]) == ("mcl", 3, 5, 5 * 4 * 32)
    assert result["flops"] > 0 and result["seconds"] > 0 and "CPU" in result["hardware"]
    assert {"torch", "transformers", "python", "transformers-mcl"} <= result["versions"].keys()
    assert result["pretrain"]["train_file"] == ["text.txt"] and result["pretrain"]["tokenizer_name"] == "tokenizer"
    assert str(tmp_path) not in json.dumps(result)
    assert {"mlm_loss", "rtd_disc_auc", "std_disc_auc", "itd_disc_auc"} <= result["held_out"].keys()
    points = {point["step"]: point["flops"] for point in result["curve"] if "eval_mlm_loss" in point}
    assert list(points) == [2, 4, 5] and points[5] == result["flops"]
    # Of five steps three are ELECTRA's, and cost about a fifth of the others each.
    assert points[2] == pytest.approx(2 / 13 * result["flops"], rel=0.1)
    assert 3 / 13 * result["flops"] < points[4] < 9 / 13 * result["flops"]
    assert {half: found["pairs"] for half, found in result["blimp"].items()} == {"generator": 2, "discriminator": 2}
    assert result["glue"]["text_classification"]["metric"] == "accuracy"
    assert result["epochs"] == pytest.approx(5 / 11)  # 41 rows, in batches of four
    weights = (path.parent / "pair" / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "results" / "mcl-seed-3.json").unlink()
    job = yaml.safe_load(path.read_text())
    job["finetune"]["max_steps"] = 2  # judged otherwise, and later, on another machine
    path.write_text(yaml.safe_dump(job))
    (path.parent / "environment.json").write_text(json.dumps({"hardware": "what it was trained on"}))
    scripts["job"].run_job(path)
    assert (path.parent / "pair" / "model.safetensors").stat().st_mtime_ns == weights
    again = json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())
    assert again["held_out"] == result["held_out"] and again["finetune"]["max_steps"] == 2
    assert again["hardware"] == "what it was trained on"

    said: list[str] = []
    scripts["alike"].judge_alike(tmp_path, "electra", said.append)  # which there is not
    assert "'electra', which makes them, is missing" in said[0]
    assert "alike" not in json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())
    scripts["alike"].judge_alike(tmp_path, "mcl", print)
    judged = json.loads((tmp_path / "results" / "mcl-seed-3.json").read_text())
    assert judged["alike"]["reference"] == "mcl, seed-3"
    assert judged["alike"]["mlm_loss"] == pytest.approx(result["held_out"]["mlm_loss"], rel=1e-6)
    pair = MclForPreTraining.from_pretrained(path.parent / "pair").eval()
    planning, job = scripts["plan"], yaml.safe_load(path.read_text())
    given = {**planning.going_on(job["pretrain"]), "model_name_or_path": str(path.parent / "pair")}
    run = scripts["job"].prepare(*planning.parse("pretrain", {**given, "output_dir": str(tmp_path / "x")}))
    (batch,) = run.trainer.get_eval_dataloader()
    draws = evaluation_draws(0, 0, "rtd", torch.device("cpu"))
    record = pair(batch["input_ids"], courses=["rtd"], generator=draws, output_records=True).records["rtd"]
    exact = roc_auc_score(record.labels.flatten(), record.logits.detach().flatten())
    assert judged["alike"]["rtd_auc"] == pytest.approx(exact, abs=1e-9)

    goes_on = make_job(tmp_path, name="on", starts_from=str(path.parent / "pair"), evaluate=None, finetune=None)
    job = yaml.safe_load(goes_on.read_text())
    job["pretrain"] = planning.going_on({**job["pretrain"], "max_steps": 1})
    goes_on.write_text(yaml.safe_dump(job))
    scripts["job"].run_job(goes_on)
    assert yaml.safe_load((goes_on.parent / "pretrain.yaml").read_text())["max_seq_length"] == 32  # the preset's
    trained_on = json.loads((tmp_path / "results" / "on-seed-3.json").read_text())
    assert trained_on["steps"] == 1
    config = goes_on.parent / "pair" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"mask_ratio": 0.5}))
    scripts["alike"].judge_alike(tmp_path, "mcl", print)
    alike = json.loads((tmp_path / "results" / "on-seed-3.json").read_text())["alike"]
    assert alike["mlm_loss"] == pytest.approx(trained_on["held_out"]["mlm_loss"], rel=1e-6)  # whatever it masks itself

    soups = make_job(tmp_path, name="soup", kind="soups", starts_from=job["starts_from"], evaluate=None, finetune=None)
    made = soups.parent / "recipe"  # as it was called when the first were begun
    names = scripts["job"].INGREDIENTS
    for place in ("ingredients/re_rtd", "soups/uniform"):
        shutil.copytree(path.parent / "pair", made / place)
    (made / "soups" / "uniform" / "eval_results.json").unlink()
    (made / "soups" / "uniform" / "trainer_state.json").unlink()
    scores = {name: {"held-out loss": 1.0 if name == "re_rtd" else 2.0} for name in names}
    (made / "results.json").write_text(json.dumps({"scores": scores}))
    content = yaml.safe_load(soups.read_text()) | {"soups": {"methods": ["uniform"]}, "pretrain": job["pretrain"]}
    soups.write_text(yaml.safe_dump(content))
    scripts["job"].run_job(soups)
    uniform = json.loads((tmp_path / "results" / "soup_uniform-seed-3.json").read_text())
    best = json.loads((tmp_path / "results" / "soup_best_ingredient-seed-3.json").read_text())
    assert "flops" not in uniform and best["pair"].endswith("re_rtd")
    assert uniform["held_out"]["mlm_loss"] == pytest.approx(result["held_out"]["mlm_loss"])  # the same rows and draws

    torch.nn.init.normal_(pair.get_input_embeddings().weight)
    pair.save_pretrained(path.parent / "pair")  # as if the reference was trained anew
    shutil.rmtree(goes_on.parent / "pair")
    scripts["alike"].judge_alike(tmp_path, "mcl", print)
    first, second = (json.loads((tmp_path / "results" / f"{name}-seed-3.json").read_text()) for name in ("mcl", "on"))
    assert first["alike"]["sha256"] != judged["alike"]["sha256"] and "alike" not in second


def test_a_soup_is_made_by_the_study_of_course_soups(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soups = {"methods": ["uniform"], "max_steps": 7}
    path = make_job(tmp_path, kind="soups", starts_from="pair", evaluate=None, finetune=None, soups=soups)
    asked: list[Any] = []

    def study(words: list[str]) -> int:
        asked.append(words)
        return 2

    monkeypatch.setattr(scripts["job"], "run_study", study)
    with pytest.raises(UserError, match="^course_soups/run.py ended with the exit status 2"):
        scripts["job"].run_job(path)
    ((flag, file),) = asked
    args, model_args, _, training_args = scripts["plan"].parse(
        "soups", yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    )
    assert flag == "--config" and len(args.ingredients) == 14 and args.methods == ["uniform"]
    assert (model_args.model_name_or_path, training_args.max_steps, training_args.seed) == ("pair", 7, 3)
    assert training_args.output_dir == str(path.parent / "study")


def test_a_run_that_fails_says_why_and_leaves_the_others_alone(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_job(tmp_path)
    job = yaml.safe_load(path.read_text())
    job["pretrain"]["learning_rte"] = 1
    path.write_text(yaml.safe_dump(job))
    assert scripts["job"].start([str(path)]) == 1  # not 2, after which nothing else would begin
    assert "transformers-mcl pretrain ended with the exit status 2" in capsys.readouterr().err
    assert not (path.parent / "done").exists() and not (tmp_path / "results").exists()


def test_says_what_there_is_to_do(scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = command(tmp_path, "--dry_run", "true", "--seeds", "4")
    assert scripts["run"].run(["equal_compute", "soup", *given]) == 0
    first, *jobs = capsys.readouterr().out.splitlines()
    assert first.startswith("9 runs, 0 of them done")
    assert [line.split(":")[0].strip() for line in jobs][-2:] == ["soup seed 4", "mcl_on seed 4"]  # after mcl
    assert not (tmp_path / "out").exists()


def test_a_run_is_done_if_it_was_judged_as_it_is_asked_now(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = scripts["run"]
    (args,) = run.parse_arguments(
        [run.ExperimentArguments], command(tmp_path, "--seeds", "4"), prog="", description=""
    )
    experiments = run.prepare(args)
    assert experiments.job("mcl", 4).cost == experiments.planner.flops("mcl")
    folder = tmp_path / "out" / "runs" / "mcl" / "seed-4"
    content = yaml.safe_load((folder / "job.yaml").read_text())
    assert content["finetune"] and content["evaluate"]  # by some question, if not by the one that is asked
    (folder / "done").write_text((folder / "job.yaml").read_text())
    assert experiments.job("mcl", 4) is None
    (folder / "done").write_text(yaml.safe_dump({**content, "evaluate": None}))
    assert experiments.job("mcl", 4) is not None
    content["pretrain"]["learning_rate"] = 7.0
    (folder / "job.yaml").write_text(yaml.safe_dump(content))
    assert experiments.job("mcl", 4) is not None  # nothing had been begun
    (folder / "job.yaml").write_text(yaml.safe_dump(content))
    (folder / "log.txt").touch()
    with pytest.raises(UserError, match="learning_rate was 7.0 and is '1e-3'.*mcl_on/seed-4, which goes on from it"):
        experiments.job("mcl", 4)


def test_a_run_of_another_machine_is_done_by_its_result_alone(scripts: dict[str, Any], tmp_path: Path) -> None:
    run = scripts["run"]
    (args,) = run.parse_arguments(
        [run.ExperimentArguments], command(tmp_path, "--seeds", "4"), prog="", description=""
    )
    experiments = run.prepare(args)

    def judged_elsewhere(name: str, **otherwise: Any) -> None:
        content = experiments.content(name, 4)
        parts = {part: scripts["plan"].named(content[part]) for part in ("pretrain", "probe", "evaluate", "finetune")}
        file = tmp_path / "out" / "results" / f"{name}-seed-4.json"
        write_json(file, {"kind": content["kind"], **parts, **otherwise})

    judged_elsewhere("electra")
    assert experiments.job("electra", 4) is None
    assert not (tmp_path / "out" / "runs" / "electra").exists()
    assert experiments.job("electra", 5) is not None
    judged_elsewhere("electra", evaluate=None)
    assert experiments.job("electra", 4) is not None  # judged by less than is asked now
    judged_elsewhere("mcl")
    assert experiments.job("mcl", 4) is not None  # others go on from its pair


def test_the_peer_takes_on_one_device_the_rows_of_several(scripts: dict[str, Any], tmp_path: Path) -> None:
    run = scripts["run"]
    (args,) = run.parse_arguments(
        [run.ExperimentArguments], command(tmp_path, "--devices_per_job", "8"), prog="", description=""
    )
    experiments = run.prepare(args)
    ours, peer = experiments.content("electra", 1), experiments.content("peer", 1)
    assert "gradient_accumulation_steps" not in ours["pretrain"]  # the preset's 1
    assert peer["pretrain"]["gradient_accumulation_steps"] == 8
    assert ours["devices"] == peer["devices"] == 8 and experiments.content("soup", 1)["soups"]["devices_per_job"] == 8


def test_one_failing_run_costs_no_other(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run_here(jobs: Any, *rest: Any) -> None:
        ran.extend(job.name for job in jobs)
        if "mcl seed 4" in ran[-len(jobs) :]:
            raise UserError("1 of 9 failed: mcl")

    monkeypatch.setattr(scripts["run"], "run_jobs", run_here)
    (tmp_path / "out" / "results").mkdir(parents=True)
    (tmp_path / "out" / "results" / "1.json").write_text(json.dumps(make_result("mcl", 4, 4.0, scale="mine")))
    scale = tmp_path / "mine.yaml"
    scale.write_text((FOLDER / "scales" / "cpu.yaml").read_text())
    given = command(tmp_path, "--seeds", "4", "--scale", str(scale))
    assert scripts["run"].run(["equal_compute", "soup", *given]) == 2
    assert ran[-2:] == ["soup seed 4", "mcl_on seed 4"]
    out, err = capsys.readouterr()
    assert "1 of 9 failed: mcl" in err and "experiments.md" in out
    assert (tmp_path / "out" / "experiments.md").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["equal_steps"], "question at scale cpu: there is no 'equal_steps'; choose from equal_compute"),
        (["--scale", "huge"], "there is no 'huge'; choose from base, cpu, cpu_mixed, small, study"),
        (["--num_jobs", "0", "--dry_run", "true"], "num_jobs=0"),
        (["--glue_data", "gleu"], "glue_data: there is no 'gleu'"),
        (["--reference_model", "minilm/"], "reference_model: 'minilm/' is no directory here"),
        (["--scale", "study"], "glue_data: the scale study judges by mnli_10k, which the Hub has not"),
    ],
)
def test_mistakes_are_one_line(
    scripts: dict[str, Any], tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripts["run"].run([*words, *command(tmp_path)] if "--" not in words[0] else command(tmp_path, *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: error: ") and error.count("\n") == 1 and said in error


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({1: 4.0, 2: 4.1, 3: 4.2}, {1: 5.0, 2: 5.0, 3: 5.1}, "**+0.933** ± 0.033"),
        ({1: 4.0, 2: 4.1, 3: 4.6}, {1: 5.0, 2: 5.0, 3: 5.1}, "**+0.800** ± 0.153"),
        ({1: 4.0, 2: 4.6, 3: 4.6}, {1: 5.0, 2: 5.0, 3: 5.0}, "+0.600 ± 0.200, within the spread"),
        ({1: 5.0, 2: 5.1}, {1: 4.0, 2: 4.0, 3: 9.0}, "-1.050 (2 seeds)"),
        ({1: 5.0}, {2: 4.0}, "–"),
    ],
)
def test_a_difference_counts_if_seeds_agree(scripts: dict[str, Any], first: Any, second: Any, said: str) -> None:
    report = scripts["report"]
    loss = report.FIGURES[0]  # the generator's: lower is better
    assert str(report.verdict(first, second, loss) or "–") == said


def test_the_page_has_what_the_results_say(scripts: dict[str, Any], tmp_path: Path) -> None:
    report, results = scripts["report"], tmp_path / "results"
    results.mkdir()
    made = [make_result("electra", seed, 5.0 + seed / 100) for seed in (1, 2, 3)]
    made += [make_result("mcl", seed, 4.0 + seed / 50, 5e12) for seed in (1, 2, 3)]
    soups: dict[str, Any] = {"kind": "soups", "label": "soup"}
    made += [make_result("soup_uniform", 1, 3.9, **soups), make_result("soup_best_ingredient", 1, 3.8, **soups)]
    # 5.0 on its own masks, 5.5 on everybody's.
    made.append(make_result("peer", 1, 5.0, alike={"reference": "x", "mlm_loss": 5.5}))
    for one in made:
        (results / f"{one['run']}-seed-{one['seed']}.json").write_text(json.dumps(one))
    full = replace(scripts["plan"].load_scale("cpu"), brief=False)
    assert report.write_report(results, tmp_path / "page.md", full).endswith("page.md, of 9 results")
    page = (tmp_path / "page.md").read_text()
    assert (
        "| MCL | 3 | 10 | 0.00 | 0.50 | 5.00 | 60.0 | 4.040 (4.020 to 4.060) | 0.700 (0.700 to 0.700) | 0.700" in page
    )
    assert "| PEER | 1 | 10 | 0.00 | 0.50 | 1.00 | 60.0 | 5.500 |" in page
    assert "| MCL than ELECTRA | **+0.980** ± 0.006 | +0.000 ± 0.000, within the spread |" in page
    assert "    - MCL **better** than ELECTRA: G's loss +0.980\n" in page
    assert page.count("    - all not run yet\n") == page.count("*Not run yet at the")
    assert "MCL **better** than ELECTRA: G's loss +0.980\n    - 5 not run yet\n" in page
    assert "*Course soups*\n    - 1 compared with too few seeds to tell from chance\n    - 1 not run yet\n" in page
    assert "| soup: uniform | 1 |" in page and "9 results" in page and "9.0 hours" in page
    for name in ("equal_compute", "peer", "soup"):
        assert f"assets/page_{name}.png" in page
        assert Image.open(tmp_path / "assets" / f"page_{name}.png").width > 1000
    plan = scripts["plan"]
    questions = plan.load_scale("cpu").asked(plan.load_questions()[0])
    assert page.count("*Not run yet at the scale `cpu`.*") == len(questions) - 3
    assert not (tmp_path / "assets" / "page_ablation.png").exists()
    report.write_report(results, tmp_path / "brief" / "page.md", replace(full, brief=True))
    brief = (tmp_path / "brief" / "page.md").read_text()
    assert brief.count("| MCL | 3 |") == 1 < page.count("| MCL | 3 |")  # whichever questions it answers
    assert "    - MCL **better** than ELECTRA: G's loss +0.980\n" in brief
    assert "than ELECTRA |" not in brief and not (tmp_path / "brief" / "assets").exists()


def test_what_does_not_tell_a_trained_pair_from_an_untrained_one_is_left_out_of_the_short_answer(
    scripts: dict[str, Any], tmp_path: Path
) -> None:
    report = scripts["report"]
    losses = {"untrained": 7.0, "electra": 5.0, "mcl": 4.0, "electra_long": 4.5}
    for seed in (1, 2, 3):
        for run, loss in losses.items():
            score = 0.6 + seed / 10 + (run == "mcl") / 20  # tasks: MCL is above ELECTRA, and the untrained pair, too
            tasks = {"sst2": {"metric": "accuracy", "scores": [score + (run == "untrained") / 10]}}
            result = make_result(run, seed, loss + seed / 100 * (run == "mcl"), glue=tasks)
            (tmp_path / f"{run}-{seed}.json").write_text(json.dumps(result))
    question = scripts["plan"].load_questions()[0]["equal_compute"]

    def short() -> str:
        results = report.Results(tmp_path)
        return str(report.in_short(results, {question.title: report.compared(results, question)}, [question]))

    said = short()
    assert said.startswith(
        "Left out here: tasks. By them neither *ELECTRA_LONG* nor *MCL* is beyond chance better than "
    )
    assert "    - MCL **better** than ELECTRA: G's loss +0.980\n" in said and "tasks +" not in said
    for path in tmp_path.glob("untrained*"):
        path.unlink()
    assert "MCL **better** than ELECTRA: G's loss +0.980; tasks +0.050" in short()


def test_what_tells_nothing_is_left_out_of_every_question(scripts: dict[str, Any], tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for seed in (1, 2, 3):
        for run, loss in {"untrained": 7.0, "mcl": 4.0, "electra_long": 4.5}.items():
            score = 0.6 + seed / 10 - (run == "mcl") / 20  # tasks: MCL is behind ELECTRA, and both with the untrained
            tasks = {"sst2": {"metric": "accuracy", "scores": [score + (run == "untrained") / 20]}}
            result = make_result(run, seed, loss + seed / 100 * (run == "mcl"), glue=tasks, scale="mine")
            (results / f"{run}-{seed}.json").write_text(json.dumps(result))
    (tmp_path / "mine.yaml").write_text("like: cpu\nabout: Theirs.\nquestions: [ablation_compute]\n")
    assert scripts["report"].main([str(results), str(tmp_path / "page.md"), str(tmp_path / "mine.yaml")]) == 0
    short = (tmp_path / "page.md").read_text().partition("## In short")[2].partition("## ")[0]
    assert "Left out here: tasks." in short and "MCL **better** than ELECTRA_LONG: G's loss +0.480\n" in short


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scale": "small"}, 'scale is "cpu" in mcl-seed-1 and "small" in mcl-seed-2'),
        ({"finetune": {"max_steps": 7}}, 'finetune is {"max_steps": 5} in mcl-seed-1'),
        ({"pretrain": {"train_file": "b"}}, 'pretrain, train_file is "a" in mcl-seed-1'),
        ({"alike": {"sha256": "2"}}, 'alike, sha256 is "1" in mcl-seed-1'),
        ({"finetune": None}, None),  # is not judged so
        ({"pretrain": {"train_file": "a", "max_steps": 3}}, None),
    ],
)
def test_what_cannot_be_compared_makes_no_page(
    scripts: dict[str, Any], tmp_path: Path, more: dict[str, Any], said: str | None
) -> None:
    same = {"finetune": {"max_steps": 5}, "pretrain": {"train_file": "a"}, "alike": {"sha256": "1", "reference": "x"}}
    for seed, own in ((1, {}), (2, more)):
        (tmp_path / f"mcl-{seed}.json").write_text(json.dumps(make_result("mcl", seed, 4.0, **{**same, **own})))
    if said is None:
        assert scripts["report"].Results(tmp_path).scale == "cpu"
        return
    with pytest.raises(UserError) as caught:
        scripts["report"].Results(tmp_path)
    assert f"results that cannot be compared: {said}" in str(caught.value)


def test_a_scale_of_ones_own_has_a_page(
    scripts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "1.json").write_text(json.dumps(make_result("mcl", 1, 4.0, scale="mine")))
    scale = tmp_path / "mine.yaml"
    scale.write_text(yaml.safe_dump({"about": "On my desk.", "pretrain": {}, "seeds": {"default": [1]}}))
    words = [str(tmp_path / "results"), str(tmp_path / "page.md")]
    assert scripts["report"].main(words) == 2 and "there is no 'mine'" in capsys.readouterr().err
    assert scripts["report"].main([*words, str(scale)]) == 0
    assert "On my desk. 1 results" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(("scale", "page"), [("cpu", "experiments.md"), ("cpu_mixed", "experiments_mixed.md")])
def test_the_pages_in_the_documentation_are_made_of_the_results(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: str, page: str
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)  # its command is in it
    folder = Path("examples", "experiments", "results", scale)
    scripts["report"].write_report(folder, Path("docs", page))
    assert Path("docs", page).read_text(encoding="utf-8") == (ROOT / "docs" / page).read_text()
    assert scripts["report"].Results(folder).scale == scale
