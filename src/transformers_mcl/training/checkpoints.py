"""Checkpoints that are whole or not there, and that say which run they belong to.

A folder `checkpoint-STEP` that this package writes carries its mark from the first moment: a `run.json` that names its
step. What has none, or is a link, or was copied to another name, is the user's: it is never written into nor removed.
"""

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
from uuid import uuid4

import numpy as np
import torch
from safetensors import SafetensorError
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ..errors import UserError
from ..io import is_disk_full, load_json, one_line, read_json, to_disk
from ..method.courses import COURSES
from ..models.configuration_mcl import MclConfig
from ..models.folders import tensor_heads
from ..models.loading import check_weights
from .states import check_random_state, check_run, check_stream_state, check_trainer_state

__all__ = [
    "INCOMPLETE",
    "check_checkpoint",
    "check_same_run",
    "checkpoint_to_resume",
    "data_digest",
    "explaining_a_full_disk",
    "last_checkpoint",
    "numbered",
    "own_checkpoints",
    "remembered",
    "remove_all",
    "remove_old",
    "whole",
    "writing",
]

logger = logging.get_logger(__name__)

# The name that transformers gives such a file, in its own checkpoints at SIGTERM.
INCOMPLETE = "checkpoint-is-incomplete.txt"
_STATE, _RUN = "trainer_state.json", "run.json"
# The beginnings of the names of what torch has saved and a Trainer reads.
_READ = ("optimizer", "scheduler", "scaler", "rng_state", "pytorch_model", "adapter_model")
_CHECKS = {_STATE: check_trainer_state, _RUN: check_run, "stream_state_": check_stream_state}
# What may not change whatever becomes of the data: the optimizer's state would not fit.
_FITTED = ("optim", "generator_learning_rate")
# By what is there of one, if the checkpoint has an optimizer's state: DeepSpeed's lies in a folder of its own.
_OPTIMIZERS = ("optimizer*", "global_step*")
# What a resumed run may change in the configuration: how it goes on, and not what the weights fit.
_FREE = {"loss_weights", "correction_average", "generator_dropout", "course_schedule", "correction_rows"}
_FREE |= {"generator_temperature", "generator_temperature_decay", "architectures", "dtype", "transformers_version"}


def numbered(folder: str | os.PathLike[str]) -> list[Path]:
    """All that is called `checkpoint-STEP` in `folder`, whoever wrote it, by steps."""
    found = [path for path in Path(folder).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _step(path) is not None]
    return sorted(found, key=lambda path: _step(path) or 0)


def own_checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """The checkpoints in `folder` that carry this package's mark, half-written ones as well, by steps."""
    return [path for path in numbered(folder) if _is_own(path)]


def last_checkpoint(folder: str | os.PathLike[str], anyones: bool = False) -> str | None:
    """The whole checkpoint of the most steps in `folder`, if there is one; one half-written is passed over.

    Args:
        anyones: take those that another program has written as well.
    """
    found = numbered(folder) if anyones else own_checkpoints(folder)
    return next((str(path) for path in reversed(found) if whole(path)), None)


def checkpoint_to_resume(wanted: str | bool | None, folder: str | os.PathLike[str]) -> str | None:
    """The checkpoint that a run into `folder` goes on from.

    Args:
        wanted: `resume_from_checkpoint`: of true and auto the last whole one in `folder`, without one true is refused
            and auto begins; else a path.

    Raises:
        UserError: there is none, or it is damaged.
    """
    word = str(wanted or "false").lower()
    if word == "false":
        return None
    if word not in ("true", "auto"):
        if not Path(str(wanted)).is_dir():
            raise UserError(f"resume_from_checkpoint={wanted}: there is no such folder, and so no whole checkpoint")
        check_checkpoint(Path(str(wanted)))
        return str(wanted)
    found, others = last_checkpoint(folder), numbered(folder)
    later = [path.name for path in others if found is None or (_step(path) or 0) > (_step(Path(found)) or 0)]
    if later:
        on = f"it goes on from {found}" if found else "there is no other"
        logger.warning_once(
            f"resume_from_checkpoint: {folder}: {' and '.join(later)} passed over, not written to the end or "
            f"written by another program; {on}"
        )
    if found is not None:
        check_checkpoint(Path(found))
    elif word == "true":
        named = f"; {others[-1]} does not carry this package's mark: give its path to go on from it" if others else ""
        raise UserError(f"resume_from_checkpoint={wanted}: there is no whole checkpoint in {folder}{named}")
    return found


def whole(checkpoint: Path) -> bool:
    """Whether all of the checkpoint was written, and its state can be read."""
    return _ended(checkpoint) and isinstance(read_json(checkpoint / _STATE), dict)


def _ended(checkpoint: Path) -> bool:
    """Whether its state, which comes last, is there, and the mark of the writing gone."""
    return (checkpoint / _STATE).is_file() and not (checkpoint / INCOMPLETE).exists()


def _step(path: Path) -> int | None:
    match = re.fullmatch(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)", path.name)
    return int(match[1]) if match else None


def _is_own(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and remembered(path).get("step") == _step(path)


@contextmanager
def writing(checkpoint: Path, run: Mapping[str, Any] | None) -> Iterator[None]:
    """Around the writing of a checkpoint by all processes: until its end it is marked as half-written.

    Args:
        checkpoint: its folder, which may hold what is left of an earlier try. What another program has put there is
            moved aside.
        run: what to remember of the run (`check_same_run`), read at the end, on the process that writes; None on the
            others.

    Raises:
        UserError: the disk is full. What was written of this checkpoint is removed, and no other is touched.
    """
    try:
        with explaining_a_full_disk(checkpoint.parent, checkpoint.name):
            if run is not None:
                _make_way(checkpoint)
                checkpoint.mkdir(parents=True, exist_ok=True)
                mark = {"step": _step(checkpoint)}
                (checkpoint / _RUN).write_text(json.dumps(mark), encoding="utf-8")
                (checkpoint / INCOMPLETE).write_text("This checkpoint was still being written.\n", encoding="utf-8")
            yield
            if run is not None:
                files = sorted(str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file())
                run = {**mark, **run, "files": [name for name in files if name != INCOMPLETE]}
                (checkpoint / _RUN).write_text(json.dumps(run, indent=2), encoding="utf-8")
                to_disk(checkpoint)
                (checkpoint / INCOMPLETE).unlink()
    except UserError:
        if _is_own(checkpoint):
            shutil.rmtree(checkpoint, ignore_errors=True)
        raise


def _make_way(checkpoint: Path) -> None:
    if _is_own(checkpoint):
        shutil.rmtree(checkpoint)
    elif os.path.lexists(checkpoint) and (checkpoint.is_symlink() or not _is_empty(checkpoint)):
        aside = checkpoint.with_name(f"{checkpoint.name}.kept-{uuid4().hex[:8]}")
        checkpoint.rename(aside)
        logger.warning(
            f"{checkpoint} was not written by this run, which now has one of this name: it is kept as {aside}"
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


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


def remove_old(folder: Path, limit: int | None, best: str | None) -> None:
    """Removes, of those that carry the mark, what is left of checkpoints that were never whole, and the oldest of more
    than `limit` others; the last one and the `best` are kept."""
    found = own_checkpoints(folder)
    for path in (path for path in found if (path / INCOMPLETE).exists()):
        shutil.rmtree(path, ignore_errors=True)
    found = [path for path in found if path.is_dir()]
    kept = {found[-1], *(path for path in found if best and path.name == Path(best).name)} if found else set()
    surplus = len(found) - max(limit, len(kept)) if limit else 0
    for path in [path for path in found if path not in kept][: max(surplus, 0)]:
        shutil.rmtree(path, ignore_errors=True)


def remove_all(folder: Path) -> None:
    """Removes the checkpoints in `folder` that carry the mark, and says so, and what will be written over."""
    found = own_checkpoints(folder)
    over = [name for name in ("README.md", "config.json", "model.safetensors") if (folder / name).exists()]
    goes = [f"{path.name} is removed" for path in found] + [f"{name} is replaced" for name in over]
    if goes:
        logger.warning(f"overwrite_output_dir: {folder}: {', '.join(goes)}; all that has no name of a new file stays")
    for path in found:
        shutil.rmtree(path)


def remembered(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """What the checkpoint remembers of its run; nothing if another trainer wrote it."""
    found = read_json(Path(checkpoint) / _RUN)
    return found if isinstance(found, dict) else {}


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
    if not _ended(checkpoint):
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
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if path.name.startswith("rng_state"):
                check_random_state(found)
    elif path.suffix == ".json":
        found = load_json(path, object)
        if path.name in (_STATE, _RUN) and not (isinstance(found, dict) and found):
            raise ValueError("it does not hold what was saved")
        for beginning, check in _CHECKS.items():
            if path.name.startswith(beginning):
                check(found)


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
