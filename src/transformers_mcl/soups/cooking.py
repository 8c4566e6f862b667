"""From checkpoints to a soup: coefficients by the method asked for, the average, and what lies beside it."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.utils import FEATURE_EXTRACTOR_NAME, GENERATION_CONFIG_NAME, SAFE_WEIGHTS_NAME, logging

from ..errors import UserError
from ..hub.export import check_output_dir
from .averaging import Coefficients, average, check_weights
from .ingredients import Ingredient, common_config, open_ingredients
from .soup_card import soup_card

__all__ = ["METHODS", "Score", "Soup", "make_soup"]

logger = logging.get_logger(__name__)

METHODS = ("uniform", "weighted", "greedy", "learned")

Score = Callable[[Path], float]
"""How good the checkpoint in a folder is; more is better."""


@dataclass
class Soup:
    """How a soup came to be.

    Attributes:
        method: one of `METHODS`.
        ingredients: their names, in the order given.
        coefficients: one an ingredient, adding up to 1; of several an ingredient (one a layer), their mean.
        scores: of each ingredient, where the method asks for them.
        score: of the soup itself, where the ingredients have one.
        layers: with one coefficient a layer, these by layer.
    """

    method: str
    ingredients: list[str]
    coefficients: list[float]
    scores: list[float] | None = None
    score: float | None = None
    layers: dict[str, list[float]] = field(default_factory=dict)


def make_soup(
    checkpoints: Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    weights: str | Sequence[float] | None = None,
    *,
    score: Score | None = None,
    dtype: torch.dtype | None = None,
    **hub: Any,
) -> Soup:
    """Averages the weights of checkpoints into one that opens as they do.

    Of any transformers model: nothing in averaging is MCL's. No more than a part of one tensor of each is in memory.

    Args:
        checkpoints: folders, a Trainer's output folder among them, or names on the Hub.
        output_dir: a folder that is empty or does not exist; it appears when the soup is whole.
        weights: one number an ingredient, in proportion; or a method: `"uniform"` (the default), `"weighted"` in
            proportion to the ingredients' scores, `"greedy"` (Wortsman et al. 2022, arXiv 2203.05482).
        score: says how good a checkpoint is, for the methods that ask; more is better.
        dtype: the format of the result; by default the ingredients'.
        hub: `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: the ingredients differ in more than their weights, an unknown method, or weights that are none.
    """
    method = weights if isinstance(weights, str) else "uniform" if weights is None else "weighted"
    if method not in METHODS:
        raise UserError(f"weights={method!r} is unknown; choose from {', '.join(METHODS)}, or give numbers")
    names = [os.fspath(checkpoint) for checkpoint in checkpoints]
    given = None if weights is None or isinstance(weights, str) else list(weights)
    if given is not None:
        check_weights(given, names)
    if given is None and method != "uniform" and score is None:
        raise UserError(f"weights={method!r} needs a score: give what says how good a checkpoint is")
    folder = check_output_dir(output_dir)
    ingredients = open_ingredients(checkpoints, **hub)
    for other in ingredients[1:]:
        _warn_of_other_start(ingredients[0], other)
    soup = Soup(method, names, given or [1.0] * len(names))
    with _appearing(folder) as draft:
        if given is None and score is not None and method != "uniform":
            soup.scores = [score(Path(ingredient.folder)) for ingredient in ingredients]
            if method == "weighted":
                check_weights(soup.scores, names)
                soup.coefficients = soup.scores
            elif method == "greedy":
                soup.coefficients = _greedy(ingredients, soup.scores, score)
        write_soup(ingredients, soup.coefficients, draft, dtype)
        soup.coefficients = [weight / math.fsum(soup.coefficients) for weight in soup.coefficients]
        if soup.scores is not None and score is not None:
            soup.score = score(draft)
        soup_card(soup, draft, folder.name, ingredients[0].config).save(draft / "README.md")
    return soup


def write_soup(
    ingredients: Sequence[Ingredient], coefficients: Coefficients, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Writes the average, and what the first ingredient has beside its weights, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    average(ingredients, coefficients, folder / SAFE_WEIGHTS_NAME, dtype)
    common_config(ingredients).save_pretrained(folder)
    first = ingredients[0]
    for name in (GENERATION_CONFIG_NAME, FEATURE_EXTRACTOR_NAME, "tokenizer_config.json"):
        for ingredient in ingredients:
            if (path := ingredient.file(name)) is None:
                continue
            if name == "tokenizer_config.json":
                AutoTokenizer.from_pretrained(ingredient.folder, **first.hub).save_pretrained(folder)
            else:
                shutil.copy(path, folder / name)
            break


def _greedy(ingredients: Sequence[Ingredient], scores: Sequence[float], score: Score) -> list[float]:
    """From the best on, each ingredient is kept if the soup of those kept gets no worse by it."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], ingredients[i].name))
    kept, best = order[:1], scores[order[0]]
    for candidate in order[1:]:
        chosen = [*kept, candidate]
        with tempfile.TemporaryDirectory() as folder:
            write_soup([ingredients[i] for i in chosen], [1.0] * len(chosen), Path(folder))
            now = score(Path(folder))
        logger.info(f"greedy: {now:.4f} with {ingredients[candidate].name}, {best:.4f} without")
        if now >= best:
            kept, best = chosen, now
    return [1.0 if i in kept else 0.0 for i in range(len(scores))]


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, which becomes it when all is written, and is gone if something fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())  # mkdtemp's are for its user alone
        if folder.is_dir():
            folder.rmdir()  # it is empty
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _warn_of_other_start(first: Ingredient, other: Ingredient) -> None:
    """Rows of an embedding that training hardly touched are alike in models of one initialisation, and in no other."""
    wide = [tensor for tensor, shape in first.shapes.items() if len(shape) == 2 and shape[1] >= 64]
    if not wide:
        return
    tensor = max(wide, key=lambda tensor: first.shapes[tensor][0])
    nearest = _cosines(first.read(tensor), other.read(tensor)).max().item()
    if nearest < 0.9:
        logger.warning(
            f"{first.name!r} and {other.name!r} seem to come from different initialisations: no two rows of {tensor} "
            f"are alike (largest cosine {nearest:.2f}). The average of such models is seldom a good one"
        )


def _cosines(ours: Tensor, its: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(ours.float(), its.float(), dim=1)
