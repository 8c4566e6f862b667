"""The ladder of learning rates: what it takes, what it leaves out, and that it can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tqdm.auto import tqdm
from transformers import TrainerControl, TrainerState, TrainingArguments

from transformers_mcl import MclTrainer, MclTrainingArguments, UserError
from transformers_mcl.data import DataArguments
from transformers_mcl.errors import Diverged
from transformers_mcl.training.model_arguments import ModelArguments
from transformers_mcl.training.rate_ladder import RateLadder, Rung, _choose, _Look, find_learning_rate
from transformers_mcl.training.run import DEMO_FOLDER

SHAPE = (
    "hidden_size=32,num_hidden_layers=1,intermediate_size=32,embedding_size=32,generator_hidden_size=32,"
    "generator_num_hidden_layers=1,generator_intermediate_size=32"
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every word says which one comes next."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = "the of and to a in that was he for it with as his on be at by I".split()
    path.write_text("\n".join(" ".join((words * 3)[n % 19 :][:38]) for n in range(200)), encoding="utf-8")
    return path


def ladder(text: Path, folder: Path, model: dict[str, Any] | None = None, **given: Any) -> RateLadder:
    own = {name: given.pop(name) for name in ("factors", "steps") if name in given}
    arguments = {"learning_rate": 1e-2, "per_device_train_batch_size": 16, "warmup_steps": 0.1, **given}
    return find_learning_rate(
        ModelArguments(
            preset="tiny",
            config_overrides=SHAPE,
            tokenizer_name=str(DEMO_FOLDER / "tokenizer"),
            **{"objective": "electra", **(model or {})},
        ),
        DataArguments(train_file=[str(text)], validation_file=[str(text)], max_seq_length=32, max_eval_samples=32),
        MclTrainingArguments(str(folder), use_cpu=True, max_steps=1000, **arguments),
        disable_tqdm=True,
        **{"steps": 60, **own},
    )


@pytest.fixture(scope="module")
def climbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RateLadder:
    """Three rungs, of which the lowest learns nothing."""
    folder = tmp_path_factory.mktemp("ladder")
    found = ladder(text, folder, factors=(1, 1e-4, 0.5), generator_warmup_steps=200)
    assert list(folder.iterdir()) == []
    return found


def test_takes_a_rate_that_has_left_the_plateau(climbed: RateLadder) -> None:
    assert [rung.learning_rate for rung in climbed.rungs] == pytest.approx([1e-6, 5e-3, 1e-2])
    assert climbed.rungs[0].trouble == f"on the unigram plateau: token entropy {climbed.token_entropy:.3f}"
    best = min(climbed.rungs, key=lambda rung: rung.loss)
    assert climbed.learning_rate == best.learning_rate and best.loss < 0.8 * climbed.token_entropy
    assert climbed.reason.startswith(f"{best.learning_rate:.3g}: ")


def test_a_rung_is_the_run_in_miniature(climbed: RateLadder) -> None:
    """A fifth of it trains the generator alone, a tenth warms up, and then the rate stays."""
    logs = [log for log in climbed.rungs[-1].log_history if "loss" in log]
    assert [log["step"] for log in logs if "rtd_loss" not in log] == [3, 6, 9, 12]
    assert [log["step"] for log in logs if log["learning_rate"] < 1e-2] == [3, 6]
    assert logs[-1]["step"] == climbed.steps == 60


def test_a_rung_does_not_depend_on_those_before_it(climbed: RateLadder, text: Path, tmp_path: Path) -> None:
    """The same weights at the start, the same rows and draws: alone, and in another process's order."""
    (alone,) = ladder(text, tmp_path, factors=[1], generator_warmup_steps=200).rungs
    losses = [[log["loss"] for log in rung.log_history if "loss" in log] for rung in (alone, climbed.rungs[-1])]
    assert losses[0] == losses[1]
    assert (alone.loss, alone.auc) == (climbed.rungs[-1].loss, climbed.rungs[-1].auc)


def test_says_and_shows_what_it_found(climbed: RateLadder, tmp_path: Path) -> None:
    table = climbed.table().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["1e-06", "0.005", "0.01"]
    assert sum("the one to take" in line for line in table) == 1 and "plateau" in table[2]
    climbed.plot(tmp_path / "ladder.png")
    assert Image.open(tmp_path / "ladder.png").size[0] > 1000


def test_a_rung_that_diverges_is_left_out_and_the_others_go_on(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = MclTrainer.training_step

    def broken(self: MclTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.args.learning_rate > 1e-2 and self.state.global_step == 7:
            raise Diverged("the loss mlm became NaN or infinite")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(MclTrainer, "training_step", broken)
    found = ladder(text, tmp_path, factors=(1, 2))
    assert found.rungs[1].trouble == "diverged at step 7" and not found.rungs[1].evaluation
    assert found.learning_rate == 1e-2


def test_a_rung_ends_where_the_generator_unlearns() -> None:
    look, control = _Look(tqdm(disable=True)), TrainerControl()
    for step, loss in enumerate((7.0, 6.0, 6.4, 6.6), start=1):
        assert not control.should_training_stop
        look.on_log(TrainingArguments("unused"), TrainerState(global_step=step), control, {"mlm_loss": loss})
    assert control.should_training_stop and look.trouble == "diverged by step 4: the generator's loss rose to 6.600"


def rung(rate: float, loss: float, auc: float, trouble: str = "") -> Rung:
    return Rung(rate, evaluation={"mlm_loss": loss, "rtd_disc_auc": auc}, trouble=trouble)


def test_among_generators_that_are_alike_the_better_discriminator_decides() -> None:
    far, near, best, ill = rung(1, 6.5, 0.7), rung(2, 6.04, 0.58), rung(3, 6.0, 0.55), rung(4, 5.0, 0.5, "collapsed")
    assert _choose([far, near, best, ill], 40)[0] == 2
    rate, reason = _choose([far, best, ill], 40)
    assert rate == 3 and reason == "3: its generator's held-out loss, 6.000, is the least"
    assert _choose([far, best], 40)[1].endswith("It is the highest that was tried: look further there")
    assert _choose([ill], 40) == (None, "no rate has led anywhere in 40 steps: try longer rungs, or other rates")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"factors": [1, 1]}, r"factors=\[1, 1\] must be different"),
        ({"factors": []}, r"factors=\[\] must be"),
        ({"steps": 5}, "5 steps tell nothing: give 20 or more"),
        ({"learning_rate": 0.0}, "learning_rate=0 has no multiples"),
        ({"model": {"loss_weights": {"mlm": 0}}}, "mlm_loss, which has weight 0"),
    ],
)
def test_what_cannot_be_found_is_refused(text: Path, tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ladder(text, tmp_path, **given)
