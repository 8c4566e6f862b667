"""Opening a checkpoint by name: one line says what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import logging

from ..errors import NotConverted, UserError
from ..io import nearest_path, one_line

__all__ = ["load_config", "loading_in_silence"]


def load_config(name_or_path: str, argument: str = "model_name_or_path", **hub: Any) -> PreTrainedConfig:
    """`AutoConfig.from_pretrained`, with one-line errors.

    Args:
        argument: what the user calls it.
        hub: `cache_dir`, `revision`, `token` and the like.

    Raises:
        UserError: no such directory or repository, or one that holds no checkpoint.
    """
    try:
        return AutoConfig.from_pretrained(name_or_path, **hub)
    except NotConverted as error:
        raise UserError(f"{argument}: {error}") from error
    except (OSError, ValueError) as error:
        problem = "is a directory without a checkpoint" if os.path.isdir(name_or_path) else "is no directory here"
        raise UserError(
            f"{argument}: {name_or_path!r} {problem}: {one_line(error)}{nearest_path(name_or_path)}"
        ) from error


@contextmanager
def loading_in_silence() -> Iterator[None]:
    """No progress bar and no list of missing weights, for callers who look for those and say so themselves."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
