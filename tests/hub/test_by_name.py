"""Repositories of fairseq's, opened by their name through the real client; the Hub is on the loopback."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub import constants

import transformers_mcl
from tests.launching import posix_only
from transformers_mcl import MclConfig, MclForMaskedLM, MclForPreTraining, MclModel, MclTokenizer, UserError
from transformers_mcl.data import load_tokenizer
from transformers_mcl.errors import Interrupted, NotConverted
from transformers_mcl.hub import fairseq
from transformers_mcl.models.loading import load_config

FIXTURE = Path(__file__).parents[1] / "fixtures" / "fairseq" / "mcl_base_like"
FILES = {
    name: (FIXTURE / name).read_bytes() for name in ("checkpoint_1_125000.pt", "dict.txt", "sentencepiece.bpe.model")
}
NAME = "McmanusChen/MCL-base"
AUTO: dict[str, Any] = {
    "AutoConfig": MclConfig,
    "AutoTokenizer": MclTokenizer,
    "AutoModel": MclModel,
    "AutoModelForPreTraining": MclForPreTraining,
    "AutoModelForMaskedLM": MclForMaskedLM,
    "AutoModelForSequenceClassification": transformers_mcl.MclForSequenceClassification,
    "AutoModelForTokenClassification": transformers_mcl.MclForTokenClassification,
    "AutoModelForQuestionAnswering": transformers_mcl.MclForQuestionAnswering,
    "AutoModelForMultipleChoice": transformers_mcl.MclForMultipleChoice,
}


@pytest.fixture
def online(online: Any) -> Any:
    """The Hub that the client talks to, which holds MCL-base; the caches are empty."""
    online.repositories[NAME] = dict(FILES)
    return online


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was converted."""
    convert, done = fairseq.convert_fairseq_checkpoint, []

    def counted(path_or_repo: Any, *args: Any, **kwargs: Any) -> Any:
        done.append(str(path_or_repo))
        return convert(path_or_repo, *args, **kwargs)

    monkeypatch.setattr(fairseq, "convert_fairseq_checkpoint", counted)
    return done


def opened(auto: str, name: Any = NAME, **kwargs: Any) -> Any:
    return getattr(transformers, auto).from_pretrained(name, **kwargs)


def test_cold_warm_and_offline(
    online: Any,
    conversions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    for auto, kind in AUTO.items():
        found = opened(auto)
        assert type(found) is kind, auto
        assert found.name_or_path == NAME, auto
    assert conversions == [NAME]
    said = [text for text in caplog.messages if "is a fairseq repository" in text]
    assert len(said) == 1
    assert str(tmp_path / "cache") in said[0]
    downloads = [path for path in online.requests if path.startswith("GET") and path.endswith(".pt")]
    assert len(downloads) == 1

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(online.requests)
    for auto, kind in AUTO.items():
        assert type(opened(auto)) is kind
    for own in (MclConfig, MclTokenizer, MclModel, MclForPreTraining, MclForMaskedLM):
        assert type(own.from_pretrained(NAME)) is own
    filled = transformers.pipeline("fill-mask", model=NAME)("The chef cooked the<mask>.")
    assert len(filled) == 5
    assert len(online.requests) == asked
    assert conversions == [NAME]


def test_what_is_opened_is_what_the_converter_writes(online: Any, tmp_path: Path) -> None:
    fairseq.convert_fairseq_checkpoint(FIXTURE, tmp_path / "by hand")
    by_hand, by_name = opened("AutoModelForPreTraining", tmp_path / "by hand"), opened("AutoModelForPreTraining")
    assert by_hand.state_dict().keys() == by_name.state_dict().keys()
    assert all(weight.equal(by_name.state_dict()[key]) for key, weight in by_hand.state_dict().items())


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", [lambda found: b"", lambda found: found[: len(found) // 2], None])
def test_a_damaged_copy_is_made_anew(
    damage: Callable[[bytes], bytes] | None, file: str, online: Any, conversions: list[str], tmp_path: Path
) -> None:
    weights = opened("AutoModelForPreTraining").state_dict()
    (copy,) = {path.parent for path in tmp_path.rglob("conversion_report.json")}
    path = copy / file
    found = path.read_bytes()
    path.unlink()  # the weights may still be mapped into memory
    if damage is not None:
        path.write_bytes(damage(found))
    again = opened("AutoModelForPreTraining").state_dict()
    assert conversions == [NAME, NAME]
    assert all(weight.equal(weights[key]) for key, weight in again.items())
    assert path.stat().st_size > 0
    opened("AutoModelForPreTraining")
    assert conversions == [NAME, NAME]


def test_own_classes_convert_too(online: Any, conversions: list[str], tmp_path: Path) -> None:
    own: Any
    for number, own in enumerate((MclConfig, MclTokenizer, MclModel, MclForPreTraining, MclForMaskedLM)):
        found = own.from_pretrained(NAME, cache_dir=tmp_path / f"{number}")
        assert type(found) is own
        assert len(conversions) == number + 1
        assert not (tmp_path / "cache").exists()
    pair, told = MclForPreTraining.from_pretrained(NAME, cache_dir=tmp_path / "0", output_loading_info=True)
    assert pair.name_or_path == pair.config.name_or_path == NAME
    assert told["missing_keys"] == set()


def test_a_private_repository(online: Any) -> None:
    online.private.add(NAME)
    for auto in ("AutoConfig", "AutoModel", "AutoTokenizer"):
        check_same_error(partial(opened, auto))
    assert type(opened("AutoModel", token="hf_ada")) is MclModel
    with pytest.raises(OSError, match="You are trying to access a gated|is not a local folder|not a valid model"):
        opened("AutoModel", token="hf_eve", revision="another")


def test_a_revision(online: Any, conversions: list[str], tmp_path: Path) -> None:
    online.branches[NAME, "v2"] = FILES
    commit = hashlib.sha1(b"v2").hexdigest()
    assert type(opened("AutoTokenizer", revision="v2")) is MclTokenizer
    assert type(opened("AutoModel", revision=commit)) is MclModel
    (folder,) = tmp_path.glob("cache/*/converted/*/*/config.json")
    assert folder.parent.name == commit
    assert len(conversions) == 1
    opened("AutoConfig")
    assert len(conversions) == 2
    check_same_error(partial(opened, "AutoModel", revision="v3"))


def test_only_local_files(online: Any, conversions: list[str]) -> None:
    check_same_error(partial(opened, "AutoModel", local_files_only=True))
    huggingface_hub.snapshot_download(NAME)
    asked = len(online.requests)
    assert type(opened("AutoModel", local_files_only=True)) is MclModel
    assert type(opened("AutoTokenizer", local_files_only=True)) is MclTokenizer
    assert len(online.requests) == asked
    assert len(conversions) == 1


def test_an_interrupted_download(online: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    online.cut = 0
    with pytest.raises(NotConverted, match=f"'{NAME}' is a fairseq repository that could not be converted: .*"):
        opened("AutoTokenizer")  # which goes on after an OSError or a ValueError
    assert not [*tmp_path.glob("cache/*/converted/*/*/*")]
    online.cut = 300_000  # breaks again and again, and gets further each time
    assert type(opened("AutoModel")) is MclModel
    assert len([path for path in online.requests if path.startswith("GET") and path.endswith(".pt")]) > 3


@pytest.mark.parametrize(
    "where", ["huggingface_hub.file_download.http_get", "transformers.PreTrainedModel.save_pretrained"]
)
def test_a_full_disk(where: str, online: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        for auto in ("AutoTokenizer", "AutoModel"):
            with pytest.raises(NotConverted, match=r"No space left on device: make room .*, or set HF_HOME"):
                opened(auto)
        with pytest.raises(UserError, match="model_name_or_path: .*No space left"):
            load_config(NAME)
        with pytest.raises(UserError, match="tokenizer: .* could not be converted: .*No space left .* HF_HOME"):
            load_tokenizer(NAME)
    assert [path.suffix for path in tmp_path.glob("cache/*/converted/*/*")] == [".lock"]
    assert type(opened("AutoModel")) is MclModel


@posix_only
def test_sigterm_ends_a_conversion(online: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def asked_to_end(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", asked_to_end)
    with pytest.raises(Interrupted, match="SIGTERM: nothing was written into"):
        opened("AutoModel")
    assert [path.suffix for path in tmp_path.glob("cache/*/converted/*/*")] == [".lock"]


def test_what_a_killed_process_left(online: Any, tmp_path: Path) -> None:
    converted = tmp_path / "cache" / "models--McmanusChen--MCL-base" / "converted" / "2"
    left = converted / f"{'0' * 40}.incomplete" / "model"
    left.mkdir(parents=True)
    (left / "config.json").touch()
    assert type(opened("AutoModel")) is MclModel
    assert not left.parent.exists()


def test_an_unknown_layout(online: Any) -> None:
    buffer = io.BytesIO()
    torch.save({"model": {"tower.block.weight": torch.ones(2, 2), "tower.bias": torch.ones(2)}}, buffer)
    online.repositories[NAME]["checkpoint_1_125000.pt"] = buffer.getvalue()
    for auto in ("AutoConfig", "AutoTokenizer", "AutoModel"):
        with pytest.raises(NotConverted, match=r"report.*tower\.block\.weight") as raised:
            opened(auto)
        assert "tower.bias" in str(raised.value)
        assert "\n" not in str(raised.value)


OTHERS: dict[str, dict[str, bytes]] = {
    "empty": {"README.md": b""},
    "weights": {"model.pt": b"x", "sentencepiece.bpe.model": b"x"},
    "words": {"dict.txt": b"a 1"},
    "deeper": {f"inner/{name}": content for name, content in FILES.items()},
    "no type": {"config.json": b"{}", **FILES},
    "broken": {"config.json": b"{", **FILES},
    "unknown type": {"config.json": b'{"model_type": "another"}', **FILES},
}


def check_same_error(call: Callable[[], Any]) -> None:
    """That this package changes neither the type nor a letter of an error."""

    def outcome() -> tuple[type, str]:
        with pytest.raises(Exception) as raised:  # noqa: B017, PT011 - whatever it is
            call()
        return raised.type, str(raised.value)

    assert hasattr(transformers.AutoConfig.from_pretrained, "__wrapped__")
    ours = outcome()
    transformers_mcl.unregister()
    try:
        assert isinstance(vars(transformers.AutoConfig)["from_pretrained"], classmethod)
        theirs = outcome()
    finally:
        transformers_mcl.register()
    assert ours == theirs


@pytest.mark.parametrize("kind", OTHERS)
def test_other_repositories_fail_as_without_us(kind: str, online: Any, tmp_path: Path) -> None:
    online.repositories["ada/other"] = OTHERS[kind]
    for name, content in OTHERS[kind].items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    for auto in ("AutoConfig", "AutoModel", "AutoTokenizer"):
        for name in ("ada/other", str(tmp_path / "folder")):
            check_same_error(partial(opened, auto, name))
    check_same_error(partial(opened, "AutoModel", "ada/none"))
    check_same_error(partial(opened, "AutoModel", NAME, subfolder="inner"))
    assert not [*tmp_path.glob("cache/*/converted")]


def test_repositories_with_a_configuration_are_not_looked_into(online: Any, tmp_path: Path) -> None:
    fairseq.convert_fairseq_checkpoint(FIXTURE, tmp_path / "converted")
    online.repositories["ada/own"] = {path.name: path.read_bytes() for path in (tmp_path / "converted").iterdir()}
    assert type(opened("AutoModel", "ada/own")) is MclModel
    assert type(MclModel.from_pretrained("ada/own")) is MclModel
    assert not [path for path in online.requests if "/tree/" in path]


def test_a_local_folder(conversions: list[str], tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    cache = tmp_path / "cache"
    for auto, kind in AUTO.items():
        found = opened(auto, tmp_path, cache_dir=cache)
        assert type(found) is kind
        assert found.name_or_path == str(tmp_path)
    assert len(conversions) == 1
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "cache"}
    (left_behind,) = (path.with_suffix(".incomplete") for path in cache.glob("*/converted/*/*.lock"))
    os.utime(tmp_path / "dict.txt", (1, 1))  # another file, for all one can see
    opened("AutoConfig", tmp_path, cache_dir=cache)
    assert len(conversions) == 2
    assert not left_behind.exists()


def _open_with(barrier: Any, results: Any) -> None:
    stream = io.StringIO()
    logging.getLogger("transformers_mcl").addHandler(logging.StreamHandler(stream))
    barrier.wait()
    model = opened("AutoModel")
    results.put((float(sum(weight.sum() for weight in model.parameters())), stream.getvalue()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="copies of an interpreter need fork")
def test_two_processes_at_once(online: Any, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    running = [context.Process(target=_open_with, args=(barrier, results)) for _ in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    ended = [results.get() for _ in running]
    assert ended[0][0] == ended[1][0]
    assert sum(said.count("is a fairseq repository") for _, said in ended) == 1
    assert len([*tmp_path.glob("cache/*/converted/*/*/model.safetensors")]) == 1
