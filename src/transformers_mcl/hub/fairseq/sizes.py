"""Every value of the configuration that a checkpoint decides, and where it was read."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from .families import Family, names_by_layer
from .reading import REPORT_THIS, Settings

__all__ = ["Encoder", "Sizes", "count_layers"]


def count_layers(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Layers of the encoder whose names begin with `prefix`; 0 if there is none."""
    numbers = [re.match(rf"{re.escape(prefix)}layers\.(\d+)\.", name) for name in tensors]
    return max((int(match[1]) + 1 for match in numbers if match), default=0)


@dataclass(frozen=True)
class Encoder:
    """An encoder's sizes, read from its tensors."""

    prefix: str
    width: int
    layers: int
    heads: int
    intermediate: int


@dataclass
class Sizes:
    """Reads sizes, and remembers of each where it stood.

    Attributes:
        family, tensors, settings: of the checkpoint.
        given: what the user said; it wins over what a checkpoint's settings say, not over shapes.
        values: by the name of a field of `MclConfig`, its value and its origin.
        notes: what was assumed.
    """

    family: Family
    tensors: Mapping[str, Tensor]
    settings: Settings
    given: Mapping[str, int | None]
    source: str
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def config(self) -> dict[str, Any]:
        """The values alone."""
        return {name: value for name, (value, _) in self.values.items()}

    def put(self, name: str, value: Any, origin: str) -> None:
        self.values[name] = (value, origin)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor that every encoder has."""
        if name not in self.tensors:
            raise UserError(f"{self.source} lacks {name}; {REPORT_THIS}. It holds {names_by_layer(self.tensors)}")
        return tuple(self.tensors[name].shape)

    def setting(self, name: str, ours: str, default: Any, why: str) -> None:
        """Takes `ours` from the setting `name`, or else the default, which needs a reason."""
        value, origin = self.settings.get(name)
        self.put(ours, value if origin else default, origin or f"assumed: {why}")

    def encoders(self) -> tuple[Encoder | None, Encoder | None]:
        """The sizes of both encoders, the discriminator's first; `None` for one that is not there."""
        family = self.family
        discriminator = self._encoder(family.discriminator, "") if family.discriminator else None
        generator = (
            self._encoder(family.generator, "generator_") if count_layers(self.tensors, family.generator) else None
        )
        if generator and not discriminator:
            for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
                self.put(name, *self.values[f"generator_{name}"])
        self._tables(family.discriminator or family.generator)
        return discriminator, generator

    def _encoder(self, prefix: str, ours: str) -> Encoder:
        projection, inner = (
            f"{prefix}layers.0.{self.family.layer[n]}.weight" for n in ("output.dense", "intermediate.dense")
        )
        width, intermediate = self.shape(projection)[0], self.shape(inner)[0]
        layers = count_layers(self.tensors, prefix)
        self.put(f"{ours}hidden_size", width, f"rows of {projection}")
        self.put(f"{ours}num_hidden_layers", layers, f"layers under {prefix}layers")
        self.put(f"{ours}intermediate_size", intermediate, f"rows of {inner}")
        heads, origin = self._heads(prefix, width)
        self.put(f"{ours}num_attention_heads", heads, origin)
        return Encoder(prefix, width, layers, heads, intermediate)

    def _heads(self, prefix: str, width: int) -> tuple[int, str]:
        table = f"{prefix}{self.family.relative_bias}"
        if table in self.tensors:
            return self.shape(table)[1], f"columns of {table}"
        if (given := self.given.get("num_attention_heads")) is not None:
            return given, "given"
        value, origin = self.settings.get("encoder_attention_heads")
        if origin:
            return int(value), origin
        if width % 64:
            raise UserError(
                f"{self.source}: no shape tells the number of attention heads, and {prefix}'s width of {width} is no "
                "multiple of 64, the usual width of a head: give num_attention_heads"
            )
        self.notes.append(f"{prefix} has {width // 64} heads if each is 64 wide, as usual: no shape tells")
        return width // 64, "assumed: 64 per head, as usual; give num_attention_heads if it is not so"

    def _tables(self, prefix: str) -> None:
        """What the embeddings' and the bias's tables tell."""
        family = self.family
        tokens, positions = f"{prefix}embed_tokens.weight", f"{prefix}embed_positions.weight"
        self.put("vocab_size", self.shape(tokens)[0], f"rows of {tokens}")
        self.put("embedding_size", self.shape(tokens)[1], f"columns of {tokens}")
        rows, first = self.shape(positions)[0], family.first_position
        self.put(
            "max_position_embeddings",
            rows - first,
            f"rows of {positions}" + (f", less the {first} before the first token's" if first else ""),
        )
        self.put("type_vocab_size", 1, "fairseq has no segments: one row of zeros")
        self.put("layer_norm_eps", 1e-5, "the code's")
        self.put("relative_attention_bias_type", family.bias_type, "the family's")
        table = f"{prefix}{family.relative_bias}"
        if table not in self.tensors:
            self.put("relative_attention_num_buckets", 0, f"there is no {table}")
            return
        buckets = self.shape(table)[0]
        self.put("relative_attention_num_buckets", buckets, f"rows of {table}")
        if family.bias_type == "t5":  # whatever max_rel_pos says: the code does not pass it on
            self.put("relative_attention_max_distance", 128, "the code's, whatever max_rel_pos says")
        else:
            usual = 256 if buckets == 128 else 128
            self.setting("max_rel_pos", "relative_attention_max_distance", usual, f"COCO-LM's with {buckets} buckets")

    def shifted_bias(self, table: Tensor) -> list[Tensor]:
        """COCO-LM counts its buckets from that of the farthest pair of positions; ours are counted from the last.

        The two are the same but for tables of few positions, whose rows are moved. T5's are left as they are.
        """
        if self.family.bias_type == "t5":
            return [table]
        from ...models.configuration_mcl import MclConfig
        from ...models.modeling_mcl import RelativePositionBias

        config = {**self.config(), "num_attention_heads": table.shape[1], "hidden_size": table.shape[1]}
        with torch.device("meta"):
            bias = RelativePositionBias(MclConfig(**config))
        farthest = torch.tensor(1 - config["max_position_embeddings"])
        return [table.roll(int(bias.bucket(farthest)), 0)]

    def training(self, generator: bool) -> None:
        """What training went on with, and goes on with."""
        self.setting("dropout", "hidden_dropout_prob", 0.1, "the code's default")
        self.setting("attention_dropout", "attention_probs_dropout_prob", 0.1, "the code's default")
        if generator and self.family.discriminator:
            mode, origin = self.settings.get("generator_sample_mode")
            if self.family.bias_type == "t5":
                self.put("generator_dropout", 0.0, "the code's: the generator has none")
            elif mode == "zero-dropout":
                self.put("generator_dropout", 0.0, f"{origin}={mode!r}")
        inner, origin = self.settings.get("activation_dropout")
        if inner:
            self.notes.append(f"{origin}={inner}: our layers have no dropout inside the feed-forward part")

    def special_tokens(self, words: int | None) -> None:
        """Ids of special tokens; `words` are the lines of `dict.txt`."""
        for name, token in (("bos", 0), ("cls", 0), ("pad", 1), ("eos", 2), ("sep", 2)):
            self.put(f"{name}_token_id", token, "fairseq's dictionary")
        size = self.values["vocab_size"][0]
        if (given := self.given.get("mask_token_id")) is not None:
            self.put("mask_token_id", given, "given")
        elif words is not None:
            self.put("mask_token_id", words + 4, "dict.txt: after 4 special tokens and its lines")
        elif self.family.bias_type == "coco_lm":
            self.put("mask_token_id", size - 1, "the last of the vocabulary, as the task appends it")
        else:
            # 64,104 is the English vocabulary of 63,997 lines; of others, up to 7 fillers follow the hundred masks.
            mask = 64001 if size == 64104 else size - 101
            self.put("mask_token_id", mask, "assumed, as there is no dict.txt; give mask_token_id if it is not so")
            self.notes.append(
                f"mask_token_id={mask} is a guess: no dict.txt lies beside the checkpoint, and <mask> is followed by "
                "100 others and up to 7 fillers; a wrong one spoils the generator and further pre-training"
            )
        if self.values["mask_token_id"][0] >= size:
            mask, origin = self.values["mask_token_id"]
            raise UserError(f"{self.source}: mask_token_id={mask} ({origin}) is not in a vocabulary of {size}")

    def prediction_layers(self, head: str, layers: int) -> None:
        """The layers whose predictions AMOS's generator mixes."""
        if f"{head}.layer_mixture.weight" not in self.tensors:
            return
        text, origin = self.settings.get("generator_mlm_layers")
        if origin:
            self.put("generator_prediction_layers", list(ast.literal_eval(str(text))), origin)
            return
        usual = sorted({max(round(layers * share), 1) for share in (0.5, 0.75, 1)})
        self.put("generator_prediction_layers", usual, "assumed: half, three quarters and all of the depth, as AMOS's")
        self.notes.append(f"the generator mixes the predictions of layers {usual}, as AMOS's: no shape tells")
