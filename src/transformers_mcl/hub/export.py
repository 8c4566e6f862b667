"""One half of a pair as an artefact of its own: for this package, for transformers without it, for ONNX runtimes."""

from __future__ import annotations

import copy
import os
from dataclasses import fields
from typing import Any

import transformers
from torch import Tensor
from transformers import ElectraConfig, ElectraModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..data.tokenizer import fit_tokenizer
from ..errors import UserError, check_name
from ..io import atomic_folder, check_empty_folder
from ..method.courses import OBJECTIVES
from ..models import modeling_mcl
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, open_model
from ..models.modeling_mcl import MclDiscriminator, MclForMaskedLM
from ..models.pretraining import MclForPreTraining
from .export_card import export_card

__all__ = ["FORMATS", "HALVES", "as_electra", "export_model", "open_half", "take_half", "written_format"]

HALVES = ("discriminator", "generator")
FORMATS = ("mcl", "electra", "native", "remote-code", "onnx")

# What a folder of remote code opens as, by class of the Auto classes'.
_DISCRIMINATORS = {
    "AutoConfig": "configuration_mcl.MclConfig",
    "AutoModel": "modeling_mcl.MclModel",
    "AutoModelForTextEncoding": "modeling_mcl.MclModel",
    "AutoModelForPreTraining": "modeling_mcl.MclDiscriminator",
    "AutoModelForSequenceClassification": "modeling_mcl.MclForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_mcl.MclForTokenClassification",
    "AutoModelForQuestionAnswering": "modeling_mcl.MclForQuestionAnswering",
    "AutoModelForMultipleChoice": "modeling_mcl.MclForMultipleChoice",
}
_GENERATORS = {"AutoConfig": "configuration_mcl.MclConfig", "AutoModelForMaskedLM": "modeling_mcl.MclForMaskedLM"}


def export_model(
    model: PreTrainedModel,
    output_dir: str | os.PathLike[str],
    *,
    half: str = "discriminator",
    format: str = "mcl",
    tokenizer: PreTrainedTokenizerBase | None = None,
    name: str = "",
) -> PreTrainedModel:
    """Writes one half of a pair into a folder of its own.

    Args:
        model: a pair, or a model that is one half already: a discriminator, an encoder, a task model, a generator; for
            `"onnx"` also a model of transformers' own.
        output_dir: a folder that is empty or does not exist.
        half: `"discriminator"` (a task model counts as one) or `"generator"`.
        format: `"mcl"`, a small checkpoint of this package; `"electra"`, one of transformers' own ELECTRA classes;
            `"native"`, one of transformers' own classes of the pair's family, which may be ELECTRA's; `"remote-code"`,
            a folder with the code that it needs, for `trust_remote_code=True`; `"onnx"`, a graph with dynamic batch
            and length (needs the extra `onnx`). Of another family than ELECTRA `"mcl"` is `"native"`.
        tokenizer: written beside the model.
        name: what the model card calls it, its name on the Hub say; by default that of the folder.

    Returns:
        The model that was written, on the CPU: for `"electra"` and `"native"` an object of transformers' class.

    Raises:
        UserError: an unknown half or format, a format that the model's family has not, a folder that holds something,
            a half that `model` is not, or relative positions for ELECTRA.
    """
    check_name("half", half, HALVES)
    format = written_format(model.config, format, f"a {type(model).__name__}")
    folder = check_empty_folder(output_dir)
    taken = take_half(model, half).eval()
    if format == "electra":
        taken = as_electra(taken)
    if tokenizer is not None:
        fit_tokenizer(tokenizer := copy.deepcopy(tokenizer), taken)
    with atomic_folder(folder) as draft:
        if format == "onnx":
            from .onnx import save_onnx  # its packages are an extra

            save_onnx(taken, draft, tokenizer.model_input_names if tokenizer else None)
        else:
            if format == "remote-code":  # which saving brings, then and ever after: `remote_code.bring_code`
                taken.config.auto_map = dict(_GENERATORS if isinstance(taken, MclForMaskedLM) else _DISCRIMINATORS)
            taken.save_pretrained(draft)
        if tokenizer is not None:
            tokenizer.save_pretrained(draft)
        card = export_card(taken, draft, format, str(model.name_or_path or ""), name or folder.name)
        card.save(draft / "README.md")
    return taken


def written_format(config: PreTrainedConfig, format: str, where: str) -> str:
    """The format that a model is written in when `format` is asked for.

    Args:
        config: the model's.
        where: what messages call it.

    Raises:
        UserError: no such format, or one that the family has not.
    """
    check_name("format", format, FORMATS)
    if not isinstance(config, MclConfig):
        if format == "onnx":
            return format
        raise UserError(
            f"{where} is a {config.model_type!r} model of transformers' own, which opens without this package: it "
            "needs no export, but for format onnx"
        )
    if (backbone := config.backbone_config) is None:
        return "electra" if format == "native" else format
    if format in ("mcl", backbone.model_type):  # "electra" of a pair that is made of transformers' own
        return "native"
    if format in ("electra", "remote-code"):
        raise UserError(
            f"format={format!r}: {where} is of the family {backbone.model_type!r}, whose models are transformers' own "
            "and need no code: export it with format native"
        )
    return format


def open_half(name_or_path: str, half: str, format: str = "mcl", **hub: Any) -> PreTrainedModel:
    """Opens what holds one half: a pair, or a checkpoint of that half alone.

    Args:
        name_or_path: a folder, or a name on the Hub.
        half: `"discriminator"` or `"generator"`.
        format: what it is to be exported to, checked before weights are read.
        hub: `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: no such checkpoint, one that has no such format, or one that lacks weights of that half.
    """
    where = f"model_name_or_path {name_or_path!r}"
    config = load_config(name_or_path, **hub)
    written_format(config, format, where)
    architecture = (config.architectures or [""])[0]
    if not isinstance(config, MclConfig):
        kind = getattr(transformers, architecture, None)
        if kind is None:
            raise UserError(f"{where}: transformers has no class {architecture!r} to open it with")
    elif config.backbone_config is not None:
        kind = MclForPreTraining
    elif half == "generator":
        kind = MclForMaskedLM
    elif architecture in ("MclForPreTraining", "MclForMaskedLM"):
        kind = MclDiscriminator
    else:
        kind = getattr(modeling_mcl, architecture, MclDiscriminator)
    # Nothing is trained: what is exported has the checkpoint's own type.
    opened = open_model(kind, name_or_path, where, config=config, dtype="auto", **hub)
    if parts := sorted({".".join(key.split(".")[:2]) for key in opened.missing}):
        raise UserError(f"{where} ({architecture}) holds no whole {half}: it lacks weights of {', '.join(parts)}")
    model: PreTrainedModel = opened.model
    return model


def take_half(model: PreTrainedModel, half: str) -> PreTrainedModel:
    """A copy, on the CPU, of the `half` that `model` holds or is; its configuration describes it alone.

    Of a pair of another family it is an object of transformers' own class: the encoder, or the masked language model.

    Raises:
        UserError: `model` is the other half.
    """
    if isinstance(model, MclForPreTraining):
        weights = model.sharing.fold(model, model.state_dict())
        if model.config.backbone_config is not None:
            prefix = "generator" if half == "generator" else model.base_model_prefix
            network: PreTrainedModel = getattr(model, prefix)
            return _copy(type(network), copy.deepcopy(network.config), weights, f"{prefix}.")
        kind: Any = MclForMaskedLM if half == "generator" else MclDiscriminator
        return _copy(kind, _own_config(model.config, half), weights)
    kind = type(model)
    if kind.__name__.endswith("ForMaskedLM") != (half == "generator"):
        raise UserError(f"a {kind.__name__} holds no {half}: give the pair, or export its other half")
    if not isinstance(model.config, MclConfig):
        return copy.deepcopy(model).cpu()
    return _copy(kind, _own_config(model.config, half), model.state_dict())


def _own_config(pair: MclConfig, half: str) -> MclConfig:
    """The configuration of a half of this one's family."""
    config = pair.generator_config() if half == "generator" else copy.deepcopy(pair)
    config.__dict__.pop("auto_map", None)  # of a folder of remote code, whose code does not come along
    # Who opens a half alone need not know the courses of others that trained it.
    own = {name: weight for name, weight in config.weights.items() if name in OBJECTIVES["mcl"]}
    config.loss_weights = own if any(own.values()) else OBJECTIVES["mcl"]
    return config


def _copy(kind: Any, config: PreTrainedConfig, weights: dict[str, Tensor], prefix: str = "") -> PreTrainedModel:
    """A model of its own with the `weights` that begin with `prefix`."""
    copied: PreTrainedModel = kind(config)
    state = {name: weights[f"{prefix}{name}"].to("cpu", copy=True) for name in copied.state_dict()}
    # Assigned, not cast: what is no weight, as the frequencies of rotary positions, stays in the format it is made in.
    copied.load_state_dict(state, assign=True)
    copied.tie_weights()
    return copied


def as_electra(model: PreTrainedModel) -> PreTrainedModel:
    """The object of transformers' own class that computes what `model`, one half, computes.

    Raises:
        UserError: `model` has relative positions, or a head that ELECTRA has not.
    """
    config = model.config
    if buckets := config.relative_attention_num_buckets:
        raise UserError(
            "format='electra', which 'native' is here: the model has relative positions "
            f"(relative_attention_num_buckets={buckets}), which ELECTRA has no place for: export it with format "
            "remote-code, or pre-train with --config_overrides relative_attention_num_buckets=0"
        )
    _check_head(model)
    ours = model.generator if isinstance(model, MclForMaskedLM) else model
    kind: Any = next(kind for kind in type(ours).__mro__ if kind.__module__ == ElectraModel.__module__)
    not_theirs = {field.name for field in fields(MclConfig)} - {field.name for field in fields(ElectraConfig)}
    not_theirs |= {"model_type", "architectures", "auto_map"}
    theirs: PreTrainedModel = kind(
        ElectraConfig(**{name: value for name, value in config.to_dict().items() if name not in not_theirs})
    ).to(model.dtype)
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


def _check_head(model: PreTrainedModel) -> None:
    """Refuses the heads of other code bases, of which ELECTRA's classes would compute something else."""
    theirs: dict[type, tuple[str, Any]] = {
        MclDiscriminator: ("detection_head_type", "electra"),
        MclForMaskedLM: ("generator_prediction_layers", None),
        modeling_mcl.MclForSequenceClassification: ("classifier_activation", "gelu"),
    }
    for kind, (field, value) in theirs.items():
        if isinstance(model, kind) and (own := getattr(model.config, field)) != value:
            raise UserError(
                f"format='electra', which 'native' is here: the head has {field}={own!r}, which ELECTRA's has not: "
                "export it with format remote-code, or the encoder alone, an MclModel"
            )
