"""The one place that opens checkpoints by name: one line says what is wrong with one, or what it lacks."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig
from transformers.utils import logging

from ..errors import NotConverted, UserError
from ..io import nearest_path, one_line

__all__ = ["Opened", "load_config", "loading_in_silence", "open_model", "open_whole", "without_bars"]


def load_config(name_or_path: str, argument: str = "model_name_or_path", **hub: Any) -> PreTrainedConfig:
    """`AutoConfig.from_pretrained`, with one-line errors.

    Args:
        argument: what the user calls it.
        hub: `cache_dir`, `revision`, `token` and the like.

    Raises:
        UserError: no such directory or repository, or one that holds no checkpoint.
    """
    try:
        with loading_in_silence():
            return AutoConfig.from_pretrained(name_or_path, **hub)
    except UserError as error:  # of the configuration: it is there, and says something that cannot be
        raise UserError(f"{argument}: {name_or_path!r}: {error}") from error
    except NotConverted as error:
        raise UserError(f"{argument}: {error}") from error
    except (OSError, ValueError) as error:
        if (base := _adapted(name_or_path)) is not None:
            raise UserError(
                f"{argument}: {name_or_path!r} is an adapter of PEFT for {base!r}, not a model: give what "
                "merge_and_unload() makes of both, saved with save_pretrained"
            ) from error
        if kind := _unknown_type(name_or_path, hub):
            near = difflib.get_close_matches(kind, CONFIG_MAPPING.keys(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{argument}: {name_or_path!r}: transformers has no model type {kind!r}{hint}") from error
        problem = "is a directory without a checkpoint" if os.path.isdir(name_or_path) else "is no directory here"
        raise UserError(
            f"{argument}: {name_or_path!r} {problem}: {one_line(error)}{nearest_path(name_or_path)}"
        ) from error


def _adapted(folder: str) -> str | None:
    """The model that an adapter in a folder is of, if there is one."""
    path = os.path.join(folder, "adapter_config.json")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return str(json.load(file).get("base_model_name_or_path"))


def _unknown_type(name_or_path: str, hub: dict[str, Any]) -> str | None:
    """The model type of a checkpoint, if it names one that transformers has not."""
    try:
        found, _ = PreTrainedConfig.get_config_dict(name_or_path, **hub)
    except (OSError, ValueError):
        return None
    kind = found.get("model_type")
    return kind if isinstance(kind, str) and kind not in CONFIG_MAPPING else None


class Opened(NamedTuple):
    """A model, and what its checkpoint did not give it.

    Attributes:
        missing: its weights that the checkpoint lacks, which are new; sorted.
        reshaped: its weights that the checkpoint has in another shape, which are new too; sorted.
        unexpected: what the checkpoint has beyond; sorted.
    """

    model: Any
    missing: list[str]
    reshaped: list[str]
    unexpected: list[str]


def open_model(
    kind: Any,
    name_or_path: str | os.PathLike[str],
    where: str,
    *,
    dtype: torch.dtype | str = torch.float32,
    ignore_mismatched_sizes: bool = False,
    **arguments: Any,
) -> Opened:
    """`kind.from_pretrained`, in silence and with one-line errors; the caller says which weights may be missing.

    The weights are float32 unless another type is asked for, whatever the file has: trained as they are, those of
    bfloat16 do not move at a usual learning rate, and those of float16 overflow.

    Args:
        kind: the model's class, or an Auto class.
        where: what messages begin with: the argument and the name.
        ignore_mismatched_sizes: whether weights may have another shape in the checkpoint.
        arguments: of `from_pretrained`.

    Raises:
        UserError: there are no weights, or ones that cannot be read, or not of these shapes.
    """
    try:
        with loading_in_silence():
            # Always ignored, since the error of transformers names none of them.
            model, info = kind.from_pretrained(
                name_or_path, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True, **arguments
            )
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{where} has no weights: {one_line(error)}") from error
    except (ValueError, ImportError) as error:  # a class for other models, or one that needs a package
        raise UserError(f"{where} cannot be opened: {one_line(error)}") from error
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(f"{where}: its weights cannot be read: {one_line(error)}") from error
    reshaped = sorted(info["mismatched_keys"])
    if reshaped and not ignore_mismatched_sizes:
        name, theirs, ours = reshaped[0]
        raise UserError(
            f"{where}: its weights do not fit its config.json: {name} is {tuple(theirs)} in the file and "
            f"{tuple(ours)} in the model ({len(reshaped)} tensors in all)"
        )
    names = [name for name, *_ in reshaped]
    return Opened(model, sorted(info["missing_keys"]), names, sorted(info["unexpected_keys"]))


def open_whole(kind: Any, name_or_path: str | os.PathLike[str], where: str, **arguments: Any) -> Any:
    """The model, if the checkpoint has all of its weights; arguments as `open_model`'s.

    Raises:
        UserError: it has not, or it cannot be opened.
    """
    opened = open_model(kind, name_or_path, where, **arguments)
    if missing := opened.missing:
        lacks = f"it lacks {missing[0]} ({len(missing)} tensors in all)"
        raise UserError(f"{where} is no {type(opened.model).__name__}: {lacks}")
    return opened.model


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bar of transformers' own, such as that of the files of a checkpoint, for who has one already."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


@contextmanager
def loading_in_silence() -> Iterator[None]:
    """No progress bar and no list of missing weights, for callers who look for those and say so themselves."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_bars():
            yield
    finally:
        logging.set_verbosity(verbosity)
