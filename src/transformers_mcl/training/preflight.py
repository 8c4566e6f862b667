"""What a run is refused for before any long work."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..io import check_writable, load_json
from ..method.courses import COURSES
from ..method.metrics import course_figures
from ..models.backbones import family_of, native_class
from ..models.configuration_mcl import MclConfig
from ..models.masks import check_documents
from .arguments import MclTrainingArguments
from .checkpoints import checkpoint_to_resume, last_checkpoint, numbered, own_checkpoints

__all__ = ["check_attention", "check_metric", "check_output_dir", "check_seq_length", "refusing"]

# What says of transformers' classes whether they have an attention implementation.
_ATTENTION = {
    "eager": None,
    "sdpa": "_supports_sdpa",
    "flex_attention": "_supports_flex_attn",
    "flash_attention_2": "_supports_flash_attn",
    "flash_attention_3": "_supports_flash_attn",
}
# Beyond this share of a row operated on, what is left says too little about what was there.
_MOST_OPERATED = 0.9


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """What transformers refuses is the user's to mend: in one line."""
    try:
        yield
    except UserError:
        raise
    except KeyError as error:  # a name that is in no table of theirs, an activation's say
        raise UserError(f"{what}: transformers has no {error}") from error
    except Exception as error:  # of a configuration's fields each family of theirs refuses in its own way
        raise UserError(f"{what}: {' '.join(str(error).split()) or type(error).__name__}") from error


def check_metric(args: MclTrainingArguments, config: MclConfig) -> None:
    """The metric for the best model must be one that an evaluation of these courses has."""
    if (name := args.metric_for_best_model) is None:
        return
    known = ["loss", *(f"{loss}_loss" for loss, weight in config.weights.items() if weight)]
    for course in config.active_courses:
        known += [f"{course}_{figure}" for figure in course_figures(COURSES[course])]
    if name.removeprefix("eval_") not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
        raise UserError(f"metric_for_best_model: an evaluation has no {name!r}; {hint}")


def check_output_dir(args: MclTrainingArguments, overwrite: bool) -> str | None:
    """The checkpoint to resume from, if any; refuses a folder that holds another run."""
    folder = check_writable(str(args.output_dir))
    wanted = args.resume_from_checkpoint
    if found := checkpoint_to_resume(wanted, folder):
        last = last_checkpoint(folder)
        if last is not None and Path(found).resolve().parent == folder.resolve() and not Path(last).samefile(found):
            raise UserError(
                f"resume_from_checkpoint: {last} stands beside {found} and is a later one, which the next run would "
                "take for its own: move it away, or give another output_dir"
            )
        step = load_json(Path(found) / "trainer_state.json").get("global_step", 0)
        if 0 < args.max_steps < step:
            raise UserError(f"max_steps={args.max_steps} is below the {step} steps that {found} has been trained for")
        return found
    # Where nothing is whole, auto begins over what a run left that was killed before.
    left = own_checkpoints(folder) if wanted else []
    others = [*folder.glob("model*.safetensors"), *folder.glob("README.md"), *numbered(folder)]
    others = [path for path in others if path not in left]
    if others and not overwrite:
        raise UserError(
            f"output_dir {args.output_dir} holds another run ({others[0].name}): give another folder, go on with "
            "--resume_from_checkpoint true, or start anew with --overwrite_output_dir"
        )
    return None


def check_attention(config: MclConfig, attn_implementation: str | None) -> None:
    """Whether the attention asked for is one that the encoders of another family have, and keeps what is to be kept
    apart; the default's checks itself."""
    halves = {} if attn_implementation is None else _halves(config)
    for prefix, half in halves.items():
        kind: Any = native_class("AutoModelForMaskedLM" if prefix else "AutoModel", half)
        has = [name for name, flag in _ATTENTION.items() if flag is None or getattr(kind, flag)]
        if attn_implementation not in has and attn_implementation in _ATTENTION:
            raise UserError(
                f"attn_implementation={attn_implementation!r}: {kind.__name__} has none such; choose from "
                f"{', '.join(has)}"
            )
    if halves and config.document_attention:
        check_documents(attn_implementation)


def _halves(config: MclConfig) -> dict[str, Any]:
    """The configurations of encoders of another family, by the prefix of their fields in `config_overrides`."""
    if config.backbone_config is None:
        return {}
    return {"": config.backbone_config, "generator_": config.generator_backbone_config}


def check_seq_length(config: MclConfig, length: int, trained: bool = False) -> None:
    """Whether the model has positions for rows of `length` tokens, and enough of a row is left as it is.

    Args:
        trained: whether the positions are those of a checkpoint, which no override gives more of.
    """
    if length > (longest := config.max_position_embeddings):
        needed, name = length, "max_position_embeddings"
        for prefix, half in reversed(_halves(config).items()):
            if (rows := family_of(half).longest_row(half)) == longest:  # a family may have positions beyond its rows
                needed, name = half.max_position_embeddings + length - rows, f"{prefix}max_position_embeddings"
        raise UserError(
            f"max_seq_length={length} exceeds the model's max_position_embeddings={longest}: give a smaller one"
            + ("" if trained else f", or --config_overrides {name}={needed}")
        )
    ordinary = length - 2
    for course in COURSES.values():
        if course.count(ordinary, ratio := course.ratio_of(config)) > _MOST_OPERATED * ordinary:
            raise UserError(
                f"{course.ratio_name}={ratio} leaves less than a tenth of a row's {ordinary} tokens untouched: "
                "nothing would be left to learn from"
            )
