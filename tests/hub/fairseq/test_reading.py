"""Every container gives the same model; none that needs code, is damaged or ambiguous gives anything."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from transformers_mcl import UserError, convert_fairseq_checkpoint
from transformers_mcl.hub.fairseq import find_checkpoint
from transformers_mcl.hub.fairseq.reading import read_checkpoint

Originals = Callable[[str], Any]


def weights(path: Path, folder: Path, **options: Any) -> dict[str, Tensor]:
    convert_fairseq_checkpoint(path, folder, **options)
    return load_file(folder / "model.safetensors")


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(found[key].equal(expected[key]) for key in found)


def containers(content: Any) -> dict[str, Any]:
    """The forms that users have a checkpoint in, by name."""
    model, cfg = content["model"], content["cfg"]
    given = cfg["model"] if isinstance(cfg["model"], dict) else vars(cfg["model"])
    as_namespace = {**cfg, "model": argparse.Namespace(**given), "task": argparse.Namespace(data="data")}
    return {
        "args": {"args": argparse.Namespace(**given), "model": model, "extra_state": {"epoch": 1}},
        "cfg of namespaces": {**content, "cfg": as_namespace},
        "cfg of dicts": {**content, "cfg": {**cfg, "model": dict(given), "task": {"data": "data"}}},
        "bare": model,
        "bare, wrapped": {f"module.model.{name}": tensor for name, tensor in model.items()},
        "model alone": {"model": model},
        "state_dict": {"epoch": 3, "state_dict": dict(model)},
    }


@pytest.mark.parametrize("name", ["unilm_electra", "coco_lm", "amos"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_container_holds_the_same_model(name: str, zipped: bool, original: Originals, tmp_path: Path) -> None:
    expected = weights(original(name).path, tmp_path / "expected")
    for number, (kind, content) in enumerate(containers(original(name).content()).items()):
        path = tmp_path / f"{number}.pt"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        assert same(weights(path, tmp_path / str(number)), expected), kind
        report = (tmp_path / str(number) / "conversion_report.json").read_text()
        assert ("before PyTorch 1.6" in report) is not zipped


def test_half_precision_is_widened(original: Originals, tmp_path: Path) -> None:
    content = original("unilm_electra").content()
    content["model"] = {name: tensor.half().float() for name, tensor in content["model"].items()}
    torch.save(content, tmp_path / "wide.pt")
    torch.save({name: tensor.half() for name, tensor in content["model"].items()}, tmp_path / "half.pt")
    expected = weights(tmp_path / "wide.pt", tmp_path / "wide")
    found = weights(tmp_path / "half.pt", tmp_path / "half")
    assert same(found, expected)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_reading_is_safe_and_mapped(original: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(original("coco_lm").content(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    load, calls = torch.load, []

    def recorded(path: Any, **given: Any) -> Any:
        calls.append(given)
        return load(path, **given)

    monkeypatch.setattr(torch, "load", recorded)
    read_checkpoint(original("coco_lm").path)
    read_checkpoint(tmp_path / "old.pt")
    assert [(given["weights_only"], given["mmap"]) for given in calls] == [(True, True), (True, False)]
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


class Evil:
    """Touches a file when it is opened by who trusts pickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_would_run_code_is_refused_by_its_name(zipped: bool, original: Originals, tmp_path: Path) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "evil.pt"
    content = {**original("unilm_electra").content(), "task_state": Evil(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="is refused: opening it would run code .* posix.system; nothing was run") as e:
        convert_fairseq_checkpoint(path, tmp_path / "out")
    assert "\n" not in str(e.value)
    if zipped:
        torch.save({**content, "extra_state": print}, path)
        with pytest.raises(UserError, match=r"names (__builtin__|builtins)\.print, posix\.system; "):
            convert_fairseq_checkpoint(path, tmp_path / "out")
    path.write_bytes(pickle.dumps(Evil(trap)))  # with newer opcodes, and nothing of torch about it
    with pytest.raises(UserError):
        convert_fairseq_checkpoint(path, tmp_path / "out")
    assert not trap.exists()
    assert not (tmp_path / "out").exists()
    os.system(f"touch {trap}")  # as it would have
    assert trap.exists()


def test_what_is_no_checkpoint_is_said_in_one_line(original: Originals, tmp_path: Path) -> None:
    whole = original("unilm_electra").path.read_bytes()
    broken = {
        "cut.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "page.pt": b"<html>not found</html>",
        "pointer.pt": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2400000000\n",
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("a.txt", "a")
    for number, content in enumerate([{"a": 1, "b": {"c": torch.ones(1), "d": 2}}, [1, 2], torch.ones(2), {}]):
        torch.save(content, tmp_path / f"{number}.pt")
    for path in sorted(tmp_path.glob("*.pt")):
        with pytest.raises(UserError) as error:
            convert_fairseq_checkpoint(path, tmp_path / "out")
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
        said = "holds no state dict of tensors" if path.stem.isdigit() else "is damaged, or no|can be read safely"
        assert any(part in str(error.value) for part in said.split("|")), str(error.value)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("checkpoint_1_5000.pt checkpoint_1_125000.pt", "checkpoint_1_125000.pt"),
        ("checkpoint_9_10.pt checkpoint_10_9.pt", "checkpoint_9_10.pt"),
        ("checkpoint9.pt checkpoint10.pt", "checkpoint10.pt"),
        ("checkpoint_best.pt checkpoint_last.pt checkpoint_1_5.pt", "checkpoint_best.pt"),
        ("checkpoint_last.pt checkpoint_1_5.pt model.pt", "checkpoint_last.pt"),
        ("checkpoint_1_5.pt other.pt", "checkpoint_1_5.pt"),
        ("anything.pt", "anything.pt"),
    ],
)
def test_which_of_several_checkpoints(names: str, chosen: str, tmp_path: Path) -> None:
    for name in ["dict.txt", *names.split()]:
        (tmp_path / name).touch()
    (tmp_path / "folder.pt").mkdir()
    assert find_checkpoint(tmp_path) == tmp_path / chosen


def test_places_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "model.bin").touch()
    with pytest.raises(UserError, match="holds no fairseq checkpoint"):
        convert_fairseq_checkpoint(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match=r"did you mean .*a\.txt"):
        convert_fairseq_checkpoint(tmp_path / "a.tx", tmp_path / "out")
    for name in ("one.pt", "two.pt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"several checkpoints, one.pt, two.pt: give the path"):
        convert_fairseq_checkpoint(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="not to be had from the Hub"):
        convert_fairseq_checkpoint("nobody/nothing", tmp_path / "out")


def test_the_command_fetches_converts_checks_and_uploads(
    hub: Any, run_with_hub: Any, repository: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in repository.iterdir()}
    hub.repositories["ada/base"] = files | {"README.md": b"card", "shard_data.py": b"", "checkpoint_1_5.pt": b"early"}
    words = ["convert", "ada/base", "out", "--check", "--push_to_hub", "ada/converted"]
    done = run_with_hub("-m", "transformers_mcl.cli", *words, cwd=tmp_path)
    fetched = {request.split("/")[-1] for request in hub.requests if "GET /ada/base/resolve" in request}
    assert fetched == {"checkpoint_1_125000.pt", "dict.txt", "sentencepiece.bpe.model"}
    assert "family: unilm ELECTRA" in done.stdout
    assert "detection area (AUC)" in done.stdout
    assert set(hub.repositories["ada/converted"]) >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
    }
    assert set(hub.repositories["ada/converted"]) >= {"conversion_report.json"}
