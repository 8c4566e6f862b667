"""The half of a checkpoint that judges sentences: any masked language model, or a detector of replaced tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from transformers import AutoModelForMaskedLM, ElectraForPreTraining, PreTrainedModel

from ..errors import UserError
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model
from ..models.modeling_mcl import MclDiscriminator
from ..models.pretraining import MclForPreTraining

__all__ = ["ScorerName", "open_scorer", "open_scorers"]

ScorerName = Literal["generator", "discriminator"]


class _NoHead(UserError):
    """The checkpoint lacks the half that a scorer needs."""


def open_scorer(name_or_path: str, scorer: ScorerName, dtype: str = "float32", **hub: Any) -> PreTrainedModel:
    """The half of a checkpoint that `scorer` needs: any masked language model, or a detector of replaced tokens, which
    of a pair of another family is the pair itself.

    `hub` is `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: no such checkpoint, or one that lacks this half.
    """
    where, config = f"model_name_or_path: {name_or_path!r}", load_config(name_or_path, **hub)
    kind: Any = AutoModelForMaskedLM
    if scorer == "discriminator":
        if isinstance(config, MclConfig):
            kind = MclDiscriminator if config.backbone_config is None else MclForPreTraining
        elif config.model_type == "electra":
            kind = ElectraForPreTraining
        else:
            raise _NoHead(f"{where} is a {config.model_type!r} checkpoint, which has no discriminator")
    elif not isinstance(config, MclConfig) and type(config) not in AutoModelForMaskedLM._model_mapping:
        raise _NoHead(f"{where} is a {config.model_type!r} checkpoint, which is no masked language model")
    opened = open_model(kind, name_or_path, where, dtype=dtype, **hub)
    if opened.missing:
        architecture = ", ".join(config.architectures or ["unknown architecture"])
        parts = ", ".join(sorted({key.split(".")[0] for key in opened.missing}))
        raise _NoHead(f"{where} ({architecture}) holds no {scorer}: weights of {parts} are missing")
    model: PreTrainedModel = opened.model
    return model


def open_scorers(
    name_or_path: str, scorer: ScorerName | Literal["both"] | None, dtype: str, say: Callable[[str], object]
) -> dict[ScorerName, PreTrainedModel]:
    """The halves that are asked for; of None those that the checkpoint has, and `say` is told of one that it lacks.

    Raises:
        UserError: the checkpoint lacks what is asked for, or both.
    """
    models: dict[ScorerName, PreTrainedModel] = {}
    problems: list[_NoHead] = []
    for name in get_args(ScorerName):
        if scorer in (None, "both", name):
            try:
                models[name] = open_scorer(name_or_path, name, dtype)
            except _NoHead as problem:
                if scorer is not None:
                    raise
                problems.append(problem)
    if not models:
        raise problems[0]
    for missing in problems:
        say(str(missing))
    return models
