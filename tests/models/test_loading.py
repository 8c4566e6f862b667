from __future__ import annotations

from logging import ERROR
from pathlib import Path

import pytest
from transformers import AutoConfig
from transformers.utils import logging

from transformers_mcl import MclConfig, MclDiscriminator, MclForPreTraining, MclModel, UserError
from transformers_mcl.models.loading import load_config, loading_in_silence, open_model, open_whole


def test_configurations(tmp_path: Path) -> None:
    MclConfig.tiny().save_pretrained(tmp_path / "model")
    assert isinstance(load_config(str(tmp_path / "model")), MclConfig)
    with pytest.raises(
        UserError, match=r"model_name_or_path: .*modell' is no directory here: .*did you mean .*model'"
    ):
        load_config(str(tmp_path / "modell"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty' is a directory without a checkpoint"):
        load_config(str(tmp_path / "empty"))


def test_what_transformers_says_of_a_configuration_is_kept_back(tmp_path: Path, messages: list[str]) -> None:
    def too_small(vocabulary: int) -> str:  # for the special tokens; each size is spoken of once a process
        text = f'{{"model_type": "gpt2", "vocab_size": {vocabulary}}}'
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        return str(tmp_path)

    AutoConfig.from_pretrained(too_small(100))
    assert messages
    messages.clear()
    load_config(too_small(101))
    assert messages == []


def test_what_a_checkpoint_lacks_and_has_beyond_is_told(tmp_path: Path) -> None:
    config = MclConfig.tiny(vocab_size=200, num_hidden_layers=1, generator_num_hidden_layers=1)
    MclModel(config).save_pretrained(tmp_path / "encoder")
    model, missing, reshaped, unexpected = open_model(MclDiscriminator, tmp_path / "encoder", "model 'encoder'")
    assert type(model) is MclDiscriminator and not reshaped and not unexpected
    assert missing[0] == "discriminator_predictions.dense.bias" and len(missing) == 4
    assert type(open_whole(MclModel, tmp_path / "encoder", "model 'encoder'")) is MclModel
    with pytest.raises(UserError, match=r"^model 'encoder' is no MclDiscriminator: it lacks disc.* \(4 tensors"):
        open_whole(MclDiscriminator, tmp_path / "encoder", "model 'encoder'")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"model.safetensors": None}, "model 'pair' has no weights: "),
        ({"model.safetensors": b""}, r"model 'pair': \S+/model.safetensors is damaged, or no file of safetensors: "),
        ({"model.safetensors": b"\0" * 100}, r"model 'pair': \S+/model.safetensors is damaged, or no file of safet"),
        (
            {"model.safetensors": None, "model.safetensors.index.json": b'{"weight_map": {"a": "../../etc/passwd"}}'},
            r"model 'pair': \S+/model.safetensors.index.json names '../../etc/passwd', which is no ",
        ),
        (
            {"model.safetensors": None, "model.safetensors.index.json": b"{"},
            r"model 'pair': \S+/model.safetensors.index.json is damaged: it is no JSON: ",
        ),
        (
            {"config.json": b'{"model_type": "mcl", "vocab_size": 300, "hidden_size": 128, "num_hidden_layers": 1}'},
            r"model 'pair': \S+/model.safetensors: its weights do not fit its config.json: \S+ is \(\d+.*\) in ",
        ),
    ],
)
def test_damaged_checkpoints_are_one_line(damage: dict[str, bytes | None], words: str, tmp_path: Path) -> None:
    config = MclConfig.tiny(vocab_size=200, num_hidden_layers=1, generator_num_hidden_layers=1)
    MclForPreTraining(config).save_pretrained(tmp_path)
    for name, content in damage.items():
        (tmp_path / name).write_bytes(content) if content is not None else (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"^{words}") as raised:
        open_model(MclForPreTraining, tmp_path, "model 'pair'")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_silence_ends_even_after_an_error() -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with pytest.raises(KeyError), loading_in_silence():
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (ERROR, False)
        raise KeyError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
