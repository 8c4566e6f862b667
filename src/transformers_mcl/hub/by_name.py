"""Opens a repository of fairseq's by its name: converted once, into the Hugging Face cache, and opened from there.

[`locate`] is asked in four places, by way of `models.hooks`: `from_pretrained` of MCL's configuration, models and
tokenizer, and, where it fails, `AutoConfig.from_pretrained` (`_registration`), which all Auto classes call first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ResolvedRevision, constants, is_offline_mode, snapshot_download
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]
from transformers.utils import logging
from transformers.utils.hub import cached_file

from ..errors import Interrupted, NotConverted, UserError
from ..io import is_disk_full, read_json, write_json
from ..models.folders import weight_files

__all__ = ["locate"]

logger = logging.get_logger(__name__)

_FORMAT = "2"  # part of where converted files lie; another one makes every copy in a cache obsolete
_FILES, _LARGE = "converted_files.json", 10_000_000  # bytes
_QUIETLY: dict[str, Any] = {
    f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")
}


def locate(
    name_or_path: Any,
    /,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    **other: Any,
) -> Any:
    """Where to open `name_or_path` from.

    If it is a repository of fairseq's, the folder that it was converted to, which happens now unless it has happened
    before; `name_or_path` itself, unchanged, for everything else.

    A repository of fairseq's has a `dict.txt` and a checkpoint `*.pt`, and no `config.json`; it is a local folder, or
    lies on the Hub. Whatever keeps this from being found out is left for transformers to report.

    Args:
        revision, cache_dir, token, local_files_only: as of `from_pretrained`.
        other: the other arguments of `from_pretrained`. With `subfolder` or `gguf_file`, nothing is looked for.

    Raises:
        NotConverted: it is one, and could not be fetched or converted; the message, one line, says why.
    """
    if not isinstance(name_or_path, str | os.PathLike) or other.get("subfolder") or other.get("gguf_file"):
        return name_or_path
    if os.path.isdir(name_or_path):
        return _locate_folder(Path(name_or_path), cache_dir) or name_or_path
    offline = local_files_only or is_offline_mode()
    hub: dict[str, Any] = {"cache_dir": cache_dir, "token": token, "local_files_only": offline}
    try:
        commit = HfApi().resolve_revision(str(name_or_path), revision=revision, **hub)
        target = _home(str(name_or_path), cache_dir) / commit.resolved
        if _is_whole(target):
            return str(target)
        # Given a commit, this costs a request only if it was not made before.
        if cached_file(str(name_or_path), "config.json", revision=commit, **hub, **_QUIETLY):
            return name_or_path
        if not _is_fairseq(_files(str(name_or_path), commit, hub)):
            return name_or_path
    except Exception:  # no such name, no permission, no connection: transformers has said so, or will
        return name_or_path
    _convert(str(name_or_path), target, revision=commit.resolved, **hub)
    return str(target)


def _locate_folder(folder: Path, cache_dir: str | Path | None) -> str | None:
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        # What another file in its place would be seen by, without reading gigabytes.
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:  # no permission: for transformers to report
        return None
    if not _is_fairseq([file.name for file in files]):
        return None
    key = hashlib.sha256(repr((str(folder.resolve()), states)).encode()).hexdigest()[:40]
    assets = Path(cache_dir or constants.HF_ASSETS_CACHE).expanduser()
    target = assets / "transformers-mcl" / "converted" / _FORMAT / key
    if not _is_whole(target):
        _convert(str(folder), target)
    return str(target)


def _home(repo_id: str, cache_dir: str | Path | None) -> Path:
    """Inside the repository's own part of the cache, so that whoever removes it removes this too."""
    cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=repo_id, repo_type="model") / "converted" / _FORMAT


def _files(repo_id: str, commit: ResolvedRevision, hub: dict[str, Any]) -> Collection[str]:
    """The files of a repository; without a connection, those that the cache holds."""
    if hub["local_files_only"]:
        return os.listdir(snapshot_download(repo_id, revision=commit, **hub))
    return HfApi().list_repo_files(repo_id, revision=commit, token=hub["token"])


def _is_fairseq(files: Collection[str]) -> bool:
    checkpoints = [file for file in files if file.endswith(".pt") and "/" not in file]
    return bool(checkpoints) and "dict.txt" in files and "config.json" not in files


def _is_whole(folder: Path) -> bool:
    """Whether a converted copy is there, and as it was written, as far as can be seen without reading the weights."""
    said = read_json(folder / _FILES)
    try:
        return isinstance(said, dict) and _states(folder) == said and bool(weight_files(folder))
    except (OSError, UserError):
        return False


def _states(folder: Path) -> dict[str, str | int]:
    """The files of a converted copy: the hash of each, of large ones the size."""
    paths = [path for path in folder.iterdir() if path.name != _FILES]
    return {
        path.name: size if (size := path.stat().st_size) > _LARGE else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _convert(source: str, target: Path, **hub: Any) -> None:
    """Converts `source` to the folder `target`, which is there whole or not at all."""
    from .fairseq import convert_fairseq_checkpoint

    begun = target.with_name(f"{target.name}.incomplete")  # whatever is half done lies in here
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(f"{target}.lock"):
            if _is_whole(target):  # by another process, while this one waited
                return
            if target.is_dir():
                logger.warning(f"{target} is damaged: it is made anew")
                shutil.rmtree(target)
            logger.warning(f"{source} is a fairseq repository: it is converted, this once, to {target}")
            try:
                shutil.rmtree(begun, ignore_errors=True)  # of one that was killed
                convert_fairseq_checkpoint(source, begun / "model", **hub)
                write_json(begun / "model" / _FILES, _states(begun / "model"))
                (begun / "model").rename(target)
            finally:
                shutil.rmtree(begun, ignore_errors=True)
    except Interrupted:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if is_disk_full(error):
            reason += f": make room for twice the checkpoint at {target.parent}, or set HF_HOME to another place"
        raise NotConverted(f"{source!r} is a fairseq repository that could not be converted: {reason}") from error
