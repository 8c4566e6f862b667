"""The model card of a pre-training run: what was trained, on what, how, and the figures it ended with."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from os import PathLike
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import PreTrainedConfig

from ..io import markdown_code, markdown_text, write_text
from ..method.courses import COURSES, OBJECTIVES, all_losses
from ..method.metrics import COURSE_FIGURES
from ..models.backbones import native_class
from ..models.configuration_mcl import MclConfig
from ..models.sharing import SHARING
from .citation import INSTALL, citation
from .export_card import family_tags

__all__ = ["RunSummary", "model_card"]

# An absolute path of two names or more, in prose: not a URL, not "and/or", not "84.0/84.5".
_LOCAL_PATH = re.compile(r"(?<![\w/.~<])(?:file://)?(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\\"'`,;:()<>|]+){2,}[/\\]?")


@dataclass
class RunSummary:
    """What there is to say of a pre-training run.

    Attributes:
        config: the pair's.
        parameters: numbers of parameters of the `discriminator` and the `generator`, each with the `shared` ones.
        data: which text, and how many documents and tokens.
        recipe: the arguments of `transformers-mcl pretrain` as YAML; nothing is said of them if empty.
        steps: optimizer steps.
        tokens: tokens read in them, over all processes.
        seconds: time of the training.
        hardware: what it ran on.
        versions: of the packages that matter, by name.
        train: figures of the last training log, as `transformers_mcl.method.metrics` names them, and any others.
        evaluation: figures of the last evaluation, with or without the prefix `eval_`; `most_frequent_token` (share)
            and `unigram_entropy` (nats) of the held-out text are set beside the generator's.
        curves: name of the picture beside the card.
        base_checkpoint: name or folder of the checkpoint that training went on from, or of the two.
        language, license: of the model, as the Hub writes them.
        datasets: names on the Hub of what it was trained on.
        warnings: what the run was warned of while it went on.
    """

    config: MclConfig
    parameters: Mapping[str, int]
    data: str
    recipe: str
    steps: int
    tokens: int
    seconds: float
    hardware: str
    versions: Mapping[str, str]
    train: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    curves: str | None = None
    base_checkpoint: str | list[str] | None = None
    language: str | list[str] | None = None
    license: str | None = None
    datasets: list[str] | None = None
    warnings: Sequence[str] = ()

    def save(self, folder: str | PathLike[str]) -> None:
        """Writes the card, `README.md`, into the checkpoint's folder."""
        write_text(Path(folder) / "README.md", str(model_card(self)))


def model_card(summary: RunSummary) -> ModelCard:
    """The card of a run. No folder of the machine it ran on is in it, only names of files."""
    local: dict[str, str] = {}
    recipe = _names_of_files(yaml.safe_load(summary.recipe) or {}, local)
    bases = [summary.base_checkpoint] if isinstance(summary.base_checkpoint, str) else summary.base_checkpoint or []
    _names_of_files([*bases, summary.curves], local)
    on_hub = [base for base in bases if re.fullmatch(r"\w[\w.-]*/[\w.-]+", base) and not Path(base).exists()]
    name = recipe.get("hub_model_id") or PurePosixPath(recipe.get("output_dir", "mcl")).name
    data = ModelCardData(
        model_name=name,
        eval_results=_eval_results(summary) or None,
        datasets=summary.datasets,
        base_model=on_hub[0] if len(on_hub) == 1 else on_hub or None,
        language=summary.language,
        library_name="transformers",
        license=summary.license,
        # The pair opens as its encoder, whose vectors are what there is to use before fine-tuning. Filling masks is
        # what the generator can do, the half that is not the aim.
        pipeline_tag="feature-extraction",
        tags=[*family_tags(summary.config), "pretraining"],
    )
    card = ModelCard.from_template(
        data,
        template_str=Path(__file__).with_name("model_card_template.md").read_text(encoding="utf-8"),
        name=name,
        summary=summary,
        config=summary.config,
        masked_alone={name for name, weight in summary.config.weights.items() if weight} == set(OBJECTIVES["mlm"]),
        bases=bases,
        duration=timedelta(seconds=round(summary.seconds)),
        halves=_halves(summary.config),
        native=_native_names(summary.config),
        courses=[_course(summary.config, course) for course in summary.config.active_courses],
        recipe=summary.recipe and markdown_code(_yaml(recipe), "yaml"),
        tables=_tables(summary),
        text=_text,
        shown=lambda text: markdown_text(_without_paths(text, local)),
        quoted=partial(json.dumps, ensure_ascii=False),
        install=INSTALL,
        citation=citation(),
    )
    card.text = _without_paths(card.text.rstrip() + "\n", local)
    return card


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000).strip()


def _without_paths(text: str, local: Mapping[str, str]) -> str:
    """`text` with only the last name of each path that is `local`, or looks so."""
    for path in sorted(local, key=len, reverse=True):
        text = re.sub(rf"(?<![\w/.]){re.escape(path)}(?![\w/\\])", local[path].replace("\\", r"\\"), text)
    return _LOCAL_PATH.sub(lambda match: re.split(r"[/\\]", match[0].rstrip("/\\"))[-1], text)


def _halves(config: MclConfig) -> dict[str, str]:
    """The shape of each network, what is special about the generator, and what both share."""
    generator = [_shape(config.generator_backbone_config or config.generator_config())]
    if not config.generator_trainable:
        generator.append("not trained")
    if (temperature := config.generator_temperature) != 1:
        generator.append(f"sampled from at temperature {temperature:g}")
        if config.generator_temperature_decay is not None:
            generator[-1] += " at first"
    return {
        "Discriminator": _shape(config.backbone_config or config),
        "Generator": "; ".join(generator),
        "Shared": SHARING[str(config.generator_shares)].description,
    }


def _shape(config: PreTrainedConfig) -> str:
    family = "" if isinstance(config, MclConfig) else f"{config.model_type}, "
    sizes = {"attention heads": "num_attention_heads", "feed-forward": "intermediate_size"}
    rest = [f"{title} {getattr(config, name)}" for title, name in sizes.items() if hasattr(config, name)]
    return ", ".join([f"{family}{config.num_hidden_layers} layers of width {config.hidden_size}", *rest])


def _native_names(config: MclConfig) -> dict[str, str]:
    """Of a pair of another family: what the Auto classes make of it, transformers' own."""
    if (ours := config.backbone_config) is None:
        return {}
    halves = {"AutoModel": ours, "AutoModelForMaskedLM": config.generator_backbone_config}
    return {auto: native_class(auto, half).__name__ for auto, half in halves.items()}


def _eval_results(summary: RunSummary) -> list[EvalResult]:
    """Two figures of each course on the held-out text: how often its generator is right, and how well its detection
    tells tokens apart. Losses depend on the vocabulary, and the others on the share of replaced tokens."""
    held_out = {name.removeprefix("eval_"): value for name, value in summary.evaluation.items()}
    kinds = {"masked_lm_accuracy": ("fill-mask", "accuracy"), "disc_auc": ("token-classification", "roc_auc")}
    return [
        EvalResult(
            task_type=task,
            dataset_type="text",
            dataset_name="held-out text",
            metric_type=kind,
            metric_name=f"{course}_{name}",
            metric_value=float(held_out[f"{course}_{name}"]),
        )
        for course in summary.config.active_courses
        for name, (task, kind) in kinds.items()
        if math.isfinite(held_out.get(f"{course}_{name}", math.nan))
    ]


def _course(config: MclConfig, course: str) -> list[str]:
    its, weights = COURSES[course], config.weights
    losses = [
        f"{loss.name} × {weight:g}" if loss and (weight := weights.get(loss.name)) else "–"
        for loss in (its.generate, its.detect, its.regenerate, its.rediscriminate)
    ]
    what = its.operation + " in whole words" * (config.whole_word_mask and its.whole_words)
    return [course.upper(), f"{100 * its.ratio_of(config):g} % {what}", *losses]


def _tables(summary: RunSummary) -> list[dict[str, Any]]:
    """Every figure of the run: the losses, the metrics by course, and what else there is."""
    train = dict(summary.train)
    held_out = {name.removeprefix("eval_"): value for name, value in summary.evaluation.items()}
    courses = summary.config.active_courses
    # What a model that sees no context reaches on the held-out text.
    blind = {
        "masked_lm_loss": held_out.get("unigram_entropy"),
        "masked_lm_accuracy": held_out.get("most_frequent_token"),
        "disc_auc": 0.5,
    }

    def metrics(figures: dict[str, Any]) -> dict[str, list[Any]]:
        return {name: [figures.pop(f"{course}_{name}", None) for course in courses] for name in COURSE_FIGURES}

    columns = [course.upper() for course in courses]
    tables = {
        "Losses": _table(
            ["loss", "held out", "training"],
            {n: [f.pop(f"{n}_loss", None) for f in (held_out, train)] for n in all_losses()},
        ),
        "Courses on held-out text": _table(["held out", *columns, "without context"], metrics(held_out), blind),
        "Courses in training": _table(["training", *columns], metrics(train)),
        "Other figures": _table(
            ["other", "held out", "training"], {n: [held_out.get(n), train.get(n)] for n in {**held_out, **train}}
        ),
    }
    return [{"title": title, **table} for title, table in tables.items() if table["rows"]]


def _table(columns: list[str], rows: dict[str, list[Any]], last: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Cells as text, without the rows that have no figure; `last` holds the last column's by the row's name."""
    shown = {name: row for name, row in rows.items() if any(value is not None for value in row)}
    if last is not None:
        shown = {name: [*row, last.get(name)] for name, row in shown.items()}
    return {"columns": columns, "rows": [[name, *map(_text, row)] for name, row in shown.items()]}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _names_of_files(value: Any, local: dict[str, str]) -> Any:
    """`value`, a recipe or part of one, with every absolute path cut down to its last name; `local` collects them."""
    if isinstance(value, dict):
        return {key: _names_of_files(item, local) for key, item in value.items()}
    if isinstance(value, list):
        return [_names_of_files(item, local) for item in value]
    if isinstance(value, str):
        for path in (PurePosixPath(value), PureWindowsPath(value)):
            if path.name and (path.is_absolute() or value.startswith("~")):
                return local.setdefault(value, path.name)
    return value
