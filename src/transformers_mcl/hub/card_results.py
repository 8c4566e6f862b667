"""Results of a benchmark in the metadata of a model card, where the Hub reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, eval_result_entries_to_yaml
from transformers.utils.hub import cached_file

from ..errors import UserError
from ..io import write_text

__all__ = ["add_results", "card_of", "save_registered"]


def card_of(checkpoint: str) -> Path:
    """Where the card of a checkpoint on this machine lies.

    Raises:
        UserError: it is no folder here, or has no card.
    """
    path = Path(checkpoint, "README.md")
    if not path.is_file():
        raise UserError(f"update_card: {checkpoint!r} is no folder with a model card: there is no {str(path)!r}")
    return path


def add_results(checkpoint: str, results: Sequence[EvalResult]) -> None:
    """Writes results into a checkpoint's card, in place of earlier ones of the same data and metric.

    Raises:
        UserError: it has no card.
    """
    path = card_of(checkpoint)
    card = ModelCard.load(path)
    kept = [
        old for old in card.data.eval_results or [] if not any(old.is_equal_except_value(result) for result in results)
    ]
    card.data.eval_results = [*kept, *results]
    card.data.model_name = getattr(card.data, "model_name", None) or path.absolute().parent.name
    write_text(path, str(card))
    save_registered(path.parent, results)


def save_registered(folder: Path, results: Iterable[EvalResult]) -> None:
    """Writes those results that are of a benchmark registered on the Hub into `.eval_results/`, a file each, where
    its leaderboard and the model's page find them.

    Args:
        results: of several with the same data, the first one counts; those on a part of a split none at all.
    """
    entries: dict[str, EvalResultEntry] = {}
    for result in results:
        if (task := _registered_task(result)) is not None:
            name = f"{result.dataset_type.replace('/', '--')}--{task}"
            entries.setdefault(name, EvalResultEntry(result.dataset_type, task, result.metric_value))
    for name, entry in entries.items():
        text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
        write_text(folder / ".eval_results" / f"{name}.yaml", text)


def _registered_task(result: EvalResult) -> str | None:
    """What the data set calls the task of these examples, if it registers one: in a file `eval.yaml`."""
    if "/" not in result.dataset_type or result.dataset_split is None:
        return None
    optional: dict[str, Any] = {"repo_type": "dataset", "_raise_exceptions_for_missing_entries": False}
    try:
        path = cached_file(result.dataset_type, "eval.yaml", **optional)
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, yaml.YAMLError):  # no connection, or no such data set
        return None
    for task in found.get("tasks", []):
        if (task.get("config") or None, task.get("split")) == (result.dataset_config, result.dataset_split):
            return str(task["id"])
    return None
