from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from transformers_mcl.errors import Interrupted, UserError
from transformers_mcl.soups.draft import appearing, check_apart, check_room


def test_the_folder_appears_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "soup"
    with appearing(folder) as draft:
        (draft / "file").write_text("x")
        assert not folder.exists() and draft.parent == folder.parent
    assert [path.name for path in folder.parent.iterdir()] == ["soup"] and (folder / "file").exists()
    other = tmp_path / "made by mkdir"
    other.mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "soup").mkdir()
    with appearing(tmp_path / "soup") as draft:
        (draft / "file").write_text("x")
    assert (tmp_path / "soup" / "file").exists()


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError, "the disk is full: nothing was written into"),
        (OSError(errno.ENOENT, "gone"), OSError, "gone"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_nothing_is_left_of_what_failed(
    tmp_path: Path, error: BaseException, raised: type[BaseException], message: str
) -> None:
    with pytest.raises(raised, match=message), appearing(tmp_path / "soup") as draft:
        (draft / "file").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM: nothing was written into .*soup"):
        with appearing(tmp_path / "soup") as draft:
            (draft / "file").write_text("x")
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:  # as libraries have it, which must not hold it up
                pass
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="output_dir .* cannot be made: "), appearing(tmp_path / "file" / "soup"):
        pass


def test_the_output_is_apart_from_the_ingredients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingredient = tmp_path / "run" / "checkpoint-1"
    ingredient.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(ingredient)
    for output, word in ((ingredient, "is"), ("link", "is"), ("run/checkpoint-1/soup", "lies inside")):
        with pytest.raises(UserError, match=f"{word} the ingredient 'run/checkpoint-1': give another folder"):
            check_apart(output, ["run/checkpoint-1"])
    with pytest.raises(UserError, match="lies inside the ingredient"):
        check_apart("run/soup", ["run"])
    with pytest.raises(UserError, match="is not an empty folder"):
        check_apart("run", ["run/checkpoint-1"])
    assert check_apart("soup", ["run", "ada/soup"]) == tmp_path / "soup"


def test_there_must_be_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    check_room(tmp_path / "not" / "yet", 10**9)
    with pytest.raises(UserError, match="the soup takes 2.00 GB, and its disk has 1.00 GB left"):
        check_room(tmp_path / "not" / "yet", 2 * 10**9)
