from __future__ import annotations

from logging import ERROR
from pathlib import Path

import pytest
from transformers.utils import logging

from transformers_mcl import MclConfig, UserError
from transformers_mcl.models.loading import load_config, loading_in_silence


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


def test_silence_ends_even_after_an_error() -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with pytest.raises(KeyError), loading_in_silence():
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (ERROR, False)
        raise KeyError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
