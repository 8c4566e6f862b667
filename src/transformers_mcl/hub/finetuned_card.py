"""The model card of a fine-tuned model, with its metrics where the Hub reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

__all__ = ["finetuned_card"]


def finetuned_card(
    *,
    name: str,
    base_model: str,
    pipeline_tag: str,
    task: str,
    data: str,
    metrics: Mapping[str, float],
    recipe: Mapping[str, Any],
    versions: Mapping[str, str],
) -> ModelCard:
    """The card of one run. Of files and folders only the names are in it.

    Args:
        data: what it was trained and evaluated on, one line.
        metrics: figures on the validation data, by name.
        recipe: the arguments of the run.
    """
    on_hub = re.fullmatch(r"\w[\w.-]*/[\w.-]+", base_model) and not Path(base_model).exists()
    glue = "glue" if task in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli") else task
    meta = ModelCardData(
        base_model=base_model if on_hub else None,
        library_name="transformers",
        pipeline_tag=pipeline_tag,
        tags=["transformers-mcl", "finetuned"],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=pipeline_tag,
                dataset_type=glue,
                dataset_name=task,
                dataset_split="validation",
                metric_type=metric,
                metric_value=round(value, 6),
            )
            for metric, value in metrics.items()
        ],
    )
    shown = {
        key: [_name(item) for item in value] if isinstance(value, list) else _name(value)
        for key, value in recipe.items()
    }
    rows = "\n".join(f"| {metric} | {value:.4f} |" for metric, value in metrics.items())
    return ModelCard(
        f"---\n{meta.to_yaml()}\n---\n\n# {name}\n\n{_name(base_model)}, fine-tuned on {task}.\n\n"
        f"- Data: {data}\n- Software: {', '.join(f'{key} {value}' for key, value in versions.items())}\n\n"
        f"## Results on the validation data\n\n| metric | value |\n|---|---|\n{rows}\n\n"
        "## How it was trained\n\n```yaml\n"
        f"{yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=1000).strip()}\n```\n\n"
        "```bash\ntransformers-mcl finetune --config recipe.yaml\n```\n"
    )


def _name(value: Any) -> Any:
    """A path's last name; anything else as it is."""
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value
