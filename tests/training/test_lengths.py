"""How long a run is: what was asked for, what is proposed, what a recipe and a checkpoint know of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.data import DataArguments
from transformers_mcl.method.courses import OBJECTIVES
from transformers_mcl.training import lengths as module
from transformers_mcl.training import measure as measure_module
from transformers_mcl.training import run as run_module
from transformers_mcl.training.lengths import EPOCHS, Asked, settle
from transformers_mcl.training.measure import Speed
from transformers_mcl.training.run import DEMO_FOLDER, ModelArguments, prepare
from transformers_mcl.training.workload import Workload

from .conftest import tiny_config

ALL = frozenset(OBJECTIVES["mcl"])
SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16"
)


def work(rows: int | None = 1000, **arguments: Any) -> Workload:
    """Steps of 4 rows of 16 tokens."""
    args = MclTrainingArguments("unused", use_cpu=True, per_device_train_batch_size=4, **arguments)
    return Workload(args, tiny_config(), 1, rows, 16.0)


def speed(step: float, evaluation: float = 0.0) -> Callable[[], Speed]:
    return lambda: Speed({ALL: step}, evaluation, 0.0)


def never() -> Speed:
    raise AssertionError("measured")


def test_tokens_are_as_many_steps_as_read_no_more() -> None:
    assert [settle(Asked(max_tokens=tokens), work(), never).steps for tokens in (64, 127, 128, 6400)] == [1, 1, 2, 100]
    assert settle(Asked(max_tokens=128, up_to_steps=1), work(), never).steps == 2  # what is asked for wins
    assert settle(Asked(max_tokens=640), work(rows=6), never).steps == 13  # of an epoch of 4 and 2 rows
    assert settle(Asked(max_tokens=640), work(rows=None), never).steps == 10
    grows = work(batch_size_warmup_steps=10, batch_size_warmup_start=1)
    steps = settle(Asked(max_tokens=6400), grows, never).steps
    assert replace(grows, steps=steps).tokens <= 6400 < replace(grows, steps=steps + 1).tokens
    with pytest.raises(UserError, match="max_tokens=63 is too few: a step reads 64"):
        settle(Asked(max_tokens=63), work(), never)


def test_hours_are_as_many_steps_as_they_have() -> None:
    length = settle(Asked(max_hours=1), work(), speed(10))
    assert length.steps == 360 and length.speed is not None and "an estimate, not a limit" in length.reason
    assert settle(Asked(max_hours=1), work(), speed(10, evaluation=100)).steps == 350
    quarters = work(eval_strategy="steps", eval_steps=0.25)
    assert settle(Asked(max_hours=1), quarters, speed(10, evaluation=100)).steps == 311  # each 78
    assert settle(Asked(max_hours=1), work(rows=None), speed(3600)).steps == 1
    said = "max_hours=1 buys no step: a run of one, its evaluations included, takes about 1 h 30 min: give 1.5 or more"
    with pytest.raises(UserError, match=said):
        settle(Asked(max_hours=1), work(), speed(5000, evaluation=400))
    with pytest.raises(UserError, match="max_hours=1: what FSDP or DeepSpeed shards cannot be tried .*give max_steps"):
        settle(Asked(max_hours=1), work(), lambda: None)


def test_what_is_proposed_is_the_least_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settle(Asked(up_to_steps=50), work(), never).steps == 50
    epochs = settle(Asked(up_to_steps=10**6), work(rows=40), never)
    assert epochs.steps == 10 * EPOCHS and epochs.reason.startswith(
        "proposed: 40 epochs of the text; choose another by"
    )
    monkeypatch.setattr(module, "_SLOWEST", 1e-9)  # long on any machine
    day = settle(Asked(up_to_steps=10**6), work(rows=10**7), speed(24))
    assert day.steps == 3600 and day.reason.startswith("proposed: 24 hours by the speed of a few steps")
    assert settle(Asked(up_to_steps=5), work(), speed(24)).reason.startswith("proposed: as many as the preset takes")
    assert settle(Asked(up_to_steps=10**6), work(rows=None), speed(24)).steps == 3600
    assert settle(Asked(up_to_steps=10**6), work(rows=40), lambda: None).steps == 400
    assert settle(Asked(up_to_steps=10**6), work(rows=40), speed(10**6)).steps == 1


def test_a_resumed_run_has_the_steps_that_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps({"max_steps": 123, "global_step": 20}))
    for asked in (Asked(max_hours=1), Asked(up_to_steps=7)):
        assert settle(asked, work(), never, str(tmp_path)).steps == 123
    assert settle(Asked(max_tokens=6400), work(), never, str(tmp_path)).steps == 100
    with pytest.raises(UserError, match="max_tokens=640 is too few: the 20 steps of the checkpoint have read 1,280"):
        settle(Asked(max_tokens=640), work(), never, str(tmp_path))


@pytest.mark.parametrize("name", ["max_tokens", "max_hours", "up_to_steps"])
def test_a_trainer_alone_refuses_what_nobody_made_steps_of(make_trainer: Callable[..., MclTrainer], name: str) -> None:
    with pytest.raises(UserError, match=f"{name}=5: MclTrainer takes max_steps or num_train_epochs"):
        make_trainer(max_steps=-1, **{name: 5})


def test_two_lengths_are_one_too_many() -> None:
    given = {"max_steps": 5, "num_train_epochs": 2.0, "max_tokens": 10**6, "max_hours": 1.5}
    for one in given:
        for other in given:
            if one != other:
                with pytest.raises(UserError, match="both say how long the run is: give one of them"):
                    MclTrainingArguments("unused", **{one: given[one], other: given[other]})  # type: ignore[arg-type]
        MclTrainingArguments("unused", up_to_steps=3, **{one: given[one]})  # type: ignore[arg-type]


def words(text: Path, folder: Path, *more: object) -> list[str]:
    given = ["--train_file", text, "--validation_file", text, "--tokenizer_name", DEMO_FOLDER / "tokenizer"]
    given += ["--preset", "tiny", "--config_overrides", SMALL, "--output_dir", folder, "--use_cpu", "true"]
    given += ["--per_device_train_batch_size", 4, "--disable_tqdm", "true", "--eval_strategy", "no", *more]
    return ["pretrain", *map(str, given)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    sea = "the of and to a in that was he for it with as his on be at by I".split()
    path.write_text("\n".join(" ".join((sea * 3)[n % 19 :][:38]) for n in range(60)), encoding="utf-8")
    return path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a step, instead of measuring; what is left of them."""
    steps = [1.0]
    monkeypatch.setattr(run_module, "measure", lambda _, **__: Speed({ALL: steps.pop()}, 0.0, 2**30))
    return steps


def test_the_recipe_has_steps_in_place_of_hours_and_they_are_resumed(
    text: Path, tmp_path: Path, measured: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    given = words(text, tmp_path / "run", "--max_hours", 0.001, "--course_warmup_steps", 0, "--save_strategy", "steps")
    given += ["--save_steps", "0.5", "--save_total_limit", "9"]
    assert main(given) == 0
    out = capsys.readouterr().out
    assert "3 of 128 tokens, 384 in all" in out and "max_hours=0.001 by the speed of a few steps" in out
    assert "about 3 s, evaluations included: 1 s a step, 128 tokens a second; peak memory 1.0 GiB\n" in out
    assert measured == []
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["max_steps"] == 3 and "max_hours" not in recipe and "up_to_steps" not in recipe
    assert {path.name for path in (tmp_path / "run").glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    again = ["pretrain", "--config", str(tmp_path / "run" / "recipe.yaml"), "--output_dir", str(tmp_path / "again")]
    assert main(again) == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "again"))
    assert all(value.equal(other[name]) for name, value in one.items())
    assert main([*given, "--resume_from_checkpoint", "true"]) == 0  # which measures nothing: there is nothing left
    assert "length     that of the run it goes on with" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_and_leaves_nothing(
    text: Path, tmp_path: Path, measured: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a" / "b"
    dry = ["--dry_run", "true", "--push_revisions", "true", "--hub_model_id", "ada/none", "--save_steps", 2]
    assert main(words(text, folder, "--max_steps", 7, *dry, "--course_warmup_steps", 0)) == 0
    out = capsys.readouterr().out
    assert "7 of 128 tokens" in out and "time       about 7 s" in out and "\n  length " not in out
    assert not (tmp_path / "a").exists() and measured == []


def test_a_stream_takes_tokens_and_hours_and_no_epochs(
    text: Path, tmp_path: Path, measured: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    streamed = ["--streaming", "true", "--course_warmup_steps", 0]
    assert main(words(text, tmp_path / "tokens", *streamed, "--max_tokens", 400)) == 0
    hours = words(
        text, tmp_path / "hours", *streamed, "--max_hours", 0.001, "--save_strategy", "steps", "--save_steps", 2
    )
    assert main(hours) == 0
    assert main([*hours, "--resume_from_checkpoint", "true"]) == 0
    for name in ("tokens", "hours"):
        assert json.loads((tmp_path / name / "trainer_state.json").read_text())["global_step"] == 3
    capsys.readouterr()
    assert main(words(text, tmp_path / "epochs", *streamed, "--num_train_epochs", 2)) == 2
    assert "a stream has no length, so say how long to train: give max_steps, max_tokens or max_hours" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--max_hours", "0"], "max_hours=0.0 must be above 0"),
        (["--max_hours", "nan"], "max_hours=nan must be above 0, and finite"),
        (["--max_hours", "1e-9"], "max_hours=1e-09 buys no step"),
        (["--max_tokens", "0"], "max_tokens=0 must be at least 1"),
        (["--max_tokens", "100"], "max_tokens=100 is too few: a step reads 128"),
        (["--max_tokens", "9" * 30], "more than 1,000,000,000,000,000 steps"),
        (["--max_hours", "1e300"], "more than 1,000,000,000,000,000 steps"),
        (["--max_steps", "3", "--torch_compile_mode", "bogus"], "bogus"),
        (["--max_tokens", "1e6"], "invalid int value: '1e6'"),
        (["--max_tokens", "1000", "--max_hours", "1"], "max_tokens and max_hours both say how long"),
        (["--max_steps", "5", "--num_train_epochs", "3"], "max_steps and num_train_epochs both say how long"),
        (["--up_to_steps", "0"], "up_to_steps=0 must be at least 1"),
        (
            ["--max_hours", "0.001", "--lr_scheduler_type", "warmup_stable_decay", "--warmup_steps", "2"]
            + ["--lr_scheduler_kwargs", '{"num_decay_steps": 2}'],
            "are more than max_steps=3",
        ),
    ],
)
def test_a_length_that_cannot_be_is_refused_in_one_line(
    text: Path, tmp_path: Path, measured: list[float], capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert main(words(text, tmp_path / "run", "--course_warmup_steps", 0, *given)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("transformers-mcl pretrain: error: ") and said in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_begins_where_it_would_have_begun(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Measured, with nothing in the place of measuring."""
    monkeypatch.setattr(measure_module, "_SECONDS", 0.0)
    monkeypatch.setattr(measure_module, "_BLOCK_SECONDS", 0.0)
    weights = []
    for measured in (False, True):
        run = prepare(
            ModelArguments(preset="tiny", config_overrides=SMALL, tokenizer_name=str(DEMO_FOLDER / "tokenizer")),
            DataArguments(
                train_file=[str(text)],
                validation_file=[str(text)],
                max_seq_length=32,
                streaming=True,
                shuffle_buffer_size=20,
            ),
            MclTrainingArguments(
                str(tmp_path / str(measured)),
                use_cpu=True,
                disable_tqdm=True,
                max_steps=3,
                dataloader_num_workers=workers,
                report_to=[],
                per_device_train_batch_size=4,
            ),
        )
        if measured:
            assert run.measure() is run.speed is not None
        run.trainer.train()
        weights.append(run.model.state_dict())
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
