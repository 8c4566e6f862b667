"""The arguments that say which pair to train."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import yaml

from ..errors import UserError
from ..method.courses import COURSES
from ..models.configuration_mcl import MclConfig

__all__ = ["ModelArguments", "config_overrides"]


@dataclass
class ModelArguments:
    """Which pair to train; names as in transformers' `run_mlm.py` where it has them."""

    preset: Literal["tiny", "small", "base", "large"] | None = field(
        default=None,
        metadata={
            "help": "Shape of the pair and training arguments to go with it (each can be overridden). Without "
            "training text: tiny; with: small."
        },
    )
    objective: Literal["mcl", "electra"] | None = field(
        default=None,
        metadata={"help": "mcl: all courses; electra: replaced token detection alone. mcl, or the checkpoint's."},
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "An MCL pair to go on from, instead of a preset's random weights."}
    )
    discriminator_name_or_path: str | None = field(
        default=None,
        metadata={"help": "An ELECTRA discriminator to go on from; its generator starts new if not given."},
    )
    generator_name_or_path: str | None = field(
        default=None, metadata={"help": "The ELECTRA generator to go on from with that discriminator."}
    )
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "Tokenizer: a Hub name or a folder, as `transformers-mcl tokenizer` makes."}
    )
    config_overrides: str | None = field(
        default=None,
        metadata={"help": "Other fields of MclConfig, as name=value,name=value: num_hidden_layers=6,hidden_act=relu"},
    )
    discriminator_weight: float | None = field(
        default=None, metadata={"help": "Weight of each of the objective's discriminator losses (50)."}
    )
    loss_weights: dict[str, float] | None = field(
        default=None, metadata={"help": "Weights that differ from the objective's, as JSON: '{\"re_std\": 0}'"}
    )
    mask_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to mask (0.15)."})
    swap_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to swap (0.15)."})
    insert_ratio: float | None = field(default=None, metadata={"help": "Inserted slots per token (0.15)."})
    attn_implementation: str | None = field(
        default=None, metadata={"help": "eager, sdpa, flex_attention, or without relative bias flash_attention_2."}
    )
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads and prepared text are kept."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model and tokenizer on the Hub."})
    token: str | None = field(default=None, metadata={"help": "Token for private repositories of the Hub."})
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Start anew in a folder that holds another run, removing its checkpoints."}
    )

    @property
    def base_checkpoints(self) -> list[str]:
        """What to go on from: none, a pair, a discriminator, or a discriminator and its generator.

        Raises:
            UserError: a pair and another, or a generator alone.
        """
        if self.generator_name_or_path and not self.discriminator_name_or_path:
            raise UserError(
                f"generator_name_or_path {self.generator_name_or_path!r} alone: give --discriminator_name_or_path "
                "too, the half that is kept and fine-tuned"
            )
        if self.model_name_or_path and self.discriminator_name_or_path:
            raise UserError(
                f"model_name_or_path {self.model_name_or_path!r} is a pair, and discriminator_name_or_path "
                f"{self.discriminator_name_or_path!r} half of another: give one of them"
            )
        names = (self.model_name_or_path, self.discriminator_name_or_path, self.generator_name_or_path)
        return [name for name in names if name]

    @property
    def hub(self) -> dict[str, Any]:
        """Where configuration, weights and tokenizer alike come from: keywords of `from_pretrained`."""
        return {"cache_dir": self.cache_dir, "revision": self.model_revision, "token": self.token}


def config_overrides(model_args: ModelArguments) -> dict[str, Any]:
    """The fields of [`MclConfig`] that the arguments set.

    Raises:
        UserError: one that there is not.
    """
    ratios = [course.ratio_name for course in COURSES.values()]
    known = {*(field.name for field in fields(MclConfig)), *ratios}
    changes: dict[str, Any] = {name: getattr(model_args, name, None) for name in ratios}
    changes = {name: value for name, value in changes.items() if value is not None}
    for item in (model_args.config_overrides or "").split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not item.strip():
            continue
        if not equals or name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"config_overrides: {item.strip()!r} is not name=value of a field of MclConfig"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        changes[name] = yaml.safe_load(value)
    return changes
