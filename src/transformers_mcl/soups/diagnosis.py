"""Is it a good soup? How far apart the ingredients lie, what is between them, and how their losses pull."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel
from transformers.utils import logging

from ..errors import UserError
from ..io import atomic_folder, markdown_table, versions, write_json, write_text
from ..models.loading import loading_in_silence
from .conflicts import Conflicts, measure_conflicts
from .diagnosis_plots import draw_lines, draw_matrix, save_panels
from .geometry import Geometry, measure_geometry
from .ingredients import check_alike, check_apart, open_ingredients
from .interpolation import Lines, barrier, measure_lines
from .score_arguments import ScoreArguments

if TYPE_CHECKING:
    from .scores import LossScore, PretrainingLoss

__all__ = [
    "Diagnosis",
    "diagnose",
    "diagnose_into",
    "save_conflicts",
    "save_diagnosis",
    "save_tug_of_war",
]

logger = logging.get_logger(__name__)

# A barrier is huge if it is higher than the ingredients' own losses differ, and than this share of them.
_HUGE = 0.02
# Of these the losses' gradients are compared.
_BATCHES = 4


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        names: of the ingredients, as short as tells them apart.
        start: the checkpoint that they were trained from, if it was given.
        geometry: their distances and angles.
        lines: the losses between any two, if a loss was given.
        warnings: what a user should know before trusting an average, a line each.
    """

    names: list[str]
    start: str | None
    geometry: Geometry
    lines: Lines | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        """Of the ingredients themselves."""
        ends = {i: line[0] for (i, _), line in (self.lines or {}).items()}
        ends |= {j: line[-1] for (_, j), line in (self.lines or {}).items()}
        return [ends[i] for i in sorted(ends)]

    @property
    def barriers(self) -> np.ndarray:
        """`(n, n)`, NaN on the diagonal; see `interpolation.barrier`."""
        found = np.full_like(self.geometry.distances, np.nan)
        for (i, j), line in (self.lines or {}).items():
            if i != j:
                found[i, j] = found[j, i] = barrier(line)
        return found


def diagnose(
    checkpoints: Sequence[str | os.PathLike[str]],
    *,
    initial_model: str | os.PathLike[str] | None = None,
    score: LossScore | None = None,
    points: int = 3,
    **hub: Any,
) -> Diagnosis:
    """Measures what is between checkpoints; of any transformers model.

    Args:
        checkpoints: as for `make_soup`.
        initial_model: the checkpoint that all were trained from, where angles are measured; their mean without it.
        score: whose loss is measured along the lines; without it they are left out.
        points: how many between any two.
        hub: `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: the checkpoints are not alike, as for `make_soup`.
    """
    ingredients = open_ingredients(checkpoints, **hub)
    start = None
    if initial_model is not None:
        (start,) = open_ingredients([initial_model], **hub)
        check_alike(ingredients[0], start)
    names = _short_names([ingredient.name for ingredient in ingredients])
    geometry = measure_geometry(ingredients, start)
    lines = None
    if score is not None:
        lines = measure_lines(ingredients, score.load(ingredients[0].folder), partial(_loss, score), points)
    found = Diagnosis(names, None if start is None else start.name, geometry, lines)
    found.warnings.extend(_warnings(found))
    for warning in found.warnings:
        logger.warning(warning)
    return found


def diagnose_into(
    output_dir: str | os.PathLike[str],
    checkpoints: Sequence[str | os.PathLike[str]],
    score_args: ScoreArguments,
    *,
    initial_model: str | os.PathLike[str] | None = None,
    points: int = 3,
    **hub: Any,
) -> str:
    """What `transformers-mcl soup --diagnose` does: all that can be said of these checkpoints, in `output_dir`.

    Distances and angles of any; with held-out data, the losses between any two; of MCL pairs, with held-out text, also
    the cosines of the gradients of the first one's losses.

    Returns:
        The tables as Markdown.

    Raises:
        UserError: the checkpoints are not alike, a score that has no loss, an output folder that holds something.
    """
    from .scores import LossScore, PretrainingLoss, make_score  # what evaluates needs much that measuring does not

    if points < 1:
        raise UserError(f"diagnose_points={points} must be at least 1")
    folder = check_apart(output_dir, [os.fspath(checkpoint) for checkpoint in checkpoints])
    score = None
    if score_args.score is not None or score_args.validation_file or score_args.dataset_name:
        found = make_score(score_args, open_ingredients(checkpoints, **hub))
        if not isinstance(found, LossScore):
            raise UserError(f"score={score_args.score!r} has no loss to follow from one checkpoint to another")
        score = found
    with atomic_folder(folder) as draft:
        text = save_diagnosis(
            diagnose(checkpoints, initial_model=initial_model, score=score, points=points, **hub), draft
        )
        if isinstance(score, PretrainingLoss):
            text += f"\n{save_tug_of_war(score, os.fspath(checkpoints[0]), draft)}"
    return text


def save_tug_of_war(score: PretrainingLoss, checkpoint: str | os.PathLike[str], folder: Path) -> str:
    """Compares the gradients of a pair's losses on the score's first batches; writes as `save_conflicts` does."""
    (ingredient,) = open_ingredients([checkpoint], **score.hub)
    model: Any = score.load(ingredient.folder)
    conflicts = measure_conflicts(model, islice(score.batches(), _BATCHES), score.seed)
    return save_conflicts(conflicts, folder, Path(ingredient.name).name)


def _loss(score: LossScore, model: PreTrainedModel) -> float:
    with loading_in_silence():  # one bar is enough
        return sum(part.item() for part in score.losses(model))


def _short_names(names: Sequence[str]) -> list[str]:
    """The ends of paths, as much as tells them apart."""
    parts = [Path(name).parts or (name,) for name in names]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-length:]) for part in parts]
        if len(set(short)) == len(set(names)):
            return short
    return list(names)


def _warnings(found: Diagnosis) -> list[str]:
    if found.lines is None or len(found.names) < 2:
        return []
    spread, least = float(np.ptp(found.losses)), _HUGE * float(np.mean(np.abs(found.losses)))
    barriers, names = found.barriers, found.names
    huge = [pair for pair in combinations(range(len(names)), 2) if barriers[pair] > max(spread, least)]
    if not huge:
        return []
    worst = max(huge, key=lambda pair: barriers[pair])
    return [
        f"{len(huge)} of {len(found.lines)} pairs do not lie in one basin: between {names[worst[0]]!r} and "
        f"{names[worst[1]]!r} the loss rises by {barriers[worst]:.4g}, where the ingredients' own differ by "
        f"{spread:.4g}. Were they trained from one initialisation? Their average is seldom a good one"
    ]


def save_diagnosis(found: Diagnosis, folder: Path) -> str:
    """Writes `diagnosis.json`, `diagnosis.md` and `diagnosis.png` into `folder`; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "ingredients": found.names,
        "start": found.start,
        **{name: _listed(values) for name, values in asdict(found.geometry).items()},
        "losses": found.losses,
        "lines": [
            {"ingredients": [found.names[i], found.names[j]], "losses": line, "barrier": barrier(line)}
            for (i, j), line in (found.lines or {}).items()
        ],
        "warnings": found.warnings,
        "versions": versions(),
    }
    write_json(folder / "diagnosis.json", said)
    _plot(found, folder / "diagnosis.png")
    text = _markdown(found)
    write_text(folder / "diagnosis.md", text)
    return text


def save_conflicts(found: Conflicts, folder: Path, name: str) -> str:
    """Writes `gradients.json`, `gradients.md` and `gradients.png` into `folder`; returns the Markdown.

    Args:
        name: of the checkpoint that was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {key: _listed(value) if isinstance(value, np.ndarray) else value for key, value in vars(found).items()}
    write_json(folder / "gradients.json", {"checkpoint": name, **numbers, "versions": versions()})
    panels = [
        partial(draw_matrix, values=values, labels=found.losses, title=title, colours="RdBu", limit=1.0, form=".2f")
        for values, title in (
            (found.cosines, "all weights"),
            (found.shared_cosines, "the embeddings that both halves share"),
        )
        if np.isfinite(values).any()  # of halves that share nothing
    ]
    title = f"{name}: cosines of the losses' gradients, means over {found.batches} batches"
    save_panels(folder / "gradients.png", title, found.losses, panels)
    head = ["loss", "gradient's length", *found.losses]
    rows = [
        [loss, f"{found.norms[i]:.3g}", *("" if np.isnan(c) else f"{c:+.3f}" for c in found.cosines[i])]
        for i, loss in enumerate(found.losses)
    ]
    table = markdown_table(head, rows)
    text = f"# {title}\n\nLengths are of the gradients as they enter the objective.\n\n{table}\n"
    write_text(folder / "gradients.md", text)
    return text


def _plot(found: Diagnosis, path: Path) -> None:
    def matrix(values: np.ndarray, title: str, **look: Any) -> Any:
        return partial(draw_matrix, values=values, labels=found.names, title=title, **look)

    since = "their start" if found.start else "their mean"
    panels = [
        matrix(found.geometry.distances, "distance of the weights"),
        matrix(found.geometry.angles, f"angle between the ways from {since} (degrees)", form=".0f"),
    ]
    if found.lines:
        barriers = [barrier(line) for line in found.lines.values()]
        panels += [
            matrix(found.barriers, "barrier: how far the loss rises between two"),
            partial(
                draw_lines,
                lines=list(found.lines.values()),
                barriers=barriers,
                title="loss along the straight line between two",
                name="held-out loss",
            ),
        ]
    save_panels(path, f"{len(found.names)} ingredients", found.names, panels)


def _markdown(found: Diagnosis) -> str:
    since = "the start" if found.start else "the mean"
    head, columns = ["ingredient", f"distance from {since}"], [found.names, _shown(found.geometry.moved)]
    if found.lines:
        head.append("held-out loss")
        columns.append(_shown(found.losses))
    text = f"# Is it a good soup?\n\n{markdown_table(head, list(zip(*columns, strict=True)))}\n"
    head = ["one", "another", "distance", "angle", "barrier"][: 5 if found.lines else 4]
    rows = []
    for i, j in combinations(range(len(found.names)), 2):
        cells = [found.names[i], found.names[j], *_shown([found.geometry.distances[i, j]])]
        cells += [f"{found.geometry.angles[i, j]:.1f}", *_shown([found.barriers[i, j]])]
        rows.append(cells[: len(head)])
    if rows:
        text += f"\nAngles are between the ways from {since}, in degrees.\n\n{markdown_table(head, rows)}\n"
    return text + "".join(f"\n**Warning:** {warning}.\n" for warning in found.warnings)


def _shown(numbers: Any) -> list[str]:
    return [f"{number:.4g}" for number in numbers]


def _listed(values: np.ndarray) -> Any:
    """As JSON has it: no NaN."""
    return [_listed(value) if isinstance(value, np.ndarray) else _number(value) for value in values]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
