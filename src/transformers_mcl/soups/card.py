"""The model card of a soup: its ingredients, their coefficients and scores."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import PreTrainedConfig

from ..hub.citation import PACKAGE, citation
from ..hub.export_card import PIPELINES, family_tags
from ..io import markdown_table, markdown_text
from .soup import Soup

__all__ = ["soup_card", "soup_table"]


def soup_table(soup: Soup) -> str:
    """Ingredients, coefficients and scores as Markdown; a loss stands there as it is, without minus."""
    names = [name if _on_the_hub(name) else Path(name).name for name in soup.ingredients]
    if len(set(names)) < len(names):  # run-1/model, run-2/model
        names = [name if _on_the_hub(name) else "/".join(Path(name).parts[-2:]) for name in soup.ingredients]
    head = ["ingredient", "coefficient"]
    rows = [[markdown_text(name), f"{share:.4f}"] for name, share in zip(names, soup.coefficients, strict=True)]
    if soup.scores is not None and soup.score is not None:
        head.append(markdown_text(soup.measure) + (" (less is better)" if soup.is_loss else ""))
        for row, score in zip(rows, soup.scores, strict=True):
            row.append(_figure(soup, score))
        if soup.uniform is not None:
            rows.append(["the uniform soup", "", _figure(soup, soup.uniform)])
        rows.append(["**the soup**", "1", f"**{_figure(soup, soup.score)}**"])
    text = markdown_table(head, rows)
    if soup.layers:
        numbers = [str(number) for number in range(1, len(names) + 1)]
        rows = [[part, *(f"{share:.3f}" for share in shares)] for part, shares in soup.layers.items()]
        text += f"\n\nCoefficients by part:\n\n{markdown_table(['part', *numbers], rows)}"
    return text


def soup_card(soup: Soup, name: str, config: PreTrainedConfig, library: str = "transformers") -> ModelCard:
    """The card of a soup called `name`; `config` is its configuration, `library` what opens it. No folder of the
    machine is in it."""
    kind = (config.architectures or [""])[0]
    pipeline = next((task for end, task in PIPELINES.items() if kind.endswith(end)), None)
    if library == "sentence-transformers":
        pipeline = "sentence-similarity"
    on_the_hub = [ingredient for ingredient in soup.ingredients if _on_the_hub(ingredient)]
    data = ModelCardData(
        model_name=name,
        library_name=library,
        pipeline_tag=pipeline,
        base_model=on_the_hub or None,
        base_model_relation="merge" if on_the_hub else None,
        tags=["merge", "model-soup", *(family_tags(config) if config.model_type == "mcl" else [])],
        eval_results=_eval_results(soup, pipeline or "fill-mask"),
    )
    scored = f" Scores are {markdown_text(f'{soup.measure} on {soup.source}')}." if soup.source else ""
    return ModelCard(
        f"---\n{data}\n---\n\n# {markdown_text(name)}\n\n"
        f"The average of the weights of {len(soup.ingredients)} checkpoints, method "
        f"*{soup.method}*, made with {PACKAGE}. It opens as any of them, a `{markdown_text(kind)}`.{scored}\n\n"
        f"{soup_table(soup)}\n\n{citation(paper=config.model_type == 'mcl')}\n"
    )


def _eval_results(soup: Soup, pipeline: str) -> list[EvalResult] | None:
    if soup.score is None or not soup.source:
        return None
    task, metric = soup.measure.split(" ")[0], soup.measure.split(" ")[-1]
    kind = "loss" if soup.is_loss else metric
    value = -soup.score if soup.is_loss else soup.score
    result = EvalResult(
        task_type=pipeline,
        dataset_type=task,
        dataset_name=soup.source,
        metric_type=kind,
        metric_name=soup.measure,
        metric_value=value,
    )
    return [result]


def _figure(soup: Soup, score: float) -> str:
    return f"{-score if soup.is_loss else score:.4f}"


def _on_the_hub(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name and not Path(name).exists()
