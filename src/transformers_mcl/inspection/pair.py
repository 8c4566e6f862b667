"""A pair to look at, opened by its name."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedTokenizerBase

from ..data.shipped import find_pair
from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model
from ..models.pretraining import MclForPreTraining

__all__ = ["open_pair"]


def open_pair(
    name_or_path: str, ratios: Mapping[str, float] | None = None, argument: str = "model_name_or_path"
) -> tuple[MclForPreTraining, PreTrainedTokenizerBase]:
    """A pair and its tokenizer.

    Args:
        name_or_path: its folder, its name on the Hub, or `mcl-pair`, the one inside the package.
        ratios: in place of those it was trained with, by the name of their field.
        argument: what the user calls the pair.

    Raises:
        UserError: there is no such pair, it is not whole, or a ratio cannot be.
    """
    where, name_or_path = f"{argument}: {name_or_path!r}", find_pair(name_or_path)
    config = load_config(name_or_path, argument)
    if not isinstance(config, MclConfig):
        raise UserError(
            f"{where} is a {config.model_type!r} checkpoint; give a pair that `transformers-mcl pretrain` wrote"
        )
    config = MclConfig.from_dict({**config.to_dict(), **(ratios or {})})
    tokenizer = load_tokenizer(name_or_path)
    opened = open_model(MclForPreTraining, name_or_path, where, config=config)
    if opened.missing:
        kind = ", ".join(config.architectures or ["unknown architecture"])
        parts = ", ".join(sorted({key.split(".")[0] for key in opened.missing}))
        raise UserError(
            f"{where} ({kind}) is not a whole pair: weights of {parts} are missing; give what `transformers-mcl "
            "pretrain` wrote"
        )
    return opened.model, tokenizer
