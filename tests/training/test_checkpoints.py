from __future__ import annotations

import copy
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers.trainer_utils import get_last_checkpoint

from tests import families
from transformers_mcl import MclTrainer, UserError, io
from transformers_mcl.training import checkpoints
from transformers_mcl.training.checkpoints import (
    check_checkpoint,
    check_same_run,
    checkpoint_to_resume,
    data_digest,
    explaining_a_full_disk,
    last_checkpoint,
    own_checkpoints,
    remove_all,
    remove_old,
    writing,
)

Make = Callable[..., MclTrainer]


def write(folder: Path, step: int) -> Path:
    """A checkpoint with nothing in it but its state."""
    checkpoint = folder / f"checkpoint-{step}"
    with writing(checkpoint, {"seed": 1}):
        (checkpoint / "trainer_state.json").write_text("{}")
    return checkpoint


@pytest.fixture
def checkpoint(make_trainer: Make, tmp_path: Path) -> Path:
    make_trainer(save_steps=2).train()
    return tmp_path / "checkpoint-2"


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 2)
    write(tmp_path, 10)
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "checkpoint-12", {"seed": 1}):
        (tmp_path / "checkpoint-12" / "trainer_state.json").write_text("{}")
        raise KeyboardInterrupt
    assert get_last_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-12")  # transformers would take it
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    (tmp_path / "checkpoint-13").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    with pytest.raises(UserError, match=r"checkpoint-12 was not written to its end; the last whole one is .*-10"):
        check_checkpoint(tmp_path / "checkpoint-12")


def test_what_an_earlier_try_left_is_cleared_away(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "checkpoint-2", {"seed": 1}):
        (tmp_path / "checkpoint-2" / "rng_state_7.pth").write_text("of a process that this run does not have")
        raise KeyboardInterrupt
    assert sorted(path.name for path in write(tmp_path, 2).iterdir()) == ["run.json", "trainer_state.json"]


def put_what_others_wrote(folder: Path) -> dict[str, Any]:
    """What lies in a folder beside a run's own checkpoints; its look, to see that nothing became of it."""
    own = write(folder, 4)
    shutil.copytree(own, folder / "checkpoint-8")  # kept under another number
    shutil.copytree(own, folder / "checkpoint-best")
    for name in ("checkpoint-7", "checkpoint-best", "checkpoint-last", "my-checkpoint-3", "checkpoint-3.bak"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "trainer_state.json").write_text("{}")
    (folder / "checkpoint-6").symlink_to(own)
    (folder / "checkpoint-9").write_text("a file")
    (folder / "checkpoint-11").mkdir()
    shutil.rmtree(own)
    return look(folder)


def look(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.is_symlink()
        for path in folder.rglob("*")
    }


def test_only_own_checkpoints_are_ever_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = put_what_others_wrote(tmp_path)
    for step in (2, 4, 10, 12):
        write(tmp_path, step)
    remove_old(tmp_path, 2, None)
    assert {path.name for path in own_checkpoints(tmp_path)} == {"checkpoint-10", "checkpoint-12"}
    assert theirs.items() <= look(tmp_path).items()
    logging.getLogger("transformers_mcl").addHandler(caplog.handler)
    remove_all(tmp_path)
    assert "checkpoint-10 is removed, checkpoint-12 is removed; all that has no name" in caplog.text
    assert look(tmp_path) == theirs


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        write(tmp_path, step)
    remove_old(tmp_path, None, None)
    assert len(own_checkpoints(tmp_path)) == 4
    remove_old(tmp_path, 1, str(tmp_path / "checkpoint-4"))
    assert [path.name for path in own_checkpoints(tmp_path)] == ["checkpoint-4", "checkpoint-8"]


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_lies_in_the_way_of_a_checkpoint_is_kept(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    way = tmp_path / "checkpoint-2"
    if kind == "folder":
        (tmp_path / "elsewhere").rename(way)
    elif kind == "link":
        way.symlink_to(tmp_path / "elsewhere")
    else:
        way.write_text("mine")
    write(tmp_path, 2)
    assert [path.name for path in own_checkpoints(tmp_path)] == ["checkpoint-2"]
    (aside,) = tmp_path.glob("checkpoint-2.kept-*")
    assert (aside if kind == "file" else aside / "mine.txt").read_text() == "mine"
    assert aside.is_symlink() == (kind == "link")


def test_a_state_cut_short_is_passed_over_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("transformers_mcl").addHandler(caplog.handler)
    torch.save({}, write(tmp_path, 2) / "optimizer.pt")
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2, "max_steps": 4}')
    (write(tmp_path, 4) / "trainer_state.json").write_text('{"epoch": 1.')
    for wanted in (True, "true", "True", "auto"):
        assert checkpoint_to_resume(wanted, tmp_path) == str(tmp_path / "checkpoint-2")
    assert "checkpoint-4 passed over, not written to the end or written by another program" in caplog.text
    with pytest.raises(UserError, match=r"trainer_state.json is damaged"):
        checkpoint_to_resume(str(tmp_path / "checkpoint-4"), tmp_path)


def test_auto_goes_on_from_what_there_is_and_begins_where_there_is_nothing(tmp_path: Path) -> None:
    for wanted in (None, False, "false", "False", "auto"):
        assert checkpoint_to_resume(wanted, tmp_path / "none") is None
    with pytest.raises(UserError, match="there is no whole checkpoint in"):
        checkpoint_to_resume(True, tmp_path / "none")
    put_what_others_wrote(tmp_path)
    assert checkpoint_to_resume("auto", tmp_path) is None
    with pytest.raises(UserError, match="checkpoint-11 does not carry this package's mark: give its path"):
        checkpoint_to_resume(True, tmp_path)
    assert last_checkpoint(tmp_path, anyones=True) == str(tmp_path / "checkpoint-8")


def test_there_is_no_last_checkpoint_in_no_folder(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None


def test_old_checkpoints_are_removed_once_the_new_one_is_whole(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    to_disk = io.to_disk

    def watched(path: Path) -> None:
        seen.append(sorted(os.listdir(tmp_path)))
        to_disk(path)

    monkeypatch.setattr(checkpoints, "to_disk", watched)
    make_trainer(save_steps=2, save_total_limit=1).train()
    assert seen == [["checkpoint-2"], ["checkpoint-2", "checkpoint-4"]]
    assert os.listdir(tmp_path) == ["checkpoint-4"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
    ids=str,
)
def test_a_full_disk_costs_no_checkpoint(
    make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trainer, save, calls = make_trainer(save_steps=2, save_total_limit=1), torch.save, []

    def full(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) > 4:  # in the second checkpoint
            raise error
        save(*args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"disk is full: checkpoint-4 .* the last good checkpoint is .*checkpoint-2: "):
        trainer.train()
    assert os.listdir(tmp_path) == ["checkpoint-2"]
    check_checkpoint(tmp_path / "checkpoint-2")


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"), explaining_a_full_disk(tmp_path, "x"):
        raise RuntimeError("shape")
    with pytest.raises(OSError, match="denied"), explaining_a_full_disk(tmp_path, "x"):
        raise PermissionError(errno.EACCES, "denied")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json"]
)
def test_a_damaged_file_is_named(checkpoint: Path, name: str) -> None:
    check_checkpoint(checkpoint)
    os.truncate(checkpoint / name, (checkpoint / name).stat().st_size // 2)
    with pytest.raises(UserError, match=rf"{name} is damaged.*move this checkpoint away"):
        check_checkpoint(checkpoint)


def test_the_same_run_may_go_on(checkpoint: Path, make_trainer: Make) -> None:
    trainer = make_trainer()
    check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=False)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 2}, "num_hidden_layers is 2 and was 1"),
        ({"vocab_size": 70}, "vocab_size is 70 and was 60"),
        ({"objective": "electra"}, "loss_weights is "),
    ],
    ids=str,
)
def test_another_model_is_refused(checkpoint: Path, make_trainer: Make, config: dict[str, Any], said: str) -> None:
    trainer = make_trainer(config)
    with pytest.raises(UserError, match=f"holds another model: {said}"):
        check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=True)


def test_ratios_and_weights_may_change(checkpoint: Path, make_trainer: Make) -> None:
    trainer = make_trainer({"mask_ratio": 0.3, "loss_weights": {"mlm": 2.0, "rtd": 1.0, "std": 1.0, "itd": 1.0}})
    check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=False)


def test_another_encoder_is_refused_by_the_fields_that_differ(make_trainer: Make, tmp_path: Path) -> None:
    """A family's own configurations are compared field by field; dropout and temperature may change there, too."""

    def trainer(
        generator: dict[str, Any] | None = None, method: dict[str, Any] | None = None, **bert: Any
    ) -> MclTrainer:
        backbone = families.tiny_config("bert", vocab_size=60, width=16, **bert)
        its = families.tiny_config("bert", vocab_size=60, width=16, layers=1, **(generator or {}))
        halves = {"backbone_config": backbone, "generator_backbone_config": its}
        return make_trainer({**halves, "pad_token_id": 0, **(method or {})}, save_steps=2)

    (first := trainer()).train()
    saved = tmp_path / "checkpoint-2"
    check_same_run(saved, first.identity, first.model.config, ignore_data=False)
    free = trainer({"attention_dropout": 0.2}, {"generator_temperature": 2.0}, hidden_dropout_prob=0.1)
    check_same_run(saved, free.identity, free.model.config, ignore_data=False)
    others = {
        "backbone_config.layer_norm_eps is 0.001 and was 1e-12": trainer(layer_norm_eps=1e-3),
        "generator_backbone_config.hidden_act is relu and was gelu": trainer({"hidden_act": "relu"}),
        "backbone_config.model_type is roberta and was bert": trainer(),
        "generator_shares is gdes and was token": trainer(method={"generator_shares": "gdes"}),
        "generator_trainable is False and was True": trainer(method={"generator_trainable": False}),
    }
    for said, other in others.items():
        config = other.model.config
        if "model_type" in said:
            config = copy.deepcopy(config)
            config.backbone_config = families.tiny_config("roberta", vocab_size=60, width=16)
        with pytest.raises(UserError, match=f"holds another model: .*{said}"):
            check_same_run(saved, other.identity, config, ignore_data=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"per_device_train_batch_size": 8}, "per_device_train_batch_size is 8 and was 4"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps is 2 and was 1"),
        ({"seed": 7}, "seed is 7 and was 42"),
    ],
    ids=str,
)
def test_other_batches_are_refused_unless_the_data_is_ignored(
    checkpoint: Path, make_trainer: Make, arguments: dict[str, Any], said: str
) -> None:
    trainer = make_trainer(**arguments)
    with pytest.raises(UserError, match=f"{said}.*--ignore_data_skip"):
        check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=False)
    check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=True)


def test_other_processes_and_other_text_are_refused(checkpoint: Path, make_trainer: Make, rows: Dataset) -> None:
    trainer = make_trainer()
    for other in ({"processes": 2}, {"rows of text": data_digest(rows.select(range(47)))}):
        with pytest.raises(UserError, match=f"{next(iter(other))} is .* and was "):
            check_same_run(checkpoint, trainer.identity | other, trainer.model.config, ignore_data=False)


def test_the_digest_is_that_of_the_rows(rows: Dataset, tmp_path: Path) -> None:
    rows.save_to_disk(tmp_path / "elsewhere")
    assert data_digest(Dataset.load_from_disk(tmp_path / "elsewhere")) == data_digest(rows)
    assert data_digest(rows.select(reversed(range(48)))) != data_digest(rows)


def test_nothing_is_known_of_a_checkpoint_that_does_not_say(checkpoint: Path, make_trainer: Make) -> None:
    (checkpoint / "run.json").unlink()
    trainer = make_trainer({"vocab_size": 70}, seed=7)
    check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=False)


def test_the_run_is_remembered(checkpoint: Path) -> None:
    saved = json.loads((checkpoint / "run.json").read_text())
    assert saved["processes"] == 1
    assert saved["rows of text"].startswith("48, ")


def test_what_was_never_whole_is_removed_and_costs_no_other(make_trainer: Make, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "checkpoint-90", {}):
        raise KeyboardInterrupt
    make_trainer(save_steps=2, save_total_limit=1).train()
    assert os.listdir(tmp_path) == ["checkpoint-4"]


@pytest.mark.parametrize("name", ["model.safetensors", "scheduler.pt", "rng_state.pth"])
def test_a_lost_file_is_named(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(UserError, match=f"has lost its {name}"):
        check_checkpoint(checkpoint)


def test_a_model_is_no_checkpoint(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(save_steps=2, save_only_model=True).train()
    with pytest.raises(UserError, match="has no optimizer state"):
        check_checkpoint(tmp_path / "checkpoint-4")


def test_a_damage_in_the_middle_is_found(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.pt"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"optimizer.pt is damaged"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["trainer_state.json", "run.json"])
@pytest.mark.parametrize("content", ["[]", "{}", "[1]"])
def test_a_state_that_is_none_is_refused(checkpoint: Path, name: str, content: str) -> None:
    (checkpoint / name).write_text(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("arguments", "said"), [({"optim": "sgd"}, "optim is sgd"), ({"generator_learning_rate": 1e-3}, "generator_learn")]
)
def test_another_optimizer_is_refused_whatever_becomes_of_the_data(
    checkpoint: Path, make_trainer: Make, arguments: dict[str, Any], said: str
) -> None:
    trainer = make_trainer(**arguments)
    with pytest.raises(UserError, match=f"of another kind: {said}"):
        check_same_run(checkpoint, trainer.identity, trainer.model.config, ignore_data=True)
