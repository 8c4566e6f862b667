"""The pair that a run goes on from: one of ours, or one made of an ELECTRA discriminator and its generator.

Other families' are in `native_sources.py`, which does what is common to all by the functions of this module.

A source, as `--discriminator_name_or_path` and `--generator_name_or_path` name it, is a checkpoint of transformers'
ELECTRA classes, as google/electra-small-discriminator and google/electra-small-generator are, or of this package's: a
name on the Hub or a folder. `hub` is `cache_dir`, `revision`, `token` and the like, of `from_pretrained`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.initialization import no_init_weights
from transformers.utils import logging

from ..data import load_tokenizer, vocabulary_size
from ..errors import UserError
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model
from ..models.modeling_mcl import MclDiscriminator, MclForMaskedLM
from ..models.pretraining import MclForPreTraining
from ..models.sharing import SHARING, DisentangledEmbedding, embedding_layer

__all__ = ["check_vocabulary", "grow_vocabulary", "load_pair", "pair_fields", "pair_from_sources", "sources_fields"]

logger = logging.get_logger(__name__)

DISCRIMINATOR, GENERATOR = "discriminator_name_or_path", "generator_name_or_path"
# Which classes' checkpoints hold the half that each argument asks for.
_HOLDS = {
    DISCRIMINATOR: ("ElectraForPreTraining", "MclDiscriminator", "MclForPreTraining"),
    GENERATOR: ("ElectraForMaskedLM", "MclForMaskedLM", "MclForPreTraining"),
}
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_GENERATOR_SIZES = tuple(f"generator_{size}" for size in _SIZES)
_TABLES = ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size")
_FUNCTIONS = ("hidden_act", "layer_norm_eps")
_BUCKETS, _BIAS = "relative_attention_num_buckets", "relative_attention_bias.weight"
_KINDS = (_BUCKETS, "relative_attention_bias_type", "detection_head_type", "generator_prediction_layers")
_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob")
# What else of ELECTRA's configuration is the pair's too; special tokens are the tokenizer's.
_REST = (
    "initializer_range",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_last_dropout",
    "classifier_dropout",
)
# The share of a vocabulary that may be new tokens, or pad the table to a round number, where nothing else tells.
_OTHERS = 0.1
_NOT_THE_PAIRS = ("architectures", "dtype", "transformers_version")


def pair_fields(pair: str, given: Mapping[str, Any] | None = None, **hub: Any) -> dict[str, Any]:
    """The fields of `MclConfig` that a pair of this package has; `given` are those that the user sets.

    Raises:
        UserError: there is no such checkpoint, it is of another model, or `given` changes what its weights have.
    """
    fields = find_pair(pair, **hub).to_dict()
    check_given(given or {}, {name: fields[name] for name in (*_SIZES, *_TABLES, *_GENERATOR_SIZES, *_KINDS)})
    return fields


def find_pair(pair: str, **hub: Any) -> MclConfig:
    """The configuration of a pair of this package.

    Raises:
        UserError: there is no such checkpoint, or it is of another model.
    """
    config = load_config(pair, **hub)
    if not isinstance(config, MclConfig):
        raise UserError(
            f"model_name_or_path {pair!r} is a {config.model_type!r} model, not a pair of this package: give it as "
            f"--{DISCRIMINATOR} or --{GENERATOR}"
        )
    return config


def sources_fields(
    discriminator: str, generator: str | None = None, given: Mapping[str, Any] | None = None, **hub: Any
) -> dict[str, Any]:
    """The fields of `MclConfig` that two sources have together.

    Reads configurations only. The relative position bias, which ELECTRA lacks, is off; `given` may turn it on, and
    then it starts new. Without a generator its shape is not among the fields, and `MclConfig`'s default is a quarter
    of the discriminator's width. Nor are the special tokens of an ELECTRA checkpoint: they are the tokenizer's.

    Args:
        given: fields that the user sets, which may differ between the sources where no weight depends on them.

    Raises:
        UserError: a source that is no ELECTRA, or holds the other half, or two that cannot be one pair.
    """
    given = given or {}
    config = _source_config(DISCRIMINATOR, discriminator, hub)
    fields = electra_fields(config)
    fixed = [*_SIZES, *_TABLES, _BUCKETS]
    if generator is not None:
        other = _source_config(GENERATOR, generator, hub)
        _check_agree({f"{DISCRIMINATOR} {discriminator!r}": config, f"{GENERATOR} {generator!r}": other}, given)
        check_given(given, {_BUCKETS: getattr(other, _BUCKETS, 0)})
        shape = other.generator_config() if isinstance(other, MclConfig) else other
        fields |= {own: getattr(shape, size) for own, size in zip(_GENERATOR_SIZES, _SIZES, strict=True)}
        fields["generator_prediction_layers"] = getattr(shape, "generator_prediction_layers", None)
        fixed += _GENERATOR_SIZES
        if "generator_dropout" not in given:
            fields["generator_dropout"] = _generator_dropout(config, shape, generator)
    check_given(given, {name: fields[name] for name in fixed})
    return fields


def electra_fields(config: ElectraConfig) -> dict[str, Any]:
    """The fields of `MclConfig` that an ELECTRA has, or one of this package."""
    if isinstance(config, MclConfig):
        fields = config.to_dict()
    else:
        fields = {name: getattr(config, name) for name in (*_SIZES, *_TABLES, *_FUNCTIONS, *_DROPOUT, *_REST)}
        fields[_BUCKETS] = 0
    return {name: value for name, value in fields.items() if name not in _NOT_THE_PAIRS}


def first_layers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The generator's shape where it starts as the discriminator's first layers: a third of them."""
    shape = {f"generator_{size}": fields[size] for size in _SIZES} | {"generator_prediction_layers": None}
    return {**shape, "generator_num_hidden_layers": max(round(fields["num_hidden_layers"] / 3), 1)}


def _source_config(argument: str, name: str, hub: Mapping[str, Any]) -> ElectraConfig:
    config = load_config(name, argument, **hub)
    if not isinstance(config, ElectraConfig):
        raise UserError(f"{argument} {name!r} is a {config.model_type!r} model, not an ELECTRA")
    holds = set(config.architectures or ())
    if holds & set(_HOLDS[_other(argument)]) and not holds & set(_HOLDS[argument]):
        raise _exchanged(argument, name)
    if not config.tie_word_embeddings:
        raise UserError(
            f"{argument} {name!r}: tie_word_embeddings is False, but a pair has one table of tokens for all"
        )
    return config


def _other(argument: str) -> str:
    return GENERATOR if argument == DISCRIMINATOR else DISCRIMINATOR


def _exchanged(argument: str, name: str) -> UserError:
    held, wanted = (half.split("_")[0] for half in (_other(argument), argument))
    return UserError(f"{argument} {name!r} holds a {held}, not a {wanted}: were the two exchanged?")


def _check_agree(configs: Mapping[str, ElectraConfig], given: Mapping[str, Any]) -> None:
    """Refuses two halves that differ in what a pair has once; `configs` by what to call them."""
    (ours, config), (theirs, other) = configs.items()
    for name in (*_TABLES, *_FUNCTIONS, _BUCKETS):
        one, two = getattr(config, name, 0), getattr(other, name, 0)
        if one != two and (name in _TABLES or name not in given):
            raise UserError(
                f"{name} is {one} in {ours} and {two} in {theirs}: a pair has one; give two that were trained together"
            )


def check_given(given: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Refuses to change what the weights have, but for what they have none of."""
    for name, value in weights.items():
        if value and given.get(name, value) != value:
            raise refused(name, given[name], value)


def refused(name: str, value: Any, had: Any) -> UserError:
    """What to say of a change that the weights cannot follow."""
    return UserError(f"config_overrides: {name}={value}, but in the weights to go on from it is {had}")


def _generator_dropout(discriminator: ElectraConfig, generator: ElectraConfig, name: str) -> float | None:
    """The generator's, as a pair has it: one for all, where it is not the discriminator's."""
    ours, theirs = ([getattr(config, kind) for kind in _DROPOUT] for config in (discriminator, generator))
    if ours == theirs:
        return None
    if theirs[0] != theirs[1]:
        raise UserError(
            f"{GENERATOR} {name!r}: {_DROPOUT[0]} is {theirs[0]} and {_DROPOUT[1]} is {theirs[1]}, but a pair's "
            "generator has one: choose it with --config_overrides generator_dropout=..."
        )
    return float(theirs[0])


def load_pair(name: str, config: MclConfig, **arguments: Any) -> MclForPreTraining:
    """A pair of ours, in float32, of a `config` that may have courses which the checkpoint lacks: their heads start as
    the one for replaced tokens. What the two networks share may be more or less than it was: both start as they were,
    but what they share anew is the discriminator's. `arguments` are those of `from_pretrained`."""
    where, hub = f"model_name_or_path {name!r}", {k: v for k, v in arguments.items() if k != "attn_implementation"}
    shared: Any = load_config(name, **hub)
    if (shares := shared.generator_shares) == config.generator_shares:
        opened = open_model(MclForPreTraining, name, where, config=config, **arguments)
        pair: MclForPreTraining = opened.model
    else:
        as_saved = copy.deepcopy(config)
        as_saved.generator_shares, as_saved.generator_trainable = shares, True
        opened = open_model(MclForPreTraining, name, where, config=as_saved, **arguments)
        pair = _sharing_otherwise(opened.model, config, arguments.get("attn_implementation"))
    new = [key for key in opened.missing if not key.startswith("course_predictions.")]
    if lost := sorted(_names_of_pair(shared).intersection(new)):
        raise UserError(
            f"{where} is no whole pair: it lacks {lost[0]} ({len(lost)} tensors in all); give one half as "
            f"--{DISCRIMINATOR} or --{GENERATOR}"
        )
    if new:
        logger.warning(f"{name!r} lacks {len(new)} of a pair's weights, {new[0]} for one: they start new")
    for course, head in pair.course_predictions.items():
        if f"course_predictions.{course}.dense_prediction.weight" in opened.missing:
            head.load_state_dict(pair.discriminator_predictions.state_dict())
    return pair


def _names_of_pair(config: MclConfig) -> set[str]:
    """The weights of a pair of this configuration."""
    with no_init_weights(), torch.device("meta"):
        return set(MclForPreTraining(config).state_dict())


def _sharing_otherwise(pair: MclForPreTraining, config: MclConfig, attn: str | None) -> MclForPreTraining:
    """A pair with the weights of `pair`, sharing what `config` says."""
    other: MclForPreTraining = MclForPreTraining._from_config(config, attn_implementation=attn, dtype=torch.float32)
    other.generator.load_state_dict(pair.generator.state_dict())
    give_discriminator(pair, other)
    return other


def pair_from_sources(
    config: MclConfig,
    discriminator: str,
    generator: str | None = None,
    attn_implementation: str | None = None,
    generator_init: str | None = None,
    **hub: Any,
) -> MclForPreTraining:
    """The pair of `config` with the weights of its sources, in float32.

    What the two networks share is the discriminator's. Detection heads that the source lacks start as the one for
    replaced tokens: the other courses ask the same of a token, whether it belongs where it stands, so from the first
    step the correction notebooks mean something and the encoder is not led astray by heads that know nothing. A
    generator that is not given starts new, but for its embeddings, which start as the discriminator's.

    Args:
        config: with the `sources_fields` of the same sources.
        generator_init: `"layers"` for a generator that starts as the discriminator's first layers (`first_layers`).

    Raises:
        UserError: a source's weights cannot be read, or are not those of its half.
    """
    pair: MclForPreTraining = MclForPreTraining._from_config(config, attn_implementation=attn_implementation)
    source = load_source(DISCRIMINATOR, discriminator, hub)
    if generator is None:
        start_generator(pair, source, discriminator, generator_init == "layers", hub)
    else:
        other = load_source(GENERATOR, generator, hub)
        _copy(other.electra, pair.generator.electra)
        _copy(other.generator_predictions, pair.generator.generator_predictions)
        _copy(other.generator_lm_head, pair.generator.generator_lm_head)
        if pair.generator.layer_mixture is not None:
            _copy(other.layer_mixture, pair.generator.layer_mixture)
    give_discriminator(source, pair, compares=generator is not None)
    return pair


def load_source(argument: str, name: str, hub: Mapping[str, Any]) -> Any:
    """The model that holds the half of an ELECTRA, whole."""
    config = _source_config(argument, name, hub)
    kind: Any = ElectraForPreTraining if argument == DISCRIMINATOR else ElectraForMaskedLM
    if isinstance(config, MclConfig):
        whole = "MclForPreTraining" in (config.architectures or ())
        kind = MclForMaskedLM if argument == GENERATOR else MclForPreTraining if whole else MclDiscriminator
    model, missing, _, unexpected = open_model(kind, name, f"{argument} {name!r}", **hub)
    if any(key.startswith("electra.") for key in unexpected):
        raise UserError(f"{argument} {name!r}: its weights do not fit its config.json, {unexpected[:1]} for one")
    other_head = f"{_other(argument).split('_')[0]}_predictions"
    if missing and any(other_head in key for key in unexpected):
        raise _exchanged(argument, name)
    if missing:
        raise UserError(f"{argument} {name!r} lacks {len(missing)} of its weights, {missing[0]} for one")
    return model.generator if kind is MclForMaskedLM else model


def start_generator(
    pair: MclForPreTraining, source: PreTrainedModel, name: str, layers: bool, hub: Mapping[str, Any]
) -> None:
    """A generator for the discriminator `source`: new, on embeddings like its, or as its first layers, all of them
    where the two share the encoder.

    Args:
        name: of the source, whose prediction head the layers are given if it has one that fits.

    Raises:
        UserError: the generator's layers are not of the discriminator's shape.
    """
    layers = layers or SHARING[str(pair.config.generator_shares)].one_shape
    base = pair.generator.base_model
    weights, own = _weights(source.base_model), base.state_dict()
    part = "" if layers else f"{embedding_layer(base)[0]}."
    wanted = {key: weights.get(key, None if key != _BIAS else own[key]) for key in own if key.startswith(part)}
    other = [key for key, value in wanted.items() if value is None or value.shape != own[key].shape]
    if not other:
        base.load_state_dict({**own, **wanted})
    elif layers:
        raise UserError(
            f"generator_init='layers': the generator's {other[0]} has another shape in the discriminator: a generator "
            "of other sizes starts new"
        )
    if not layers:
        logger.warning(
            f"no {GENERATOR}: the generator starts new, and what it fills in at first is easily detected; the "
            "discriminator's figures will look too good until it has learnt"
        )
    elif not _give_prediction_head(pair, name, hub):
        logger.warning(f"{DISCRIMINATOR} {name!r} has no prediction head that fits: the generator's starts new")


def _give_prediction_head(pair: MclForPreTraining, name: str, hub: Mapping[str, Any]) -> bool:
    """Gives the generator the head for the vocabulary that the checkpoint `name` has, if it fits; whether it has."""
    opened = open_model(AutoModelForMaskedLM, name, f"{DISCRIMINATOR} {name!r}", **hub)
    inside = f"{opened.model.base_model_prefix}."
    head = {key: value for key, value in opened.model.named_parameters() if not key.startswith(inside)}
    own = pair.generator.state_dict()
    if opened.missing or any(key not in own or own[key].shape != value.shape for key, value in head.items()):
        return False
    pair.generator.load_state_dict({**own, **head})
    return True


def _weights(encoder: Any) -> dict[str, Tensor]:
    """The weights of an encoder, its embeddings whole where they are a sum."""
    weights, table = encoder.state_dict(), encoder.get_input_embeddings()
    if isinstance(table, DisentangledEmbedding):
        name = _name_of(table, encoder)
        del weights[f"{name}.delta"]
        weights[f"{name}.weight"] = table.weight.detach()
    return weights


def _name_of(module: torch.nn.Module, model: torch.nn.Module) -> str:
    return next(name for name, part in model.named_modules() if part is module)


def give_discriminator(source: Any, pair: MclForPreTraining, compares: bool = True) -> None:
    """Gives a pair, whose generator is as it is to be, the encoder and the detection heads that `source` has.

    Args:
        compares: whether the generator is another checkpoint's, so that it is said if what both share was not equal.
    """
    shared = _shared_weights(pair)
    _give_encoder(source.base_model, pair.discriminator)
    if compares:
        _warn_of_difference(pair, shared)
    _give_heads(source, pair)


def _give_encoder(source: Any, target: PreTrainedModel) -> None:
    """All weights of the discriminator `target`, of which `source` may lack the relative position bias alone.

    Where the embeddings are the generator's and a difference, this becomes what it has to be: the generator's must be
    there before.
    """
    weights, table = _weights(source), target.get_input_embeddings()
    if isinstance(table, DisentangledEmbedding):
        name = _name_of(table, target)
        weights[f"{name}.delta"] = weights.pop(f"{name}.weight").float() - table.source.weight.detach()
    _load(weights, target)


def _give_heads(source: Any, pair: MclForPreTraining) -> None:
    """The detection heads that a discriminator has; of a course that it lacks, the one for replaced tokens."""
    if (head := getattr(source, "discriminator_predictions", None)) is None:
        return
    _copy(head, pair.discriminator_predictions)
    trained = getattr(source, "course_predictions", {})
    for course, own in pair.course_predictions.items():
        _copy(trained[course] if course in trained else head, own)


def _copy(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """All weights of `target`, of which `source` may lack the relative position bias alone."""
    _load(source.state_dict(), target)


def _load(weights: dict[str, Tensor], target: torch.nn.Module) -> None:
    own = target.state_dict()
    if _BIAS in own:
        weights.setdefault(_BIAS, own[_BIAS])
    target.load_state_dict(weights)


def _shared_weights(pair: MclForPreTraining) -> dict[str, Tensor]:
    """Copies of what the two networks of a pair have as one, by its name."""
    return {name: pair.get_parameter(name).detach().clone() for name in pair._tied_weights_keys.values()}


def _warn_of_difference(pair: MclForPreTraining, theirs: Mapping[str, Tensor]) -> None:
    """Says if what the pair has once, and has of the discriminator by now, was not equal to the generator's copy."""
    differ = {name: float((pair.get_parameter(name) - copy).detach().abs().max()) for name, copy in theirs.items()}
    name = max(differ, key=lambda name: differ[name], default=None)
    if name is not None and differ[name] > 0:
        logger.warning(
            f"what the pair shares is not equal in the two checkpoints: {name} differs by up to {differ[name]:.3g}; "
            "the discriminator's is kept, so the generator will predict otherwise than it did"
        )


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, names: Iterable[str], vocab_size: int, **hub: Any) -> None:
    """That `tokenizer` is that of every checkpoint in `names`, or has grown out of it; of one that has none, that it
    may be: the table of `vocab_size` embeddings is about as large.

    Raises:
        UserError: a token has another id, or none; or the table is of another size.
    """
    ids = tokenizer.get_vocab()
    for name in names:
        try:
            own = load_tokenizer(name, **hub).get_vocab()
        except UserError as error:  # it has none
            if abs(vocabulary_size(tokenizer) - vocab_size) > _OTHERS * vocab_size:
                raise UserError(
                    f"tokenizer {tokenizer.name_or_path!r} has {len(tokenizer):,} entries, and {name!r}, which has no "
                    f"tokenizer of its own, embeddings of {vocab_size:,}: give the tokenizer that it was trained with"
                ) from error
            continue
        token = next((token for token, number in own.items() if ids.get(token) != number), None)
        if token is not None:
            raise UserError(
                f"tokenizer {tokenizer.name_or_path!r}: the id of {token!r} is {ids.get(token)}, but {own[token]} in "
                f"that of {name!r}: go on with the checkpoint's own vocabulary, or tokens added to it"
            )


def grow_vocabulary(model: MclForPreTraining, tokenizer: PreTrainedTokenizerBase) -> int:
    """Gives the pair an embedding for each token that the tokenizer has beyond its own; their number.

    A model with more embeddings than the tokenizer has tokens stays as it is: such padding is common.
    """
    new = max((needed := vocabulary_size(tokenizer)) - model.config.vocab_size, 0)
    if new:
        model.resize_token_embeddings(needed)
    return new
