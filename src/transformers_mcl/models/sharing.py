"""What the generator and the discriminator of a pair share: one object for each way.

Whatever is tied is one parameter, under the discriminator's name in a checkpoint.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UserError

__all__ = ["SHARING", "DisentangledEmbedding", "Sharing", "new_size", "resize", "tie"]


class DisentangledEmbedding(nn.Module):
    """Embeddings of tokens that are the generator's plus a difference: `sg(E_G) + Δ`, Δ = 0 at first (DeBERTaV3).

    The discriminator's losses train Δ alone, the generator's E_G alone. Both tables are looked up and the rows added,
    which gives the same numbers as a lookup in their sum, and costs no table.

    Args:
        source: the generator's embeddings, which stay its own.
    """

    def __init__(self, source: nn.Embedding):
        super().__init__()
        self.num_embeddings, self.embedding_dim = source.num_embeddings, source.embedding_dim
        self.padding_idx = source.padding_idx
        self.delta = nn.Parameter(torch.zeros_like(source.weight))
        self._source = [source]  # not a module of this one: it would be saved twice

    @property
    def source(self) -> nn.Embedding:
        """The generator's embeddings."""
        return self._source[0]

    @property
    def weight(self) -> Tensor:
        """The table `(vocabulary, width)` that this is a lookup in."""
        return self.source.weight.detach() + self.delta

    def forward(self, input_ids: Tensor) -> Tensor:
        theirs = nn.functional.embedding(input_ids, self.source.weight.detach(), self.padding_idx)
        return theirs + nn.functional.embedding(input_ids, self.delta, self.padding_idx)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f"{prefix}weight", None)  # a checkpoint has the sum, too, for those who read it alone
        super()._load_from_state_dict(state_dict, prefix, *args)


def embedding_layer(model: PreTrainedModel) -> tuple[str, nn.Module]:
    """The part of a base model that holds the embeddings of its tokens, and its name."""
    table = model.get_input_embeddings()
    for name, module in model.named_children():
        if any(part is table for part in module.modules()):
            return name, module
    raise UserError(f"{type(model).__name__}: its token embeddings are not among its modules")


class Sharing:
    """Nothing is shared: each network has embeddings of its own. The base of the other ways.

    Attributes:
        description: for the plan and the card.
        one_width: whether the embeddings of both must be of one width.
        one_shape: whether the generator's encoder has the discriminator's shape, whatever else is asked for.
        of_ours: of our own encoder, what the names of the shared parameters begin with, as a pattern
            without groups: saving reverses what is made of it.
        needs_training: whether a generator that is not trained would be trained all the same.
    """

    description = "nothing"
    one_width = False
    one_shape = False
    needs_training = False
    of_ours: str | None = None

    def prepare(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> None:
        """What the two base models need before their parameters are counted."""

    def tied(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> dict[str, str]:
        """Which parameters are one: the name in the generator's base model, and that in the discriminator."""
        return {}

    def sums(self, pair: Any) -> dict[str, tuple[str, str]]:
        """What a saved pair has beyond its parameters, so that each network can be opened alone: the name of a tensor,
        and those of the two parameters that it is the sum of."""
        return {}

    def fold(self, pair: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights `state` of a pair as they are saved, with the `sums`."""
        sums = self.sums(pair).items()
        return {**state, **{name: state[one].to(state[other].device) + state[other] for name, (one, other) in sums}}

    def ignored(self, pair: Any) -> set[str] | None:
        """The names of the `sums`, as patterns."""
        return {rf"^{re.escape(name)}$" for name in self.sums(pair)} or None


class Tokens(Sharing):
    """The embeddings of tokens, as in the paper."""

    description = "token embeddings"
    one_width = needs_training = True
    of_ours = r"embeddings\.word_embeddings"

    def tied(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> dict[str, str]:
        return {_table(generator): _table(discriminator)}


class EmbeddingLayer(Tokens):
    """The whole embedding layer, positions, segments and normalisation included, as google-research/electra has it."""

    description = "the embedding layer"
    of_ours = r"embeddings\.\w+_embeddings|embeddings\.LayerNorm"

    def tied(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> dict[str, str]:
        (ours, layer), (theirs, other) = embedding_layer(discriminator), embedding_layer(generator)
        names = [name for name, _ in layer.named_parameters()]
        if names != [name for name, _ in other.named_parameters()]:
            raise UserError(
                f"generator_shares='all': the embedding layers of {type(discriminator).__name__} and "
                f"{type(generator).__name__} have other parts: share the tokens alone ('token')"
            )
        return {f"{theirs}.{name}": f"{ours}.{name}" for name in names}


class Encoder(Tokens):
    """The whole encoder: the generator is the discriminator with a masked language model's head. So `objective="mlm"`
    trains the encoder that fine-tuning takes."""

    description = "the whole encoder"
    one_shape = True
    of_ours = "embeddings|encoder|relative"

    def tied(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> dict[str, str]:
        return {name: name for name, _ in generator.named_parameters()}


class Disentangled(Sharing):
    """The generator's embeddings of tokens, from which the discriminator's differ by what it has learnt itself."""

    description = "token embeddings, disentangled (gdes)"
    one_width = True

    def prepare(self, discriminator: PreTrainedModel, generator: PreTrainedModel) -> None:
        source: Any = generator.get_input_embeddings()
        discriminator.set_input_embeddings(DisentangledEmbedding(source))

    def sums(self, pair: Any) -> dict[str, tuple[str, str]]:
        delta = f"{pair.base_model_prefix}.{_table(pair.discriminator, 'delta')}"
        source = f"generator.{pair.generator.base_model_prefix}.{_table(pair.generator.base_model)}"
        return {f"{delta.removesuffix('delta')}weight": (source, delta)}


SHARING: dict[str, Sharing] = {
    "token": Tokens(),
    "all": EmbeddingLayer(),
    "encoder": Encoder(),
    "none": Sharing(),
    "gdes": Disentangled(),
}
"""By name, as `generator_shares` has it."""


def tie(sharing: Sharing, discriminator: PreTrainedModel, generator: PreTrainedModel) -> dict[str, str]:
    """Full names of what is one in a pair: the generator's, as its masked language model has it, and the
    discriminator's.

    Raises:
        UserError: the two are not of one shape.
    """
    base: Any = generator.base_model
    names = sharing.tied(discriminator, base)
    for theirs, ours in names.items():
        one, two = discriminator.get_parameter(ours), base.get_parameter(theirs)
        if one.shape != two.shape:
            raise UserError(
                f"generator_shares: {ours} is {tuple(one.shape)} in the discriminator and {theirs} is "
                f"{tuple(two.shape)} in the generator, and cannot be one: share nothing ('none'), or make the "
                "generator as wide"
            )
    return {
        f"generator.{generator.base_model_prefix}.{theirs}": f"{discriminator.base_model_prefix}.{ours}"
        for theirs, ours in names.items()
    }


def new_size(tokens: int, new_num_tokens: int | None, pad_to_multiple_of: int | None) -> int:
    """The size that `resize_token_embeddings` is asked for, of a vocabulary of `tokens`."""
    tokens = new_num_tokens or tokens
    return -(-tokens // pad_to_multiple_of) * pad_to_multiple_of if pad_to_multiple_of else tokens


def resize(model: PreTrainedModel, tokens: int, **arguments: Any) -> None:
    """Gives a network of a pair embeddings of `tokens` tokens; what is tied is to be tied again.

    New tokens are no nearer than the mean of the others, in the bias of a masked language model's head as well; those
    of a difference are 0.

    Args:
        arguments: of `resize_token_embeddings`.
    """
    table: Any = model.get_input_embeddings()
    if isinstance(table, DisentangledEmbedding):
        added = tokens - len(table.delta)
        table.delta = nn.Parameter(nn.functional.pad(table.delta.detach(), (0, 0, 0, added)))
        table.num_embeddings = model.config.vocab_size = tokens
        return
    old = table.num_embeddings
    model.resize_token_embeddings(tokens, **arguments)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None and tokens > old and arguments.get("mean_resizing", True):
        # Of a head that is not tied, transformers starts these at the mean too; of a tied one, at 0, which is far
        # above it where most tokens are rare.
        bias.data[old:] = bias.data[:old].mean()


def _table(model: PreTrainedModel, parameter: str = "weight") -> str:
    """The name of the token embeddings in a base model."""
    table = model.get_input_embeddings()
    return next(f"{name}.{parameter}" for name, module in model.named_modules() if module is table)
