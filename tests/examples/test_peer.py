"""The script that trains ELECTRA by somebody else's code: what it refuses and leaves, and that it is comparable."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small_text import write_text_and_tokenizer
from transformers_mcl import MclConfig, MclForPreTraining, MclTrainer
from transformers_mcl.cli.main import main
from transformers_mcl.models.flops import step_flops

SCRIPT = Path(__file__).parents[2] / "examples" / "experiments" / "peer.py"
SMALL = "hidden_size=16,num_hidden_layers=1,intermediate_size=16,embedding_size=16,generator_hidden_size=16"


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("peer", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text and a tokenizer made from it."""
    return write_text_and_tokenizer(tmp_path_factory.mktemp("peer"))


def arguments(folder: Path, name: str, *more: str) -> list[str]:
    """Of a run of two epochs, each of which ends with a batch that is not full."""
    fixed = ["--train_file", str(folder / "text.txt"), "--tokenizer_name", str(folder / "tokenizer")]
    fixed += ["--preset", "tiny", "--objective", "electra", "--config_overrides", SMALL, "--max_seq_length", "16"]
    fixed += ["--per_device_train_batch_size", "64", "--max_steps", "8"]
    fixed += ["--use_cpu", "true", "--disable_tqdm", "true", "--output_dir", str(folder / name)]
    return [*fixed, *more]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--objective", "mcl"], "give --objective electra"),
        (["--loss_weights", '{"re_mlm": 1}'], "re_mlm"),
        (["--fp16", "true"], "fp16"),
    ],
)
def test_refuses_what_the_peer_cannot_do(
    script: Any, folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert script.main(arguments(folder, "refused", *more)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (folder / "refused").exists()


def test_says_how_to_install_the_peer(
    script: Any, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "electra_pytorch", None)
    assert script.main(arguments(folder, "missing")) == 2
    assert "pip install --no-deps electra-pytorch" in capsys.readouterr().err


class AsThePeer(torch.nn.Module):
    """Stands for the peer, with our own courses: called and answering as it is."""

    def __init__(self, pair: MclForPreTraining):
        super().__init__()
        self.pair = pair
        self.rows: list[list[int]] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Any:
        self.rows += input_ids.tolist()
        outputs = self.pair(input_ids, attention_mask)
        losses: dict[str, torch.Tensor] = outputs.losses
        return type(
            "Results",
            (),
            {"loss": outputs.loss, "mlm_loss": losses["mlm"], "disc_loss": losses["rtd"], "gen_acc": torch.zeros(())},
        )


@pytest.mark.parametrize("accumulated", [1, 3])
def test_rows_optimizer_and_schedule_are_those_of_a_pre_training(
    script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, accumulated: int
) -> None:
    """With our own courses in the peer's place the script trains the very pair that the command does."""
    stand_ins: list[AsThePeer] = []

    def stand_in(pair: MclForPreTraining) -> AsThePeer:
        stand_ins.append(AsThePeer(pair))
        return stand_ins[0]

    monkeypatch.setattr(script, "find_peer", lambda: None)
    monkeypatch.setattr(script, "peer_of", stand_in)
    rows: list[list[int]] = []
    step = MclTrainer.training_step

    def recorded(self: MclTrainer, model: Any, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        rows.extend(inputs["input_ids"].tolist())
        return step(self, model, inputs, *args)

    monkeypatch.setattr(MclTrainer, "training_step", recorded)
    names = [f"{who}-{accumulated}" for who in ("stand-in", "ours")]
    more = ["--gradient_accumulation_steps", str(accumulated), "--overwrite_output_dir", "true"]
    assert script.main(arguments(folder, names[0], *more)) == 0
    assert main(["pretrain", *arguments(folder, names[1], *more)]) == 0
    assert stand_ins[0].rows == rows
    theirs, ours = (json.loads((folder / name / "trainer_state.json").read_text()) for name in names)
    for figure in ("global_step", "epoch", "num_input_tokens_seen", "total_flos"):
        assert theirs[figure] == ours[figure], figure
    if accumulated > 1:  # then ours are means over all of a step
        return
    pairs = [MclForPreTraining.from_pretrained(folder / name).state_dict() for name in names]
    for name, value in pairs[0].items():
        torch.testing.assert_close(value, pairs[1][name], msg=name)
    for one, other in zip(theirs["log_history"], ours["log_history"], strict=True):
        shared = {"step", "epoch", "learning_rate", "train_tokens_seen", "total_flos"} & other.keys()
        shared |= {"loss", "mlm_loss", "rtd_loss", "eval_loss"} & other.keys()
        assert {name: one[name] for name in shared} == pytest.approx({name: other[name] for name in shared}, rel=1e-4)


def test_leaves_a_pair_with_its_figures(script: Any, folder: Path) -> None:
    pytest.importorskip("electra_pytorch")
    assert script.main(arguments(folder, "run", "--document_attention", "true")) == 0
    figures = json.loads((folder / "run" / "eval_results.json").read_text())
    assert {"eval_mlm_loss", "eval_rtd_disc_auc", "unigram_entropy"} <= set(figures)
    state = json.loads((folder / "run" / "trainer_state.json").read_text())
    pair = MclForPreTraining.from_pretrained(folder / "run")
    assert state["global_step"] == 8
    assert state["total_flos"] == pytest.approx(8 * step_flops(pair.config, 64, 16), rel=0.05)


@pytest.mark.parametrize("padded", [False, True])
def test_loss_is_ours_but_for_the_draws(script: Any, seeded: int, padded: bool) -> None:
    pytest.importorskip("electra_pytorch")
    config = MclConfig.tiny(vocab_size=400, objective="electra")
    pair = MclForPreTraining(config).train()
    clean = torch.randint(104, 400, (64, 62))
    clean[:, 0], clean[:, -1] = config.cls_token_id, config.sep_token_id
    mask = torch.ones_like(clean)
    if padded:
        mask[:32, 40:] = 0
        clean[:32, 39] = config.sep_token_id
        clean = clean.masked_fill(mask == 0, config.pad_token_id or 0)
    theirs, ours = script.peer_of(pair)(clean, attention_mask=mask), pair(clean, mask)
    assert theirs.mlm_loss.item() == pytest.approx(ours.losses["mlm"].item(), rel=0.01)
    assert theirs.disc_loss.item() == pytest.approx(ours.losses["rtd"].item(), rel=0.01)
    assert theirs.loss.item() == pytest.approx(ours.loss.item(), rel=0.01)
