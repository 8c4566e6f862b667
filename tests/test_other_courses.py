"""A course is one object: two that are registered from outside are configured, trained, logged, drawn, carded,
inspected, saved and loaded, with no other change. (That they are counted: `models/test_counts.py`.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from transformers import AutoModel, AutoModelForPreTraining, TrainerControl, TrainerState, TrainingArguments

from tests.other_courses import MaskedSpan, ReversedSpan, registered
from tests.small_text import write_text_and_tokenizer
from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.cli.main import main
from transformers_mcl.method.courses import COURSES, Loss, all_losses, register_course
from transformers_mcl.soups.conflicts import measure_conflicts
from transformers_mcl.training import curves
from transformers_mcl.training.health import HealthCallback
from transformers_mcl.training.trackers import panel_name

OWN = {"rsd": ("rlm", "rsd", "again_rlm", "again_rsd"), "msd": ("span_lm", "msd")}
SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16,reverse_ratio=0.3"
)
WEIGHTS = {"rlm": 1, "rsd": 10, "again_rlm": 1, "again_rsd": 10, "span_lm": 1, "msd": 10}


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with registered(ReversedSpan(), MaskedSpan()):
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and a tokenizer made from it."""
    return write_text_and_tokenizer(tmp_path_factory.mktemp("text"))


def command(text: Path, output_dir: Path, *more: str) -> list[str]:
    fixed = ["--train_file", str(text / "text.txt"), "--tokenizer_name", str(text / "tokenizer"), "--preset", "tiny"]
    fixed += ["--config_overrides", SMALL, "--max_seq_length", "32", "--max_steps", "4", "--logging_steps", "2"]
    fixed += ["--per_device_train_batch_size", "4", "--use_cpu", "true", "--disable_tqdm", "true"]
    fixed += ["--loss_weights", json.dumps(WEIGHTS), "--gradient_accumulation_steps", "2"]
    return ["pretrain", *fixed, "--output_dir", str(output_dir), *more]


def test_the_command_knows_them(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(command(text, run, "--save_steps", "2", "--save_strategy", "steps")) == 0
    said = capsys.readouterr().out
    for part in ("rlm 1", "again_rsd 10", "reversed 0.3", "masked as a span 0.4"):
        assert part in said, f"the plan lacks {part}"
    results = next(line for line in said.splitlines() if line.startswith("held-out text"))
    assert results.split()[2:7] == ["rtd", "std", "itd", "rsd", "msd"]

    assert main(["inspect", "--model_name_or_path", str(run), "--text", "the chef cooked the meal"]) == 0
    said = capsys.readouterr().out
    assert "Reversed span detection (RSD)" in said and "G reads x_rev" in said

    logged = [log for log in json.loads((run / "trainer_state.json").read_text())["log_history"] if "loss" in log]
    for course, losses in OWN.items():
        assert {f"{loss}_loss" for loss in losses} | {f"{course}_disc_auc"} <= logged[-1].keys()
    assert {"rsd_notebook_pos3", "rsd_masked_lm_accuracy", "msd_sampled_masked_lm_accuracy"} <= logged[-1].keys()
    assert "msd_notebook_pos1" not in logged[-1]

    card = ModelCard.load(run / "README.md").text
    assert "| RSD | 30 % reversed | rlm × 1 | rsd × 10 | again_rlm × 1 | again_rsd × 10 |" in card
    assert "| MSD | 40 % masked as a span | span_lm × 1 | msd × 10 | – | – |" in card
    assert "| again_rlm |" in card

    pair = AutoModelForPreTraining.from_pretrained(run)
    assert isinstance(pair, MclForPreTraining)
    assert pair.config.weights["again_rsd"] == 10 and pair.config.reverse_ratio == 0.3
    assert set(pair.course_predictions) == {"std", "itd", "rsd", "msd"}
    assert isinstance(AutoModel.from_pretrained(run), torch.nn.Module)

    more = ["--resume_from_checkpoint", str(run / "checkpoint-2"), "--save_strategy", "no"]
    changed = SMALL.replace("reverse_ratio=0.3", "reverse_ratio=0.4")  # as any ratio may
    assert main(command(text, tmp_path / "changed", *more, "--config_overrides", changed)) == 0
    again = tmp_path / "again"
    assert main(command(text, again, *more)) == 0
    resumed = MclForPreTraining.from_pretrained(again).state_dict()
    assert all(value.equal(resumed[name]) for name, value in pair.state_dict().items())

    capsys.readouterr()
    assert (
        main(["inspect", "--model_name_or_path", str(run), "--text", "the chef cooked a meal", "--courses", "rsd"])
        == 0
    )
    shown = capsys.readouterr().out
    assert "Reversed span detection (RSD)" in shown and "Swapped" not in shown


@pytest.mark.parametrize("weights", [{"rlm": 1.0, "rsd": 50.0}, {"rtd": 50.0, "msd": 50.0}], ids=str)
def test_a_half_opens_where_they_are_not_known(weights: dict[str, float], tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = MclForPreTraining(MclConfig.tiny(vocab_size=200, loss_weights=weights))
    pair.save_pretrained(tmp_path / "pair")
    half: Any = pair.export(tmp_path / "half")
    taken = {name: COURSES.pop(name) for name in ("rsd", "msd")}
    try:
        encoder = AutoModel.from_pretrained(tmp_path / "half")
        assert all(value.equal(half.electra.state_dict()[name]) for name, value in encoder.state_dict().items())
        with pytest.raises(UserError, match="there is no '(rlm|msd)'.*is to be registered first"):
            AutoModel.from_pretrained(tmp_path / "pair")
    finally:
        COURSES.update(taken)


def test_their_gradients_are_compared_and_their_health_is_watched() -> None:
    torch.manual_seed(0)
    pair = MclForPreTraining(MclConfig.tiny(vocab_size=200, loss_weights={"rlm": 1.0, "rsd": 50.0, "msd": 50.0}))
    ids = torch.randint(110, 200, (4, 20))
    assert measure_conflicts(pair, [{"input_ids": ids}]).losses == ["rlm", "again_rlm", "rsd", "msd", "again_rsd"]

    health = HealthCallback(grace_ratio=0.0)
    state, control = TrainerState(max_steps=100), TrainerControl()
    health.on_train_begin(TrainingArguments(use_cpu=True), state, control)
    for state.global_step in range(1, 9):
        logs = {
            "loss": 1.0,
            "msd_disc_recall": 0.0,
            "msd_disc_auc": 0.5,
            "again_rlm_loss": 0.0,
            "rsd_notebook_pos4": 0.0,
        }
        health.on_log(TrainingArguments(use_cpu=True), state, control, logs=logs)
    assert {(warning["condition"], warning["course"]) for warning in health.warnings} == {
        ("discriminator_says_original", "msd"),
        ("notebook_empty", "rsd"),
    }


def test_pictures_have_their_colours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    history = [{"step": step, "rlm_loss": 1.0, "rsd_disc_auc": 0.6, "msd_disc_auc": 0.7} for step in (1, 2)]
    drawn: dict[str, set[str]] = {}
    save = Figure.savefig

    def note(figure: Figure, *args: object, **kwargs: object) -> None:
        for axes in figure.axes:
            drawn[axes.get_title(loc="left")] = {to_hex(line.get_color()).upper() for line in axes.lines}
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", note)
    curves.plot_curves(history, tmp_path / "curves.png")
    assert drawn["Generator losses (nats)"] == {"#CC79A7"}
    assert {"#CC79A7", "#F0E442"} <= drawn["Discriminator AUC"]
    assert panel_name("eval/rsd_disc_auc") == "rsd/disc_auc_eval" and panel_name("train/again_rlm_loss").startswith(
        "rsd/"
    )


def test_objectives_are_as_before_and_others_stay_out() -> None:
    assert MclConfig().objective == "mcl" and "rsd" not in MclConfig().weights
    config = MclConfig(loss_weights={"rsd": 1.0})
    assert config.active_courses == ("rsd",) and config.objective == "custom"
    with pytest.raises(UserError, match=r"loss_weights: there is no 'rsdd'.*'rsd'"):
        MclConfig(loss_weights={"rsdd": 1.0})
    with pytest.raises(UserError, match="reverse_ratio=1.5"):
        MclConfig.tiny(loss_weights={"rsd": 1.0}, reverse_ratio=1.5)


def test_an_unregistered_course_is_said_of_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MclForPreTraining(MclConfig.tiny(vocab_size=200, loss_weights={"msd": 1.0})).save_pretrained(tmp_path)
    taken = COURSES.pop("msd")
    try:
        assert main(["inspect", "--model_name_or_path", str(tmp_path), "--text", "a"]) == 2
    finally:
        COURSES["msd"] = taken
    said = capsys.readouterr().err
    assert "there is no 'msd'" in said and "registered first" in said and "without a checkpoint" not in said


def test_a_course_may_take_the_place_of_itself() -> None:
    again = register_course(ReversedSpan(), exist_ok=True)
    assert COURSES["rsd"] is again and list(COURSES) == ["rtd", "std", "itd", "msd", "rsd"]


@pytest.mark.parametrize("name", ["keys", "two words", ""])
def test_a_name_that_no_module_can_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a course"):
        register_course(type("Named", (MaskedSpan,), {"name": name})())


def test_names_are_given_once() -> None:
    twice = {"name": "twice", "generate": Loss("a"), "detect": Loss("a", detects=True)}
    with pytest.raises(UserError, match="'a' is taken by the course 'twice'"):
        register_course(type("Twice", (MaskedSpan,), twice)())
    with pytest.raises(UserError, match="register_course: 'rsd' is taken"):
        register_course(ReversedSpan())

    class Another(MaskedSpan):
        name = "another"

    with pytest.raises(UserError, match="'span_lm' is taken by the course 'msd'"):
        register_course(Another())
    assert "another" not in COURSES and list(all_losses())[-1] == "again_rsd"
