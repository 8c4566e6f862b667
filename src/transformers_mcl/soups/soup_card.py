"""The model card of a soup: its ingredients, their coefficients and scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import PreTrainedConfig

from ..hub.export_card import PIPELINES

if TYPE_CHECKING:
    from .cooking import Soup

__all__ = ["soup_card"]


def soup_card(soup: Soup, folder: Path, name: str, config: PreTrainedConfig) -> ModelCard:
    """The card of a soup called `name`; `config` is its configuration."""
    kind = (config.architectures or [""])[0]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=next((task for end, task in PIPELINES.items() if kind.endswith(end)), None),
        base_model=[n for n in soup.ingredients if _on_the_hub(n)] or None,
        base_model_relation="merge" if any(map(_on_the_hub, soup.ingredients)) else None,
        tags=["merge", "model-soup", *(["mcl", "electra"] if config.model_type == "mcl" else [])],
    )
    scored = soup.scores is not None
    rows = ["| ingredient | coefficient |" + (" score |" if scored else ""), "|---|---|" + ("---|" if scored else "")]
    for i, (ingredient, coefficient) in enumerate(zip(soup.ingredients, soup.coefficients, strict=True)):
        shown = ingredient if _on_the_hub(ingredient) else Path(ingredient).name
        rows.append(f"| {shown} | {coefficient:.4f} |" + (f" {soup.scores[i]:.4f} |" if soup.scores else ""))
    if soup.score is not None:
        rows.append(f"| **the soup** | 1 | **{soup.score:.4f}** |")
    layers = [f"| {layer} | {' | '.join(f'{c:.3f}' for c in row)} |" for layer, row in soup.layers.items()]
    if layers:
        head = [f"| layer | {' | '.join(map(str, range(1, len(soup.ingredients) + 1)))} |"]
        layers = ["", "Coefficients by layer:", "", *head, "|---" * (len(soup.ingredients) + 1) + "|", *layers]
    text = "\n".join([*rows, *layers])
    return ModelCard(
        f"---\n{data}\n---\n\n# {name}\n\nThe average of the weights of {len(soup.ingredients)} checkpoints, method "
        f"*{soup.method}*, made with `transformers-mcl soup`. It "
        f"opens as any of them, a `{kind}`.\n\n{text}\n"
    )


def _on_the_hub(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name and not Path(name).exists()
