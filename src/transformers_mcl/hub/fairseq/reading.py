"""Finding a fairseq checkpoint, and reading it without running what is in it."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from ...errors import UserError
from ...io import nearest_path, one_line

__all__ = ["REPORT_THIS", "Checkpoint", "Settings", "Sources", "find_checkpoint", "find_sources", "read_checkpoint"]

REPORT_THIS = "please report it, with these names, to the maintainers of transformers-mcl"
_WRAPPERS = ("module.", "model.", "_orig_mod.")
# Nothing that runs code: an object with attributes, which is what fairseq keeps its arguments in.
_ALLOWED: list[Any] = [argparse.Namespace]


@dataclass(frozen=True)
class Sources:
    """The files that a conversion reads.

    Attributes:
        name: what the user called it.
        checkpoint: the `.pt` file.
        dictionary: `dict.txt`, if it lies beside.
        sentencepiece: the one `*.model` file, if there is one.
    """

    name: str
    checkpoint: Path
    dictionary: Path | None = None
    sentencepiece: Path | None = None


class Settings:
    """What the checkpoint says of its own training: the model's, the task's and the criterion's arguments."""

    def __init__(self, checkpoint: Mapping[str, Any]) -> None:
        cfg, self.sections = checkpoint.get("cfg"), {}
        for section in ("model", "task", "criterion", "dataset"):
            if isinstance(cfg, Mapping):
                self.sections[f"cfg.{section}"] = _as_mapping(cfg.get(section))
        self.sections["args"] = _as_mapping(checkpoint.get("args"))

    def get(self, name: str) -> tuple[Any, str]:
        """The value of an argument and where it stands; `(None, "")` if nowhere."""
        for section, values in self.sections.items():
            if values.get(name) is not None:
                return values[name], f"{section}.{name}"
        return None, ""


def _as_mapping(section: Any) -> Mapping[str, Any]:
    if isinstance(section, argparse.Namespace):
        return vars(section)
    return section if isinstance(section, Mapping) else {}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        tensors: the model's, by fairseq's names; on the disk until they are used, where the format allows it.
        settings: the arguments it was trained with.
        container: in words, how the tensors lay in the file.
        rest: what else is in the file, by its name at the top level.
    """

    tensors: dict[str, Tensor]
    settings: Settings
    container: str
    rest: list[str]


def find_sources(
    path_or_repo: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Sources:
    """The files of `path_or_repo`: a checkpoint, a folder that holds one, or a repository on the Hub.

    Raises:
        UserError: there is no such thing, or no checkpoint in it.
    """
    name, path = str(path_or_repo), Path(path_or_repo).expanduser()
    if path.is_file():
        return _sources(name, path)
    if path.is_dir():
        return _sources(name, find_checkpoint(path))
    if path.is_absolute() or path.suffix == ".pt" or name.count("/") != 1:
        raise UserError(f"{name!r} is no checkpoint, no folder and no name on the Hub{nearest_path(name)}")
    hub: dict[str, Any] = {"revision": revision, "token": token}
    try:
        patterns = ["*.pt"]
        if not local_files_only:
            patterns = [_choose(HfApi().list_repo_files(name, **hub), name)]
        folder = snapshot_download(
            name,
            allow_patterns=[*patterns, "dict.txt", "*.model"],
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            **hub,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise UserError(f"{name!r} is no folder here, and not to be had from the Hub: {one_line(error)}") from error
    return _sources(name, find_checkpoint(folder))


def _sources(name: str, checkpoint: Path) -> Sources:
    models = sorted(checkpoint.parent.glob("*.model"))
    dictionary = checkpoint.with_name("dict.txt")
    return Sources(
        name, checkpoint, dictionary if os.path.lexists(dictionary) else None, models[0] if len(models) == 1 else None
    )


def find_checkpoint(folder: str | Path) -> Path:
    """The checkpoint of a fairseq folder: of several the best, the last, or that of most updates.

    Raises:
        UserError: there is none, or several and none of fairseq's names.
    """
    names = [path.name for path in Path(folder).iterdir() if not path.is_dir()]
    return Path(folder) / _choose(names, str(folder))


def _choose(names: list[str], where: str) -> str:
    found = sorted(name for name in names if name.endswith(".pt") and "/" not in name)
    if not found:
        raise UserError(f"{where!r} holds no fairseq checkpoint (*.pt)")
    named = [name for name in ("checkpoint_best.pt", "checkpoint_last.pt", "model.pt") if name in found]
    numbers = {name: re.fullmatch(r"checkpoint_?(\d+)(?:_(\d+))?\.pt", name) for name in found}
    numbered = {name: (int(match[2] or 0), int(match[1])) for name, match in numbers.items() if match}
    if len(found) == 1 or not (named or numbered):
        if len(found) > 1:
            raise UserError(f"{where!r} holds several checkpoints, {', '.join(found)}: give the path of one of them")
        return found[0]
    return named[0] if named else max(numbered, key=lambda name: numbered[name])


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint with `weights_only=True`, memory-mapped if it is a zip file (PyTorch 1.6 and later).

    Raises:
        UserError: no PyTorch file, a damaged one, one that would run code, or one without a model.
    """
    zipped = zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
            if unsafe:
                raise _refused(path, unsafe)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if names := re.findall(r"GLOBAL ([\w.]+)", str(error)):
            raise _refused(path, names) from error
        raise UserError(f"{path} is no checkpoint that can be read safely: {one_line(error)}") from error
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(f"{path} is damaged, or no PyTorch checkpoint: {one_line(error)}") from error
    where, tensors = _model_in(content, path)
    settings = Settings(content if where else {})
    wrapper = ""
    while prefix := next((p for p in _WRAPPERS if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
        wrapper += prefix
    container = f"tensors under {where!r}" if where else "a bare state dict"
    container += f", their names under {wrapper!r}" if wrapper else ""
    container += "" if zipped else ", in the format before PyTorch 1.6 (read into memory: it cannot be mapped)"
    rest = [key for key, value in content.items() if key != where and value is not None] if where else []
    return Checkpoint(tensors, settings, container, rest)


def _refused(path: Path, names: list[str]) -> UserError:
    return UserError(
        f"{path} is refused: opening it would run code that its maker chose, by the names "
        f"{', '.join(sorted(set(names)))}; nothing was run"
    )


def _model_in(content: Any, path: Path) -> tuple[str, dict[str, Tensor]]:
    """The name at the top level that the model's tensors lie under (`""` if they are the top level), and they."""
    if isinstance(content, Mapping):
        for name, part in [("", content), ("model", content.get("model")), *content.items()]:
            if isinstance(part, Mapping) and part and all(isinstance(value, Tensor) for value in part.values()):
                return str(name), {str(key): value for key, value in part.items()}
    found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise UserError(f"{path} holds no state dict of tensors, but {found or 'nothing'}; {REPORT_THIS}")
