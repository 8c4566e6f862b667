"""The one place that opens checkpoints by name: one line says what is wrong with one, or what it lacks."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from math import isnan
from typing import Any, NamedTuple

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig
from transformers.initialization import no_init_weights
from transformers.utils import CONFIG_NAME, WEIGHTS_NAME, logging

from ..errors import NotConverted, UserError
from ..io import load_json, nearest_path, one_line
from . import modeling_mcl, pretraining
from .adapters import ENCODERS, Adapter, find_adapter, merge
from .configuration_mcl import MclConfig
from .folders import Head, check_config, weight_files
from .hooks import DOOR, HUB_ARGUMENTS

__all__ = [
    "TRUST_HELP",
    "Opened",
    "check_weights",
    "load_config",
    "loading_in_silence",
    "open_model",
    "open_whole",
    "refused_code",
    "trusting",
    "with_trust",
    "without_bars",
]

TRUST_HELP = "Run code that comes with a model or a tokenizer; without it, what needs such code is refused."
"""Of the argument `trust_remote_code` of every command."""

_trusts: ContextVar[bool] = ContextVar("trust_remote_code", default=False)
# What a weight cannot be of, by the beginnings of safetensors' names.
_NO_FRACTIONS = ("I", "U", "BOOL", "C")


@contextmanager
def trusting(remote_code: bool) -> Iterator[None]:
    """Within it, checkpoints may run code that comes with them, where whoever opens one does not say if it may."""
    token = _trusts.set(remote_code)
    try:
        yield
    finally:
        _trusts.reset(token)


def with_trust(hub: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `from_pretrained` that say whether code may be run: transformers asks the terminal if none does."""
    asked = hub.get("trust_remote_code")
    return {**hub, "trust_remote_code": _trusts.get() if asked is None else asked}


def refused_code(error: BaseException, where: str) -> UserError | None:
    """What to say if `error` is transformers' refusal to run a checkpoint's code; else None."""
    if not isinstance(error, ValueError) or "trust_remote_code=True" not in str(error):
        return None
    return UserError(
        f"{where} needs code that comes with it, which is not run: read that code, and give --trust_remote_code true "
        "if you trust it"
    )


def load_config(name_or_path: str, argument: str = "model_name_or_path", **hub: Any) -> PreTrainedConfig:
    """`AutoConfig.from_pretrained`, with one-line errors.

    Args:
        argument: what the user calls it.
        hub: `cache_dir`, `revision`, `token` and the like; without `trust_remote_code`, that of `trusting`.

    Raises:
        UserError: no such directory or repository, one that holds no checkpoint, or one whose configuration is
            damaged, says what cannot be, or needs code.
    """
    hub = with_trust(hub)
    try:
        path = check_config(name_or_path, **hub)
    except UserError as error:
        raise UserError(f"{argument}: {error}") from error
    where = f"{argument}: {os.path.join(name_or_path, CONFIG_NAME)}"
    try:
        with loading_in_silence():
            config: PreTrainedConfig = AutoConfig.from_pretrained(name_or_path, **hub)
    except NotConverted as error:
        raise UserError(f"{argument}: {error}") from error
    except Exception as error:  # whatever a damaged file leads to
        if path is None:
            if (adapter := find_adapter(name_or_path, **hub)) is not None:
                config = load_config(adapter.base, f"{argument} {name_or_path!r} is an adapter of", **adapter.hub(hub))
                config.architectures = adapter.architectures(config)
                return config
            raise _no_config(name_or_path, argument, error) from error
        said = load_json(path)
        kind, is_door = said.get("model_type"), said.get("auto_map") == DOOR  # of which the code is here
        if not is_door and (refused := refused_code(error, where)):
            raise refused from error
        if kind is not None and (not isinstance(kind, str) or kind not in CONFIG_MAPPING):
            near = difflib.get_close_matches(str(kind), CONFIG_MAPPING.keys(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{where}: transformers has no model type {kind!r}{hint}") from error
        said_of = str(error) if isinstance(error, UserError) else one_line(error)
        raise UserError(f"{where}: {said_of if kind is not None else 'it has no model_type'}") from error
    _check_config(config, where, hub)
    return config


def _check_config(config: PreTrainedConfig, where: str, hub: Mapping[str, Any]) -> None:
    """Refuses what transformers takes as it is, and who reads it does not."""
    names = config.architectures
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError(f"{where}: architectures={names!r} must be a list of names")
    if name := next((name for name, value in vars(config).items() if isinstance(value, float) and isnan(value)), None):
        raise UserError(f"{where}: {name} is NaN")
    kernel = getattr(config, "_attn_implementation", None)
    if isinstance(kernel, str) and "/" in kernel and not hub["trust_remote_code"]:
        raise UserError(
            f"{where}: _attn_implementation={kernel!r} is code of the Hub, which is not run: remove it, or give "
            "--trust_remote_code true if you trust it"
        )


def _no_config(name_or_path: str, argument: str, error: Exception) -> UserError:
    """What to say of what has no configuration."""
    problem = "is a directory without a checkpoint" if os.path.isdir(name_or_path) else "is no directory here"
    return UserError(f"{argument}: {name_or_path!r} {problem}: {one_line(error)}{nearest_path(name_or_path)}")


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
    bfloat16 do not move at a usual learning rate, and those of float16 overflow. An adapter of PEFT is opened as its
    model, with which it is merged.

    Args:
        kind: the model's class, or an Auto class.
        where: what messages begin with: the argument and the name.
        ignore_mismatched_sizes: whether weights may have another shape in the checkpoint.
        arguments: of `from_pretrained`.

    Raises:
        UserError: there are no weights, or ones that cannot be read, or not of these shapes.
    """
    arguments = with_trust(arguments)
    if (adapter := find_adapter(name_or_path, **arguments)) is not None:
        opened = _open_adapted(kind, name_or_path, where, adapter, dtype, arguments)
        return opened if ignore_mismatched_sizes else _all_fit(opened, where)
    with loading_in_silence():
        files = check_weights(name_or_path, where, kind, ignore_mismatched_sizes, **arguments)
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
    except Exception as error:  # whatever a damaged file leads to
        if refused := refused_code(error, where):
            raise refused from error
        if isinstance(error, ValueError | ImportError):  # a class for other models, or one that needs a package
            raise UserError(f"{where} cannot be opened: {one_line(error)}") from error
        if not files:
            raise UserError(
                f"{where}: {WEIGHTS_NAME} is damaged, or holds more than weights, which is not run: {one_line(error)}"
            ) from error
        raise UserError(f"{where}: its weights cannot be read: {one_line(error)}") from error
    reshaped = sorted(info["mismatched_keys"])
    inside = f"{model.base_model_prefix}."
    wrong = [found for found in reshaped if not ignore_mismatched_sizes or found[0].startswith(inside)]
    if wrong:
        name, theirs, ours = wrong[0]
        raise _unfit(where, name, theirs, ours, len(wrong))
    names = [name for name, *_ in reshaped]
    return Opened(model, sorted(info["missing_keys"]), names, sorted(info["unexpected_keys"]))


def _open_adapted(
    kind: Any,
    name_or_path: str | os.PathLike[str],
    where: str,
    adapter: Adapter,
    dtype: torch.dtype | str,
    arguments: dict[str, Any],
) -> Opened:
    """The model of an adapter, with the adapter's weights in it; weights of other shapes are new."""
    # What was put into a model with a head has its names, and is not found in an encoder alone.
    whole = adapter.auto if kind in ENCODERS and adapter.auto is not None else kind
    opened = open_model(
        whole,
        adapter.base,
        f"{where}, an adapter of {adapter.base!r},",
        dtype=dtype,
        ignore_mismatched_sizes=True,
        **adapter.hub(arguments),
    )
    merged = merge(opened.model, name_or_path, where, **arguments)
    missing = [name for name in opened.missing if name not in merged.given]
    reshaped = [name for name in opened.reshaped if name not in merged.given]
    found = Opened(merged.model, missing, sorted({*reshaped, *merged.reshaped}), opened.unexpected)
    if whole is kind:
        return found
    before = f"{merged.model.base_model_prefix}."
    names = ([name.removeprefix(before) for name in group if name.startswith(before)] for group in found[1:])
    return Opened(merged.model.base_model, *names)


def _all_fit(opened: Opened, where: str) -> Opened:
    if opened.reshaped:
        raise UserError(f"{where}: {opened.reshaped[0]} has another shape in the adapter than in the model")
    return opened


def check_weights(
    name_or_path: str | os.PathLike[str],
    where: str,
    kind: Any = None,
    ignore_mismatched_sizes: bool = False,
    **arguments: Any,
) -> dict[str, dict[str, Head]]:
    """The files of a checkpoint's weights (`folders.weight_files`), if the weights are those that its configuration
    says it has: what is missing or of another shape would be made anew, whatever memory that takes.

    Args:
        where: what messages begin with.
        kind: the class that is to be opened, where the configuration names none that is known here.
        ignore_mismatched_sizes: whether what lies outside the encoder may have another shape.
        arguments: of `from_pretrained`.

    Raises:
        UserError: a file is damaged; a tensor is missing, of another shape, or holds whole numbers.
    """
    arguments = with_trust(arguments)
    try:
        files = weight_files(name_or_path, **arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if not files:
        return files
    hub = {name: arguments[name] for name in (*HUB_ARGUMENTS, "trust_remote_code") if name in arguments}
    config = load_config(os.fspath(name_or_path), where, **hub)
    number = sum(map(len, files.values()))
    if (layers := getattr(config, "num_hidden_layers", 0) or 0) > number:  # of which no model is to be built
        first = os.path.basename(next(iter(files)))
        raise UserError(
            f"{where}: {CONFIG_NAME} has num_hidden_layers={layers}, and its weights, {first}, are {number} tensors"
        )
    kind = _class_of(config) or kind
    if kind is None or getattr(config, "quantization_config", None) is not None:  # whose tensors are others
        return files
    model = _empty(kind, config, where, arguments["trust_remote_code"])
    own, inside = model.state_dict(), f"{model.base_model_prefix}."
    ignored = [] if not ignore_mismatched_sizes else [name for name in own if not name.startswith(inside)]
    for file, heads in files.items():
        _check_tensors(heads, own, inside, ignored, f"{where}: {file}")
    if type(config) is MclConfig and config.backbone_config is None:  # whose names in files and models are the same
        tied = getattr(model, "all_tied_weights_keys", {})
        found = {tensor for heads in files.values() for tensor in heads}
        # What a generator alone has of a pair's embeddings may stand there by the pair's name.
        missing = sorted(n for n in own if n not in tied and not found & {n, n.removeprefix("generator.")})
        if missing:
            raise UserError(
                f"{where}: {', '.join(files)}: it lacks {missing[0]} ({len(missing)} tensors in all), which a "
                f"{kind.__name__} has"
            )
    return files


def _class_of(config: Any) -> Any:
    """The class that a configuration is of, by its own word; None if there is none of this name."""
    name = (config.architectures or [""])[0]
    if isinstance(config, MclConfig):
        return getattr(pretraining, name, None) or getattr(modeling_mcl, name, None)
    return getattr(transformers, name, None)


def _check_tensors(
    heads: Mapping[str, Head], own: Mapping[str, torch.Tensor], inside: str, ignored: Collection[str], where: str
) -> None:
    """Raises UserError if a tensor that a model has by the same name is of another shape, or of whole numbers."""
    wrong = []
    for name, (shape, format) in heads.items():
        found = next((n for n in (name, f"{inside}{name}", name.removeprefix(inside)) if n in own), None)
        if found is None:
            continue
        if own[found].is_floating_point() and format.startswith(_NO_FRACTIONS):
            raise UserError(f"{where}: the tensor {name} is of {format}, which no weight can be")
        if own[found].shape != shape and found not in ignored:
            wrong.append((found, shape, own[found].shape))
    if wrong:
        name, theirs, ours = wrong[0]
        raise _unfit(where, name, theirs, ours, len(wrong))


def _empty(kind: Any, config: Any, where: str, trust_remote_code: bool) -> Any:
    """A model of this configuration without memory for its weights."""
    try:
        with no_init_weights(), torch.device("meta"):
            if hasattr(kind, "from_config"):
                return kind.from_config(config, trust_remote_code=trust_remote_code)
            return kind._from_config(config)
    except Exception as error:  # whatever values that cannot be lead to
        if isinstance(error, UserError | ImportError) or refused_code(error, where):
            raise
        raise UserError(
            f"{where} cannot be opened: no {kind.__name__} can be made of its {CONFIG_NAME}: {one_line(error)}"
        ) from error


def _unfit(where: str, name: str, theirs: Any, ours: Any, number: int) -> UserError:
    return UserError(
        f"{where}: its weights do not fit its config.json: {name} is {tuple(theirs)} in the file and "
        f"{tuple(ours)} in the model ({number} tensors in all)"
    )


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
