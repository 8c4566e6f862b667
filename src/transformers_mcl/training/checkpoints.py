"""Checkpoints that are whole or not there, and that say which run they belong to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from ..errors import UserError
from ..io import is_disk_full, load_json, one_line, read_json
from ..method.courses import COURSES
from ..models.configuration_mcl import MclConfig
from ..models.folders import tensor_heads
from ..models.loading import check_weights

__all__ = [
    "INCOMPLETE",
    "check_checkpoint",
    "check_same_run",
    "data_digest",
    "explaining_a_full_disk",
    "is_whole",
    "last_checkpoint",
    "remembered",
    "remove_old",
    "writing",
]

# The name that transformers gives such a file, in its own checkpoints at SIGTERM.
INCOMPLETE = "checkpoint-is-incomplete.txt"
_STATE, _RUN = "trainer_state.json", "run.json"
# The beginnings of the names of what torch has saved and a Trainer reads.
_READ = ("optimizer.pt", "scheduler.pt", "rng_state")
# What may not change whatever becomes of the data: the optimizer's state would not fit.
_FITTED = ("optim", "generator_learning_rate")
# By what is there of one, if the checkpoint has an optimizer's state: DeepSpeed's lies in a folder of its own.
_OPTIMIZERS = ("optimizer*", "global_step*")
# What a resumed run may change in the configuration: how it goes on, and not what the weights fit.
_FREE = {"loss_weights", "correction_average", "generator_dropout", "course_schedule", "correction_rows"}
_FREE |= {"generator_temperature", "generator_temperature_decay", "architectures", "dtype", "transformers_version"}


def last_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The whole checkpoint of the most steps in `folder`, if there is one; one half-written is passed over."""
    found = {}
    for path in Path(folder).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if (match := re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name)) and is_whole(path):
            found[int(match[1])] = str(path)
    return found[max(found)] if found else None


def is_whole(checkpoint: Path) -> bool:
    """Whether all of the checkpoint was written: its state comes last, and the mark of the writing is gone."""
    return (checkpoint / _STATE).is_file() and not (checkpoint / INCOMPLETE).exists()


@contextmanager
def writing(checkpoint: Path, run: Mapping[str, Any] | None) -> Iterator[None]:
    """Around the writing of a checkpoint by all processes: until its end it is marked as half-written.

    Args:
        checkpoint: its folder, which may hold what is left of an earlier try.
        run: what to remember of the run (`check_same_run`), on the process that writes; None on the others.

    Raises:
        UserError: the disk is full. What was written of this checkpoint is removed, and no other is touched.
    """
    try:
        with explaining_a_full_disk(checkpoint.parent, checkpoint.name):
            if run is not None:
                shutil.rmtree(checkpoint, ignore_errors=True)
                checkpoint.mkdir(parents=True)
                (checkpoint / INCOMPLETE).write_text("This checkpoint was still being written.\n", encoding="utf-8")
            yield
            if run is not None:
                files = sorted(str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file())
                run = {**run, "files": [name for name in files if name != INCOMPLETE]}
                (checkpoint / _RUN).write_text(json.dumps(run, indent=2), encoding="utf-8")
                _to_disk(checkpoint)
                (checkpoint / INCOMPLETE).unlink()
    except UserError:
        shutil.rmtree(checkpoint, ignore_errors=True)
        raise


@contextmanager
def explaining_a_full_disk(folder: Path, name: str) -> Iterator[None]:
    """Around the writing of `name` into the `folder` of a run.

    Raises:
        UserError: the disk is full; says which checkpoint there is to go on from.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not is_disk_full(error):
            raise
        last = last_checkpoint(folder)
        raise UserError(
            f"the disk is full: {name} could not be written into {folder}; "
            + (f"the last good checkpoint is {last}" if last else "no earlier checkpoint is there")
            + ": make room, or keep fewer with --save_total_limit, and go on with --resume_from_checkpoint true"
        ) from error


def _to_disk(checkpoint: Path) -> None:
    """Has the system write what it still holds in memory, so that a power cut finds the checkpoint whole or marked."""
    for path in (*(path for path in checkpoint.rglob("*") if path.is_file()), checkpoint):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_old(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes what is left of checkpoints that were never whole, and the oldest of more than `limit` others."""
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
    rotate_checkpoints(str(folder), limit, best)


def remembered(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """What the checkpoint remembers of its run; nothing if another trainer wrote it."""
    return dict(read_json(Path(checkpoint) / _RUN) or {})


def data_digest(rows: Any) -> str:
    """Stands for the rows of a data set, wherever its files lie: of their number and of some of them."""
    digest = hashlib.sha256(str(len(rows)).encode())
    for number in range(0, len(rows), max(len(rows) // 64, 1)):
        digest.update(np.asarray(rows[number]["input_ids"], dtype=np.int64).tobytes())
    return f"{len(rows):,}, {digest.hexdigest()[:8]}"


def check_checkpoint(checkpoint: Path) -> None:
    """Looks at every file of a checkpoint; of weights in safetensors only at the head.

    Raises:
        UserError: one is missing or damaged.
    """
    if not is_whole(checkpoint):
        other = last_checkpoint(checkpoint.parent)
        raise UserError(
            f"resume_from_checkpoint: {checkpoint} was not written to its end"
            + (f"; the last whole one is {other}" if other else "")
        )
    for path in sorted(checkpoint.rglob("*")):
        try:
            _check_file(path)
        except UserError as error:
            raise UserError(
                f"resume_from_checkpoint: {error}: move this checkpoint away, and go on from the one before"
            ) from error
        except Exception as error:  # whatever a damaged file leads to
            raise UserError(
                f"resume_from_checkpoint: {path} is damaged ({one_line(error)}): "
                "move this checkpoint away, and go on from the one before"
            ) from error
    check_weights(checkpoint, "resume_from_checkpoint")
    for name in remembered(checkpoint).get("files", []):
        if not (checkpoint / name).exists():
            raise UserError(f"resume_from_checkpoint: {checkpoint} has lost its {name}: move the checkpoint away")
    if not any(next(checkpoint.glob(pattern), None) for pattern in _OPTIMIZERS):
        raise UserError(
            f"resume_from_checkpoint: {checkpoint} has no optimizer state: it is a model, which --model_name_or_path "
            "goes on from, or was saved with --save_only_model"
        )


def _check_file(path: Path) -> None:
    """Raises what its reader raises, or a ValueError."""
    if path.suffix == ".safetensors":
        tensor_heads(path)
    elif path.suffix in (".pt", ".pth", ".bin"):
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{broken} in it has another checksum")
        if path.name.startswith(_READ):  # as it will be, but for the numbers
            with safe_globals():
                torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    elif path.suffix == ".json":
        found = load_json(path, object)
        if path.name in (_STATE, _RUN) and not (isinstance(found, dict) and found):
            raise ValueError("it does not hold what was saved")
        if path.name == _STATE and not all(isinstance(found.get(name), int) for name in ("global_step", "max_steps")):
            raise ValueError("it does not say how many steps were taken")


def check_same_run(checkpoint: Path, run: Mapping[str, Any], config: MclConfig, ignore_data: bool) -> None:
    """Refuses to go on with a checkpoint that this run cannot have written, as far as it remembers (`writing`).

    Args:
        run: what this run is, by the names that a user can change.
        config: of this run's model.
        ignore_data: whether it is no matter that the data cannot go on where it stopped.

    Raises:
        UserError: says what differs, and what is safe to change.
    """
    before = remembered(checkpoint)
    if not (saved := before.get("config")):  # written by another trainer
        return
    own, was = _flat(json.loads(config.to_json_string(use_diff=False))), _flat(saved)
    free = _FREE | {course.ratio_name for course in COURSES.values()}
    fields = [name for name in own if name in was and was[name] != own[name] and not _is_free(name, free)]
    if MclConfig.from_dict(saved).active_courses != config.active_courses:  # and with them the heads
        own["loss_weights"], was["loss_weights"] = config.loss_weights, saved["loss_weights"]
        fields.append("loss_weights")
    if fields:
        differ = ", ".join(f"{name} is {own[name]} and was {was[name]}" for name in fields)
        raise UserError(
            f"resume_from_checkpoint: {checkpoint} holds another model: {differ}; give the arguments that the run "
            "began with. Ratios, dropout, and weights of the losses in use may change"
        )
    changed = [k for k in run if k in before and run[k] != before[k]]
    differ = ", ".join(f"{name} is {run[name]} and was {before[name]}" for name in changed)
    if set(changed) & set(_FITTED):
        raise UserError(
            f"resume_from_checkpoint: the optimizer's state in {checkpoint} is of another kind: {differ}; give the "
            "arguments that the run began with, or begin a new run from its weights with --model_name_or_path"
        )
    if differ and not ignore_data:
        raise UserError(
            f"resume_from_checkpoint: {checkpoint} comes from a run over other batches: {differ}, so its place in the "
            "data cannot be found; give the arguments that the run began with, or --ignore_data_skip true to keep the "
            "weights and optimizer and begin with the first row. Learning rate, steps, logging and saving may change"
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a configuration, those of a network's own by `backbone_config.hidden_size` and the like."""
    fields: dict[str, Any] = {}
    for name, value in config.items():
        nested = name.endswith("backbone_config") and isinstance(value, Mapping)
        fields |= _flat(value, f"{name}.") if nested else {f"{prefix}{name}": value}
    return fields


def _is_free(name: str, free: Collection[str]) -> bool:
    own = name.rpartition(".")[-1]
    return own in free or "dropout" in own or own == "_name_or_path"
