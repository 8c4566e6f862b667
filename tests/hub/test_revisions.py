"""Checkpoints of a run as revisions on the Hub, through the real client; the Hub is on the loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from huggingface_hub import HfApi
from transformers import AutoModel, AutoModelForPreTraining, AutoTokenizer, BertTokenizer
from transformers.trainer import TRAINER_STATE_NAME

from transformers_mcl import MclForPreTraining, MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.hub.revisions import push_revision

PUSHED = {"config.json", "model.safetensors", "needs_transformers_mcl.py", "tokenizer.json", "tokenizer_config.json"}
TOKENS = 4 * 12  # of a step


@pytest.fixture
def make_trainer(
    make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer, tmp_path: Path
) -> Callable[..., MclTrainer]:
    """A run of four steps with a checkpoint after each second one, pushed to a private repository."""

    def make(**more: Any) -> MclTrainer:
        rows = Dataset.from_dict({"input_ids": [[2, *range(5, 15), 3]] * 16})
        given: dict[str, Any] = {"output_dir": str(tmp_path / "run"), "max_steps": 4, "save_steps": 2, "use_cpu": True}
        given |= {"per_device_train_batch_size": 4, "disable_tqdm": True, "report_to": []}
        given |= {"push_revisions": True, "hub_model_id": "ada/run", "hub_private_repo": True, "hub_token": "hf_ada"}
        args = MclTrainingArguments(**{**given, **more})
        return MclTrainer(make_pair(), args, train_dataset=rows, processing_class=tokenizer)

    return make


def test_a_run_and_its_revisions(
    online: Any, make_trainer: Callable[..., MclTrainer], tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    make_trainer().train()
    assert online.repositories == {"ada/run": {}} and online.private == {"ada/run"}
    for step in (2, 4):
        checkpoint = tmp_path / "run" / f"checkpoint-{step}"
        for branch in (f"step-{step}", f"tokens-{step * TOKENS}"):
            files = online.branches["ada/run", branch]
            assert set(files) == PUSHED
            assert [name for name, content in files.items() if str(tmp_path).encode() in content] == []
            there: dict[str, Any] = {"revision": branch, "token": "hf_ada"}
            for auto in (AutoModel, AutoModelForPreTraining):
                assert equal(auto.from_pretrained("ada/run", **there), auto.from_pretrained(checkpoint))
            assert AutoTokenizer.from_pretrained("ada/run", **there).get_vocab() == tokenizer.get_vocab()
    assert len(online.branches) == 4
    before, asked = {name: dict(files) for name, files in online.branches.items()}, len(online.requests)
    del online.branches["ada/run", "step-4"]["model.safetensors"]  # as if its push had been cut short
    make_trainer().train(resume_from_checkpoint=True)
    assert online.branches == before
    assert not any("step-2" in request for request in online.requests[asked:])


def test_a_repository_that_cannot_be_made(online: Any, make_trainer: Callable[..., MclTrainer]) -> None:
    with pytest.raises(UserError, match="hub_model_id='ada/forbidden': http://.* refused: .*rights"):
        make_trainer(hub_model_id="ada/forbidden")


def equal(one: Any, other: Any) -> bool:
    weights = other.state_dict()
    return type(one) is type(other) and all(value.equal(weights[name]) for name, value in one.state_dict().items())


MODEL = {"config.json", "generation_config.json", "model.safetensors.index.json", "needs_transformers_mcl.py"}
MODEL |= {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"}
TOKENIZER |= {"vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja"}
STAYS = {"optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth", "rng_state_0.pth", "training_args.bin"}
STAYS |= {"run.json", "recipe.yaml", "stream_state_0.json", "zero_to_fp32.py", "global_step2/mp_rank_00.pt"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """With every file that one may have."""
    folder = tmp_path / "checkpoint-2"
    for name in MODEL | TOKENIZER | STAYS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / TRAINER_STATE_NAME).write_text(json.dumps({"global_step": 2, "num_input_tokens_seen": 256}))
    return folder


def test_what_of_a_checkpoint_is_pushed(online: Any, checkpoint: Path) -> None:
    main_files = {".gitattributes": b"", "README.md": b"", "last-checkpoint/optimizer.pt": b""}
    online.repositories["ada/run"] = dict(main_files)
    push_revision(checkpoint, "ada/run")
    assert online.requests.count("GET /api/models/ada/run/commits/main") == 1
    assert {branch for _, branch in online.branches} == {"step-2", "tokens-256"}
    for files in online.branches.values():
        assert set(files) == MODEL | TOKENIZER
    (checkpoint / "config.json").write_text("another")
    (checkpoint / "merges.txt").unlink()
    push_revision(checkpoint, "ada/run")
    for files in online.branches.values():
        assert set(files) == (MODEL | TOKENIZER) - {"merges.txt"}
        assert files["config.json"] == b"another"
    assert online.repositories["ada/run"] == main_files


def test_a_push_that_is_cut_short_leaves_no_other_model(
    online: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.repositories["ada/run"] = {"config.json": b"of another", "model.safetensors": b"of another"}

    def cut(*_: Any, **__: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(HfApi, "upload_folder", cut)
    with pytest.raises(UserError, match="refused: gone"):
        push_revision(checkpoint, "ada/run")
    assert online.branches == {("ada/run", "step-2"): {}}


def test_a_hub_that_refuses(online: Any, checkpoint: Path) -> None:
    online.repositories["ada/run"], online.down = {}, True
    with pytest.raises(UserError, match="hub_model_id='ada/run': http://.* refused: down for maintenance") as refused:
        push_revision(checkpoint, "ada/run", token="hf_secret")
    assert "\n" not in str(refused.value) and "secret" not in str(refused.value)


def test_a_checkpoint_that_counts_no_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / TRAINER_STATE_NAME).write_text('{"global_step": 2, "num_input_tokens_seen": 0}')
    with pytest.raises(UserError, match="trainer_state.json does not count steps and tokens"):
        push_revision(tmp_path, "ada/run")
