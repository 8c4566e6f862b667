"""A disk that is full: one line, what was there is whole, nothing half-written is left, and a second try works."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers.modeling_utils
from safetensors import SafetensorError

from tests.cli.damages import COMMANDS, make_models, run_damaged
from tests.once import Once

WRITING = ("export", "soup", "convert", "tokenizer", "evaluate blimp", "finetune", "pretrain from")


def command(base: Path, name: str, out: Path) -> list[str]:
    words = COMMANDS[name](base, base / ("fairseq" if name == "convert" else "pair"), out)
    return [*words, "--save_strategy", "no"] if name == "finetune" else words


@pytest.fixture
def base(once: Once, tmp_path: Path) -> Path:
    for path in once("models to damage", make_models).iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def _full(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full_as_safetensors_says(*arguments: Any, **options: Any) -> None:
    Path(arguments[1]).write_bytes(b"half")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("name", WRITING)
def test_one_line_and_a_second_try(name: str, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(out: Path) -> list[str]:
        return command(base, name, out)

    with monkeypatch.context() as full:
        full.setattr(transformers.modeling_utils, "safe_save_file", _full_as_safetensors_says)
        full.setattr("transformers_mcl.soups.averaging._write_header", _full)
        full.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", _full)
        full.setattr("transformers_mcl.evaluation.evaluation.write_text", _full)
        found = run_damaged(base, words)
    assert found.status == 2 and "the disk is full" in found.lines[-1]
    assert not [path for path in found.new if path.endswith((".part", "config.json", ".safetensors", ".md"))]
    assert run_damaged(base, words, keep=True).status == 0


@pytest.fixture
def disk(base: Path) -> Iterator[Callable[[int], Path]]:
    """`disk(free)`: a small disk with so many bytes left; more are after its file `filler` is removed."""
    mounted: list[Path] = []

    def mount(free: int) -> Path:
        folder = base / "disk"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("no disk can be mounted here")
        mounted.append(folder)
        left = os.statvfs(folder)
        (folder / "filler").write_bytes(bytes(left.f_bavail * left.f_frsize - free))
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("free", [0, 12_288, 81_920])
@pytest.mark.parametrize("name", WRITING)
def test_a_small_disk(name: str, free: int, base: Path, disk: Callable[[int], Path]) -> None:
    folder = disk(free)

    def words(out: Path) -> list[str]:
        return command(base, name, folder / "out")

    found = run_damaged(base, words)
    if found.status == 0:  # it needs no more than that
        return
    assert found.status == 2 and "disk" in found.lines[-1]
    assert not [path for path in found.new if path.endswith((".part", "model.safetensors"))]
    (folder / "filler").unlink()
    again = [*words(folder), "--resume_from_checkpoint", "true"] if list(folder.glob("out/checkpoint-*")) else None
    assert run_damaged(base, words if again is None else lambda out: again).status == 0
