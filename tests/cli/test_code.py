"""No command runs code of a model's folder, nor what a pickle holds, and none asks the terminal whether it may."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.damages import COMMANDS, damaged, make_models, make_runs, run_damaged
from tests.once import Once
from transformers_mcl.cli.main import main

_OTHERS = ("convert", "recipe", "finetune again")  # which take a folder for something else
_OPENING = [name for name in COMMANDS if not name.endswith("resume") and name not in _OTHERS]
_CODE = """from pathlib import Path
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

Path(r"{mark}").write_text("run")

class EvilConfig(BertConfig):
    model_type = "evil"

class EvilModel(BertModel):
    config_class = EvilConfig

class EvilTokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def base(once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models, and a terminal that would answer yes."""

    def yes(*prompt: Any) -> str:
        (tmp_path / "asked").touch()
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    for path in once("models to damage", make_models).iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def evil(base: Path, file: str, model_type: str) -> Path:
    """A copy of the pair whose `file` says that its code is in `evil.py`, which leaves a mark when it is run."""
    folder = base / "evil"
    folder.mkdir()
    for path in (base / "pair").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    said = json.loads((folder / file).read_text(encoding="utf-8"))
    names = ["AutoModel", *(f"AutoModelFor{end}" for end in ("MaskedLM", "PreTraining", "SequenceClassification"))]
    said["auto_map"] = dict.fromkeys(names, "evil.EvilModel") | {"AutoConfig": "evil.EvilConfig"}
    said["auto_map"]["AutoTokenizer"] = [None, "evil.EvilTokenizer"]
    if file == "config.json":
        said |= {"model_type": model_type, "architectures": ["EvilModel"]}
    else:
        said["tokenizer_class"] = "EvilTokenizer"
    (folder / file).write_text(json.dumps(said), encoding="utf-8")
    (folder / "evil.py").write_text(_CODE.format(mark=base / "mark"), encoding="utf-8")
    return folder


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("name", _OPENING)
def test_code_of_a_folder_is_not_run(name: str, file: str, base: Path) -> None:
    folder = evil(base, file, "evil")
    found = run_damaged(base, lambda out: COMMANDS[name](base, folder, out))
    assert not (base / "mark").exists() and not (base / "asked").exists()
    if found.status == 0 and "tokenizer" in (name, file.split("_")[0]):  # it reads no tokenizer, or no configuration
        return
    assert found.status == 2 and not found.new
    assert len(found.lines) == 1 and "--trust_remote_code true" in found.lines[0]


def test_code_that_is_trusted_is_run(base: Path) -> None:
    folder = evil(base, "tokenizer_config.json", "evil")
    words = COMMANDS["tokenizer"](base, folder, base / "out")
    assert main([*words, "--trust_remote_code", "true"]) == 0
    assert (base / "mark").exists() and not (base / "asked").exists()


def test_a_kernel_of_the_hub_is_code(base: Path) -> None:
    folder = evil(base, "config.json", "mcl")
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**said, "attn_implementation": "some/kernel"}), encoding="utf-8")
    found = run_damaged(base, lambda out: COMMANDS["inspect"](base, folder, out))
    assert found.status == 2 and "'some/kernel' is code of the Hub" in found.said


class Evil:
    """What leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", [name for name in _OPENING if name not in ("tokenizer", "soup", "soup first")])
def test_pickled_weights_run_nothing(name: str, base: Path) -> None:
    folder = evil(base, "config.json", "mcl")
    pair = json.loads((base / "pair" / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(pair), encoding="utf-8")
    (folder / "model.safetensors").unlink()
    torch.save({"electra.embeddings.word_embeddings.weight": Evil(base / "mark")}, folder / "pytorch_model.bin")
    (folder / "training_args.bin").write_bytes(pickle.dumps(Evil(base / "mark")))
    found = run_damaged(base, lambda out: COMMANDS[name](base, folder, out))
    assert not (base / "mark").exists()
    assert found.status == 2 and not found.new and len(found.lines) == 1
    assert "pytorch_model.bin is damaged, or holds more than weights, which is not run" in found.lines[0]


def _old(path: Path, mark: Path) -> None:
    torch.save({"model": Evil(mark)}, path, _use_new_zipfile_serialization=False)


def _pickled(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(mark)))


def _saved(path: Path, mark: Path) -> None:
    torch.save({"state": {0: Evil(mark)}, "param_groups": []}, path)


@pytest.mark.parametrize(("name", "run"), [("pretrain resume", "run"), ("finetune resume", "tuned")])
@pytest.mark.parametrize("write", [_saved, _old, _pickled])
def test_pickles_of_a_checkpoint_run_nothing(
    write: Callable[[Path, Path], None], name: str, run: str, once: Once, base: Path
) -> None:
    runs = base / "runs"
    runs.mkdir()
    for path in once("runs to damage", make_runs).iterdir():
        (runs / path.name).symlink_to(path)
    files = ["optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_0.pth"]
    for file in (*files, "pytorch_model.bin", "training_args.bin"):
        with damaged(runs, f"{run}/checkpoint-2/{file}", lambda path: write(path, base / "mark")) as (folder, path):
            if file == "pytorch_model.bin":  # as another trainer may write it
                path.with_name("model.safetensors").unlink()
                path.with_name("run.json").unlink()
            found = run_damaged(runs, lambda out, folder=folder: COMMANDS[name](runs, folder, out))  # type: ignore[misc]
        assert not (base / "mark").exists(), file
        if file == "training_args.bin" and write is _saved:  # nobody reads it
            assert found.status == 0, found.said
            continue
        assert found.status == 2 and not found.new
        assert len(found.lines) == 1 and f"{file} " in found.lines[0], found.said


def test_a_pickle_of_fairseq_runs_nothing(base: Path) -> None:
    source = base / "evil.pt"
    for pickled in (lambda: torch.save({"model": Evil(base / "mark")}, source), lambda: _old(source, base / "mark")):
        pickled()
        found = run_damaged(base, lambda out: COMMANDS["convert"](base, source, out))
        assert found.status == 2 and "evil.pt is refused" in found.said and not found.new
        assert not (base / "mark").exists()
