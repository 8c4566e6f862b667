"""One run at a time in a folder, whoever dies, and also where nothing can be locked."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from transformers_mcl.errors import UserError
from transformers_mcl.locks import LOCK, claimed


@pytest.fixture
def held() -> Iterator[Callable[..., int]]:
    """Starts a process that claims a folder and waits, until the end of the test at most; its number."""
    ended, end = os.pipe()

    def start(folder: Path, beside: bool = False, grandchild: bool = False) -> int:
        reads, writes = os.pipe()
        if process := os.fork():
            os.close(writes)
            with os.fdopen(reads, "rb") as said:
                assert said.read(1 + grandchild)
            return process
        try:
            os.close(end)
            with claimed(folder, beside):
                if grandchild:  # as a data loader's worker, which outlives its run for a while
                    os.fork()
                os.write(writes, b"1")
                os.read(ended, 1)
        finally:
            os._exit(1)

    yield start
    os.close(end)


@pytest.mark.parametrize("beside", [False, True])
def test_a_second_process_is_refused_while_the_first_lives(
    tmp_path: Path, held: Callable[..., int], beside: bool
) -> None:
    folder = tmp_path / "out"
    process = held(folder, beside)
    try:
        for _ in range(2):
            with pytest.raises(UserError, match=r"output_dir .*out is being written by another run") as refused:
                with claimed(folder, beside):
                    pass
            assert "\n" not in str(refused.value)
        with claimed(tmp_path / "other", beside), claimed(folder, beside, process_index=1):
            pass  # another folder, and another process of the same run
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert list(tmp_path.rglob(f"*{LOCK}")), "of the one that was killed"
    with claimed(folder, beside):
        pass
    assert not list(tmp_path.rglob(f"*{LOCK}"))


def test_what_a_killed_process_has_started_holds_no_lock(tmp_path: Path, held: Callable[..., int]) -> None:
    process = held(tmp_path / "out", grandchild=True)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with claimed(tmp_path / "out"):
        pass


def test_a_folder_may_be_claimed_within_its_claim_and_is_not_left_behind(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "out"
    with claimed(folder), claimed(folder):
        assert (folder / LOCK).exists()
    assert os.listdir(tmp_path) == []
    with claimed(folder):
        with claimed(folder):
            pass
        assert (folder / LOCK).exists()
        (folder / "model").touch()
    assert os.listdir(folder) == ["model"]
    with pytest.raises(KeyboardInterrupt), claimed(folder):
        raise KeyboardInterrupt
    assert os.listdir(folder) == ["model"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EROFS])
def test_where_nothing_can_be_locked_there_is_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    logging.getLogger("transformers_mcl").addHandler(caplog.handler)
    with claimed(tmp_path):
        (tmp_path / "model").touch()
    assert f"cannot be locked ([Errno {number}]" in caplog.text
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_in_its_place_is_for_others_to_refuse(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").touch()
    with claimed(tmp_path / "out"):
        pass
    assert caplog.text == "" and os.listdir(tmp_path) == ["out"]
