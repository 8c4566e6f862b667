"""Adapters of PEFT: folders and repositories of the Hub with what was trained beside another model's weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME

from ..errors import UserError
from ..io import load_json, one_line

__all__ = ["ADAPTER_TASKS", "ENCODERS", "Adapter", "Merged", "find_adapter", "merge"]

ADAPTER_TASKS: dict[str, Any] = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
    "QUESTION_ANS": AutoModelForQuestionAnswering,
}
"""By PEFT's name of a task, what opens a model for it."""

ENCODERS = (AutoModel, AutoModelForTextEncoding)
"""What opens an encoder without a head."""

_NAMED = "base_model.model."  # what PEFT puts before the names of a model's weights


class Adapter(NamedTuple):
    """What an adapter says of itself.

    Attributes:
        base: the model that it is of: a folder, or a name on the Hub.
        revision: of that.
        auto: what opens a model for its task; None if it names none.
    """

    base: str
    revision: str | None
    auto: Any

    def hub(self, hub: Mapping[str, Any]) -> dict[str, Any]:
        """What opens the base, of what opens the adapter."""
        return {**hub, "revision": self.revision or "main"}

    def architectures(self, config: PreTrainedConfig) -> list[str] | None:
        """The class of the adapted model, where its task says which."""
        known = self.auto is not None and type(config) in self.auto._model_mapping
        return [self.auto._model_mapping[type(config)].__name__] if known else config.architectures


class Merged(NamedTuple):
    """A model that an adapter was merged into.

    Attributes:
        given: its weights that the adapter has whole, such as a head's.
        reshaped: those that the adapter has in another shape, and which it did not give.
    """

    model: PreTrainedModel
    given: set[str]
    reshaped: list[str]


def find_adapter(name_or_path: str | os.PathLike[str], **hub: Any) -> Adapter | None:
    """The adapter that a folder or a repository of the Hub holds, if it holds one.

    Raises:
        UserError: it does, and its `adapter_config.json` cannot be read or names no model.
    """
    known = {name: hub[name] for name in ("cache_dir", "revision", "token", "subfolder") if hub.get(name) is not None}
    try:
        path = cached_file(name_or_path, ADAPTER_CONFIG_NAME, _raise_exceptions_for_missing_entries=False, **known)
    except OSError:  # no such repository, say
        return None
    if path is None:
        return None
    fields = load_json(path)
    base, revision, task = (fields.get(name) for name in ("base_model_name_or_path", "revision", "task_type"))
    if not isinstance(base, str) or not base:
        raise UserError(f"{path} does not name the model that the adapter is of, as base_model_name_or_path")
    if os.path.realpath(base) == os.path.realpath(name_or_path):
        raise UserError(f"{path}: it is an adapter of itself, by its base_model_name_or_path {base!r}")
    return Adapter(base, revision, ADAPTER_TASKS.get(task))


def merge(model: PreTrainedModel, name_or_path: str | os.PathLike[str], where: str, **hub: Any) -> Merged:
    """The model with an adapter's weights in its own.

    Args:
        where: what messages begin with.
        hub: `cache_dir`, `revision` and `token`.

    Raises:
        UserError: PEFT is not installed, or the adapter is of a kind that cannot be merged, of another model, or
            damaged.
    """
    try:
        import peft
    except ImportError as error:
        raise UserError(f'{where} is an adapter, which needs PEFT: pip install "transformers-mcl[peft]"') from error
    known = {name: hub[name] for name in ("cache_dir", "revision", "token") if hub.get(name) is not None}
    trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
    try:
        with warnings.catch_warnings():  # PEFT's own, of what transformers renamed, and of what is looked at below
            warnings.simplefilter("ignore")
            weights = peft.load_peft_weights(str(name_or_path), device="cpu", **known)
            adapted: Any = peft.PeftModel.from_pretrained(
                model, str(name_or_path), ignore_mismatched_sizes=True, autocast_adapter_dtype=False, **known
            )
            own = peft.get_peft_model_state_dict(adapted)
    except Exception as error:  # whatever a damaged file, or one of another model, leads to
        raise UserError(
            f"{where} is an adapter that does not fit {type(model).__name__}: {one_line(error)}"
        ) from error
    kind = str(adapted.active_peft_config.peft_type).rpartition(".")[2]
    if not hasattr(adapted.base_model, "merge_and_unload"):
        raise UserError(f"{where} is an adapter of the kind {kind}, which cannot be merged with its model")
    if lost := sorted(weights.keys() - own.keys()):
        raise UserError(
            f"{where} is an adapter of another kind of model than {type(model).__name__}, which has no "
            f"{lost[0].removeprefix(_NAMED)} ({len(lost)} tensors in all)"
        )
    reshaped = [name for name, weight in weights.items() if weight.shape != own[name].shape]
    names = {name.removeprefix(_NAMED) for name in weights}
    merged: PreTrainedModel = adapted.merge_and_unload()
    for name, weight in merged.named_parameters():  # which PEFT froze
        weight.requires_grad_(trained[name])
    return Merged(merged, names, [name.removeprefix(_NAMED) for name in reshaped])
