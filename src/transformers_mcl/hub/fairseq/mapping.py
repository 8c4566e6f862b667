"""From fairseq's tensors to ours: which goes where, and what is done to it on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...errors import UserError
from .families import Family, names_by_layer
from .reading import REPORT_THIS

__all__ = ["TensorMap"]

# Buffers that old versions of fairseq saved: no numbers of the model's.
_NO_WEIGHTS = re.compile(r"(^|\.)(version|_float_tensor)$")
_PARTS = ("weight", "bias")


class TensorMap:
    """Moves tensors, and remembers what is left.

    Attributes:
        weights: what was moved, by our names, in float32; on the disk where nothing had to be done to it.
        left: what was not, by theirs.
        destinations: of each that was moved, by their name: shape, and our names with what was done.
        missing: names that should have been there.
    """

    def __init__(self, family: Family, tensors: Mapping[str, Tensor]) -> None:
        self.family = family
        self.left = dict(tensors)
        self.weights: dict[str, Tensor] = {}
        self.destinations: dict[str, tuple[list[int], str]] = {}
        self.missing: list[str] = []

    def move(
        self, source: str, *targets: str, change: Callable[[Tensor], Sequence[Tensor]] | None = None, note: str = ""
    ) -> None:
        """Moves the tensor `source` to `targets`: itself, or the parts that `change` makes of it."""
        tensor = self.left.pop(source, None)
        if tensor is None:
            self.missing.append(source)
            return
        tensor = tensor.float()
        parts = change(tensor) if change else [tensor] * len(targets)
        self.weights.update(zip(targets, parts, strict=True))
        self.destinations[source] = (list(tensor.shape), " and ".join(targets) + (f", {note}" if note else ""))

    def move_both(self, source: str, target: str) -> None:
        """Moves a module's weight and bias."""
        for part in _PARTS:
            self.move(f"{source}.{part}", f"{target}.{part}")

    def encoder(self, theirs: str, ours: str, layers: int, change_bias: Callable[[Tensor], Sequence[Tensor]]) -> None:
        """Moves an encoder, its names beginning with `theirs`, to names that begin with `ours`."""
        family, embeddings = self.family, f"{ours}embeddings."
        self.move(f"{theirs}embed_tokens.weight", f"{embeddings}word_embeddings.weight")
        first = family.first_position
        self.move(
            f"{theirs}embed_positions.weight",
            f"{embeddings}position_embeddings.weight",
            change=lambda table: [table[first:]],
            note=f"from row {first}, the first token's, on" if first else "",
        )
        self.move_both(f"{theirs}{family.embedding_norm}", f"{embeddings}LayerNorm")
        self.weights[f"{embeddings}token_type_embeddings.weight"] = torch.zeros(
            1, self.weights[f"{embeddings}word_embeddings.weight"].shape[1]
        )
        for layer in range(layers):
            self._layer(f"{theirs}layers.{layer}.", f"{ours}encoder.layer.{layer}.")
        if (name := f"{theirs}{family.relative_bias}") in self.left:
            self.move(name, f"{ours}relative_attention_bias.weight", change=change_bias)

    def _layer(self, theirs: str, ours: str) -> None:
        fused = [f"{ours}{name}" for name, source in self.family.layer.items() if source.endswith(".in_proj")]
        for part in _PARTS if fused else ():
            self.move(
                f"{theirs}self_attn.in_proj.{part}",
                *(f"{name}.{part}" for name in fused),
                change=lambda tensor: tensor.chunk(3),
                note="a third each",
            )
        for name, source in self.family.layer.items():
            if f"{ours}{name}" not in fused:
                self.move_both(f"{theirs}{source}", f"{ours}{name}")

    def detection_head(self, theirs: str, ours: str) -> None:
        """Moves a detection head; ours is positive where replaced, theirs is high where original."""
        two = self.family.detection_rows == 2
        for part in _PARTS:
            self.move(
                f"{theirs}.{part}",
                f"{ours}.dense_prediction.{part}",
                change=(lambda rows: [rows[:1] - rows[1:]]) if two else (lambda row: [-row]),
                note="row 0 (replaced) minus row 1 (original)" if two else "negated: theirs is positive for original",
            )
        if two:
            self.move_both(f"{theirs}.dense", f"{ours}.dense")
            self.move_both(f"{theirs}.layer_norm", f"{ours}.LayerNorm")

    def language_head(self, theirs: str) -> None:
        """Moves the generator's head."""
        self.move_both(theirs, "generator.generator_lm_head")
        self.move_both(f"{theirs}.dense", "generator.generator_predictions.dense")
        self.move_both(f"{theirs}.layer_norm", "generator.generator_predictions.LayerNorm")
        if (mixture := f"{theirs}.layer_mixture.weight") in self.left:
            self.move(mixture, "generator.layer_mixture.weight")

    def task_head(self, theirs: str) -> None:
        """Moves a fine-tuned head: of classification, or of question answering."""
        if f"{theirs}.out_proj.weight" in self.left:
            self.move_both(f"{theirs}.dense", "classifier.dense")
            self.move_both(f"{theirs}.out_proj", "classifier.out_proj")
            return
        for part in _PARTS:
            names = [f"{theirs}.{end}_logits.dense.{part}" for end in ("start", "end")]
            halves = [self.left.get(name, torch.zeros(0)) for name in names]
            for row, name in enumerate(names):
                self.move(name, f"qa_outputs.{part}", note=f"row {row}")
            self.weights[f"qa_outputs.{part}"] = torch.cat(halves).float()

    def find_heads(self, rows: int, width: int, suffixes: Sequence[str]) -> list[str]:
        """Names of all that is a head: a weight of this shape, and beside it all of `suffixes`."""
        names = [
            name.removesuffix(".weight")
            for name, tensor in self.left.items()
            if name.endswith(".weight") and tuple(tensor.shape) == (rows, width)
        ]
        return [
            name
            for name in names
            if not name.startswith("classification_heads.")
            and all(f"{name}.{suffix}" in self.left for suffix in suffixes)
        ]

    def drop_buffers(self) -> list[str]:
        """Takes out what is no weight; its names."""
        names = [name for name in self.left if _NO_WEIGHTS.search(name)]
        for name in names:
            del self.left[name]
        return names

    def check(self, source: str) -> None:
        """Refuses a checkpoint with a tensor of an encoder missing or left over.

        Raises:
            UserError: with all of their names.
        """
        roots = tuple(filter(None, (self.family.discriminator, self.family.generator)))
        over = {name: tensor for name, tensor in self.left.items() if name.startswith(roots)}
        if self.missing or over:
            raise UserError(
                f"{source} looks like {self.family.name}, but missing are: {', '.join(self.missing) or 'none'}; and "
                f"without a place in our model: {names_by_layer(over) or 'none'}; {REPORT_THIS}"
            )
