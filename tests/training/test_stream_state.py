"""Training on a stream ends at the same weights, however often it is interrupted."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertTokenizer, TrainerCallback

from tests.launching import torchrun
from transformers_mcl import MclTrainer, MclTrainingArguments
from transformers_mcl.data import DataArguments, DataCollatorForMcl, StreamLoader, documents, load_stream, streaming
from transformers_mcl.errors import UserError
from transformers_mcl.training.run import DEMO_FOLDER, ModelArguments, prepare
from transformers_mcl.training.stream_state import load_stream_state

from .conftest import LENGTH, VOCABULARY

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SMALL = (
    "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16,"
    "generator_num_hidden_layers=1,generator_intermediate_size=16,hidden_dropout_prob=0.1"
)


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six shards, about 20 rows."""
    monkeypatch.setattr(documents, "_BYTES_A_SHARD", 100)
    monkeypatch.setattr(streaming, "_CHARACTERS_A_BATCH", 50)
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(LETTERS[n % 7 :][: 3 + n % 5]) for n in range(55)))
    return path


@pytest.fixture
def make_stream_trainer(text: Path, make_trainer: Callable[..., MclTrainer]) -> Callable[..., MclTrainer]:
    """A trainer on the stream; six steps, a checkpoint after three."""
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    vocab += [f"[unused{number}]" for number in range(VOCABULARY - len(vocab))]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(vocab)})

    def make(data: dict[str, Any] | None = None, **arguments: Any) -> MclTrainer:
        given = {"max_steps": 6, "save_steps": 3, "gradient_accumulation_steps": 2, **arguments}
        trainer = make_trainer(config={"hidden_dropout_prob": 0.1}, **given)
        files = {"train_file": [str(text)], "validation_file": [str(text)], **(data or {})}
        args = DataArguments(**files, streaming=True, shuffle_buffer_size=8)
        trainer.train_dataset = load_stream(args, tokenizer, max_seq_length=LENGTH)[0]
        trainer.data_collator = DataCollatorForMcl(tokenizer)
        return trainer

    return make


def weights(trainer: MclTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_resumed_run_ends_at_the_same_weights(
    tmp_path: Path, make_stream_trainer: Callable[..., MclTrainer], workers: int, mixed: bool
) -> None:
    (tmp_path / "other.txt").write_text("x y z\n" * 40)
    sources = [str(tmp_path / name) for name in ("text.txt", "other.txt")]
    data = {"train_file": sources, "mixing_weights": [0.7, 0.3]} if mixed else {}
    trainer = make_stream_trainer(data, dataloader_num_workers=workers)
    trainer.train()
    whole = weights(trainer)
    loader = trainer.callback_handler.train_dataloader
    assert isinstance(loader, StreamLoader)
    assert all(position.places[0].epoch > 0 for position in loader._positions.values())  # it crossed an epoch's border

    resumed = make_stream_trainer(data, dataloader_num_workers=workers)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert resumed.state.global_step == 6
    for name, value in weights(resumed).items():
        assert torch.equal(value, whole[name]), name
    end = resumed.callback_handler.train_dataloader
    assert isinstance(end, StreamLoader) and end.state_dict() == loader.state_dict()


def test_resuming_a_finished_run_trains_no_further(
    make_stream_trainer: Callable[..., MclTrainer], tmp_path: Path
) -> None:
    trainer = make_stream_trainer()
    trainer.train()
    again = make_stream_trainer()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert again.state.global_step == 6
    assert all(torch.equal(value, weights(trainer)[name]) for name, value in weights(again).items())


def test_the_log_counts_epochs_of_the_stream(make_stream_trainer: Callable[..., MclTrainer], tmp_path: Path) -> None:
    make_stream_trainer(logging_steps=1).train()
    trainer = make_stream_trainer(logging_steps=1)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    epochs = [entry["epoch"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(epochs) == 6 and epochs == sorted(epochs)
    assert 0 <= epochs[0] < 1 <= epochs[2] < 2 <= epochs[-1] < 3.5  # 8 rows a step, of 15 or so an epoch


def test_a_shard_that_breaks_off_costs_nothing_that_is_saved(
    make_stream_trainer: Callable[..., MclTrainer], tmp_path: Path, text: Path
) -> None:
    class Break(TrainerCallback):
        def on_save(self, *_: Any, **__: Any) -> None:
            text.write_bytes(b"a b c\0" * 90)

    trainer = make_stream_trainer(save_steps=1, max_steps=50)
    trainer.add_callback(Break())
    with pytest.raises(UserError, match=r"text\.txt'.* NUL byte"):
        trainer.train()
    assert (tmp_path / "checkpoint-1" / "stream_state_0.json").is_file()


def test_a_checkpoint_without_the_stream_s_place_is_refused(
    make_stream_trainer: Callable[..., MclTrainer], tmp_path: Path
) -> None:
    make_stream_trainer(max_steps=3).train()
    state = tmp_path / "checkpoint-3" / "stream_state_0.json"
    told = (
        "dataloader_num_workers is 1, but the checkpoint's stream had 0: .* skips nothing and reads again .*: 1 epochs"
    )
    with pytest.raises(UserError, match=told):
        make_stream_trainer(dataloader_num_workers=1).train(resume_from_checkpoint=str(state.parent))
    more = make_stream_trainer().get_train_dataloader()
    more.stream.process, more.stream.processes = 1, 2  # the checkpoint has nothing for a second process
    with pytest.raises(UserError, match="processes is 2, but the checkpoint's stream had 1"):
        load_stream_state(more, state.parent)
    anew = make_stream_trainer(dataloader_num_workers=1, ignore_data_skip=True, max_steps=4)
    anew.train(resume_from_checkpoint=str(state.parent))
    loader = anew.callback_handler.train_dataloader
    assert isinstance(loader, StreamLoader) and loader.state_dict()["batches"] == 2  # of the one step since
    state.write_text(state.read_text()[:-9])
    with pytest.raises(UserError, match="stream_state_0.json is damaged"):
        make_stream_trainer().train(resume_from_checkpoint=str(state.parent))
    state.unlink()
    with pytest.raises(UserError, match="has no stream_state_0.json, so it is of a run without streaming"):
        make_stream_trainer().train(resume_from_checkpoint=str(state.parent))


def prepared(folder: Path, **data: Any) -> Any:
    training = {"max_steps": 2, "per_device_train_batch_size": 4, **data.pop("training", {})}
    return prepare(
        ModelArguments(preset="tiny", config_overrides=SMALL, tokenizer_name=str(DEMO_FOLDER / "tokenizer")),
        DataArguments(**{"streaming": True, "max_seq_length": 16, "train_file": [str(folder / "text.txt")], **data}),
        MclTrainingArguments(output_dir=str(folder / "run"), use_cpu=True, disable_tqdm=True, **training),
    )


def test_a_run_holds_out_its_first_documents_and_says_what_it_knows(tmp_path: Path, text: Path) -> None:
    run = prepared(tmp_path, validation_documents=20)
    plan = run.plan()
    assert f"{text}, streamed" in plan
    assert "a stream of 1 files in " in plan and f"{text.stat().st_size} bytes" in plan
    assert "20 documents" in plan
    assert "2 of 64 tokens, 128 in all: of a stream" in plan
    run.train()
    assert run.summary().tokens == 2 * 64
    assert run.evaluation["loss"] > 0


def test_a_stream_needs_max_steps_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_steps is -1: a stream has no length"):
        prepared(tmp_path, train_file=["nowhere.txt"], training={"max_steps": -1})


@pytest.mark.slow
def test_two_processes_resume_at_the_same_weights(tmp_path: Path, text: Path) -> None:
    """Through the command line, with two loader workers each, which have fewer shards than they are."""
    script = "import json, sys\nfrom transformers_mcl.cli.main import entry, main\n"
    script += "entry(lambda: max(main(words) for words in json.loads(sys.argv[1])))\n"
    (tmp_path / "runs.py").write_text(script)
    fixed = ["pretrain", "--streaming", "true", "--train_file", str(text), "--validation_file", str(text)]
    fixed += ["--tokenizer_name", str(DEMO_FOLDER / "tokenizer"), "--preset", "tiny", "--config_overrides", SMALL]
    fixed += ["--max_seq_length", "16", "--max_steps", "6", "--per_device_train_batch_size", "2", "--save_steps", "3"]
    fixed += ["--shuffle_buffer_size", "5", "--gradient_accumulation_steps", "2", "--dataloader_num_workers", "2"]
    fixed += ["--use_cpu", "true", "--disable_tqdm", "true", "--eval_strategy", "no", "--save_strategy", "steps"]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    runs = [
        [*fixed, "--output_dir", str(whole)],
        [*fixed, "--output_dir", str(resumed), "--resume_from_checkpoint", str(whole / "checkpoint-3")],
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun(), str(tmp_path / "runs.py"), json.dumps(runs)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    states = [json.loads((whole / "checkpoint-3" / f"stream_state_{rank}.json").read_text()) for rank in (0, 1)]
    assert all(len(state["positions"]) == 2 and state["batches"] == 6 for state in states)
    first, second = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_page_s_python_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/streaming.md", "exec"), names)
    assert names["trainer"].state.global_step == 2
