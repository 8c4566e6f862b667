"""From checkpoints to a soup: its coefficients by each method, the average, and what lies beside it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER
from transformers.utils import SAFE_WEIGHTS_NAME, logging

from ..data.tokenizer import fit_tokenizer, load_tokenizer
from ..errors import UserError, check_name, check_names
from ..io import atomic_folder, check_room
from ..models.hooks import HUB_ARGUMENTS
from ..models.loading import with_trust
from .averaging import Coefficients, average, check_weights, formats, parts
from .card import soup_card
from .ingredients import COPIED, Ingredient, check_apart, common_config, open_ingredients
from .modules import MODULES, check_modules, write_modules
from .score_arguments import ScoreArguments
from .soup import METHODS, Soup

__all__ = ["make_soup", "write_soup"]

logger = logging.get_logger(__name__)


def make_soup(
    checkpoints: Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    weights: str | Sequence[float] | None = None,
    *,
    score: Callable[[Path], float] | ScoreArguments | None = None,
    coefficients_per: str = "ingredient",
    max_evaluations: int = 50,
    dtype: torch.dtype | None = None,
    name: str = "",
    report: Callable[[str], object] = logger.info,
    **hub: Any,
) -> Soup:
    """Averages the weights of checkpoints into one that opens as they do.

    Of any transformers model: nothing in averaging is MCL's. No more than a part of one tensor of each is in memory;
    beside that, for scores one model, and to learn by a loss its gradient.

    Args:
        checkpoints: folders, a Trainer's output folder among them, or names on the Hub.
        output_dir: a folder that is empty or does not exist; it appears when the soup is whole.
        weights: one number an ingredient, in proportion; or a method: `"uniform"` (the default); `"weighted"`, in
            proportion to the ingredients' scores, or to 1/loss; `"greedy"` (Wortsman et al. 2022, arXiv 2203.05482);
            `"learned"`, by an optimizer.
        score: says how good a checkpoint in a folder is, more is better; or `ScoreArguments`, which name one of
            `soups.scores`. With `"uniform"` and numbers it is only reported.
        coefficients_per: of `"learned"`: `"ingredient"`, or `"layer"` for coefficients of each layer.
        max_evaluations: of `"learned"`: how many averages may be looked at.
        dtype: the format of the result; by default the ingredients'.
        name: what the model card calls it; by default as the folder.
        report: called with a line before long work.
        hub: `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: the ingredients differ in more than their weights, an unknown method, weights that are none, an
            output folder that cannot be; nothing is left there.
    """
    names = [os.fspath(checkpoint) for checkpoint in checkpoints]
    method = weights if isinstance(weights, str) else "uniform" if weights is None else "weighted"
    given = None if weights is None or isinstance(weights, str) else list(weights)
    _check_method(method, given, names, score)
    folder = check_apart(output_dir, names)
    check_names("make_soup", hub, HUB_ARGUMENTS)  # any other, `method` say, would be passed on and forgotten
    ingredients = open_ingredients(checkpoints, **hub)
    for other in ingredients[1:]:
        check_modules(ingredients[0], other)
        _warn_of_other_start(ingredients[0], other)
    if isinstance(score, ScoreArguments):
        from .scores import make_score  # what evaluates needs much that averaging does not

        score = make_score(score, ingredients)
    soup = Soup(method, names, given or [1.0] * len(names))
    report(_plan(soup, ingredients, folder, dtype, score, max_evaluations))
    with atomic_folder(folder) as draft:
        coefficients: Coefficients = soup.coefficients
        if score is not None:
            soup.measure, soup.source = getattr(score, "name", "score"), getattr(score, "source", "")
            soup.is_loss = getattr(score, "is_loss", False)
            soup.scores = [_score(score, ingredient.folder, ingredient.name) for ingredient in ingredients]
        if score is not None and soup.scores is not None and given is None:
            if method == "weighted":
                coefficients = soup.coefficients = _proportions(soup.scores, soup.is_loss, names)
            elif method == "greedy":
                coefficients = soup.coefficients = _greedy(ingredients, soup.scores, score, draft / "candidate")
            elif method == "learned":
                coefficients = _learn(soup, ingredients, score, draft / "candidate", coefficients_per, max_evaluations)
        write_soup(ingredients, coefficients, draft, dtype)
        soup.coefficients = [weight / math.fsum(soup.coefficients) for weight in soup.coefficients]
        if score is not None:
            soup.score = _score(score, draft, "the soup")
        library = "sentence-transformers" if (draft / MODULES).is_file() else "transformers"
        soup_card(soup, name or folder.name, ingredients[0].config, library).save(draft / "README.md")
    return soup


def write_soup(
    ingredients: Sequence[Ingredient], coefficients: Coefficients, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Writes the average, and what the first ingredient has beside its weights, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    average(ingredients, coefficients, folder / SAFE_WEIGHTS_NAME, dtype)
    config = common_config(ingredients)
    fractions = [kind for kind in formats(ingredients, dtype).values() if kind.is_floating_point]
    config.dtype = max(fractions, key=fractions.count, default=None)  # the first's may be another
    config.save_pretrained(folder)
    write_modules(ingredients, coefficients, folder)
    for name in (*COPIED, "tokenizer_config.json"):
        found = next((ingredient for ingredient in ingredients if ingredient.file(name)), None)
        if found is None:
            continue
        if name == "tokenizer_config.json":
            _save_tokenizer(found, folder)
        else:
            shutil.copy(found.file(name) or "", folder / name)


def _save_tokenizer(ingredient: Ingredient, folder: Path) -> None:
    """As it is, but that it knows the length of the model's rows."""
    tokenizer = load_tokenizer(ingredient.folder, **ingredient.hub)
    if tokenizer.model_max_length >= VERY_LARGE_INTEGER:
        with suppress(ValueError), torch.device("meta"):  # of a class that is none of transformers'
            fit_tokenizer(tokenizer, AutoModel.from_config(ingredient.config, **with_trust({})))
    tokenizer.save_pretrained(folder)


def _check_method(method: str, given: Sequence[float] | None, names: Sequence[str], score: Any) -> None:
    check_name("weights", method, METHODS, "; or give numbers")
    if given is not None:
        check_weights(given, names)
    elif method != "uniform" and score is None:
        raise UserError(f"weights={method!r} needs a score: give what says how good a checkpoint is")


def _plan(
    soup: Soup, ingredients: Sequence[Ingredient], folder: Path, dtype: Any, score: Any, max_evaluations: int
) -> str:
    """What is going to be done, and what it costs; the disk has room for it."""
    kinds, n = formats(ingredients, dtype), len(ingredients)
    numbers, sums = {t: math.prod(shape) for t, shape in ingredients[0].shapes.items()}, ingredients[0].sums
    size = sum(numbers[sums[t][0] if t in sums else t] * kind.itemsize for t, kind in kinds.items())
    check_room(folder, size, "the soup")
    read = sum(ingredient.size for ingredient in ingredients) / 1e9
    line = (
        f"{n} checkpoints of {sum(numbers.values()):,} parameters, {read:.2f} GB to read, {size / 1e9:.2f} GB to write"
    )
    if score is None:
        return f"{soup.method}: {line}"
    more = {"greedy": n - 1, "learned": max_evaluations}.get(soup.method, 0)
    return f"{soup.method}: {line}; {'up to ' if more else ''}{n + 1 + more} evaluations of {score}"


def _score(score: Callable[[Path], float], folder: str | Path, name: str) -> float:
    """With what there is to say of it.

    Raises:
        UserError: it is NaN.
    """
    found = score(Path(folder))
    if math.isnan(found):
        raise UserError(f"the score of {name!r} is NaN")
    logger.info(f"{found:.5g}: {name}")
    return found


def _proportions(scores: Sequence[float], is_loss: bool, names: Sequence[str]) -> list[float]:
    """A metric itself, or 1/loss: as forecasts are combined by their errors (Bates and Granger 1969), and the same
    whatever all losses are multiplied by.

    Raises:
        UserError: no score is above 0.
    """
    if is_loss:
        return [1.0 / max(-score, 1e-12) for score in scores]
    for score, name in zip(scores, names, strict=True):
        if score < 0:
            logger.warning(f"{name!r} scores {score:.4g}, which is below 0: its coefficient is 0")
    if not any(score > 0 for score in scores):
        raise UserError(f"weights='weighted': no score is above 0, the highest is {max(scores):.4g}; choose greedy")
    return [max(score, 0.0) for score in scores]


def _greedy(
    ingredients: Sequence[Ingredient], scores: Sequence[float], score: Callable[[Path], float], candidate: Path
) -> list[float]:
    """From the best on, each ingredient is kept if the soup of those kept gets no worse by it."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], ingredients[i].name))
    kept, best = order[:1], scores[order[0]]
    for i in order[1:]:
        chosen = [*kept, i]
        write_soup([ingredients[k] for k in chosen], [1.0] * len(chosen), candidate)
        now = _score(score, candidate, f"{len(kept)} kept and {ingredients[i].name}")
        shutil.rmtree(candidate)
        if now >= best:
            kept, best = chosen, now
    return [1.0 if i in kept else 0.0 for i in range(len(scores))]


def _learn(
    soup: Soup,
    ingredients: Sequence[Ingredient],
    score: Callable[[Path], float],
    candidate: Path,
    per: str,
    max_evaluations: int,
) -> Coefficients:
    """What `learn_coefficients` found, which is noted in `soup`."""
    from .learning import group_tensors, learn_coefficients

    learnt = learn_coefficients(ingredients, score, write_soup, candidate, per=per, max_evaluations=max_evaluations)
    soup.uniform, best = learnt.uniform, max(soup.scores or [-math.inf])
    if best > learnt.score:
        alone = (soup.scores or []).index(best)
        logger.warning(
            f"no average was found that scores better than {ingredients[alone].name!r} alone: it is the soup"
        )
        soup.coefficients = [float(i == alone) for i in range(len(ingredients))]
        return soup.coefficients
    rows = list(learnt.coefficients.values())
    soup.layers = learnt.coefficients if per == "layer" else {}
    soup.coefficients = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    groups = group_tensors(ingredients[0].files, per)
    return lambda tensor: learnt.coefficients[groups[tensor]]


def _warn_of_other_start(first: Ingredient, other: Ingredient) -> None:
    """Rows of an embedding that training hardly touched are alike in models of one initialisation, and in no other."""
    differences = {difference for _, difference in first.sums.values()}  # from 0, where training touched them
    shapes = {tensor: shape for tensor, shape in first.shapes.items() if tensor not in differences}
    wide = [tensor for tensor, shape in shapes.items() if len(shape) == 2 and shape[1] >= 64]
    if not wide:
        return
    tensor = max(wide, key=lambda tensor: first.shapes[tensor][0])
    pieces = parts(first.shapes[tensor])
    nearest = max(_cosines(first.read(tensor, *rows), other.read(tensor, *rows)).max().item() for rows in pieces)
    if nearest < 0.9:
        logger.warning(
            f"{first.name!r} and {other.name!r} seem to come from different initialisations: no two rows of {tensor} "
            f"are alike (largest cosine {nearest:.2f}). The average of such models is seldom a good one"
        )


def _cosines(ours: Tensor, its: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(ours.float(), its.float(), dim=1)
