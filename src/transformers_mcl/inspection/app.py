"""The page of an inspection for any sentence and any pair, served by Gradio (the extra `app`)."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..io import one_line
from ..method.courses import COURSES
from ..models.configuration_mcl import MclConfig
from ..models.pretraining import MclForPreTraining
from .courses import Inspection, inspect_text
from .page import page_frame, render_page
from .pair import open_pair

__all__ = ["build_app", "look", "serve"]

_LONGEST = 50_000  # characters of a sentence
_RATIO = 0.3  # at which there is something to see in a short sentence
_NONE = "none"
_HEIGHT = "min(85vh, 60rem)"


def serve(models: Sequence[str], text: str, **options: Any) -> None:
    """Serves the app until it is interrupted.

    Args:
        models, text: as those of [`build_app`].
        options: of Gradio's `launch`.

    Raises:
        UserError: Gradio is not installed, a pair cannot be opened, or the port is taken.
    """
    app = build_app(models, text)
    import gradio

    # Gradio's own themes have fonts that come from elsewhere.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        app.launch(theme=theme, footer_links=[], **options)
    except (OSError, OverflowError) as error:
        where = ", ".join(f"{name}={options[name]}" for name in ("server_name", "server_port") if name in options)
        raise UserError(f"{where}: the app cannot be served there, give another: {one_line(error)}") from error


def build_app(models: Sequence[str], text: str) -> Any:
    """A `gradio.Blocks` that shows what pairs do to a sentence.

    Args:
        models: folders of pairs, or their names on the Hub; the first is shown at first. Who uses the app may give the
            name of another on the Hub, but no folder.
        text: the first sentence.

    Raises:
        UserError: Gradio is not installed, or a pair cannot be opened.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise UserError("the app needs Gradio: pip install 'transformers-mcl[app]'") from error
    for model in models:
        _open(model)
    ratios = list(dict.fromkeys(course.ratio_name for course in COURSES.values()))

    def show(text: str, model: str, other: str, seed: float, *shares: float) -> str:
        chosen = [name for name in (model, other) if name and name != _NONE]
        return look(models, chosen, text, seed, dict(zip(ratios, shares, strict=True)))

    first = dict.fromkeys(ratios, _RATIO)
    with gr.Blocks(title="The method, seen", analytics_enabled=False, fill_width=True) as app:
        sentence = gr.Textbox(text, label="Sentence", max_lines=4, max_length=_LONGEST, elem_id="sentence")
        with gr.Row():
            pair = gr.Dropdown(
                list(models), value=models[0], allow_custom_value=True, label="Pair (or name on the Hub)"
            )
            second = gr.Dropdown(
                [_NONE, *models], value=_NONE, allow_custom_value=True, label="Beside it, a second pair"
            )
        with gr.Row():
            seed = gr.Number(42, precision=0, minimum=0, label="Random seed", min_width=100)
            shares = [
                gr.Slider(0.05, min(course.most, 0.9), value=_RATIO, step=0.05, label=f"Share {course.operation}")
                for course in {course.ratio_name: course for course in COURSES.values()}.values()
            ]
        button = gr.Button("Show", variant="primary", elem_id="show")
        shown = gr.HTML(look(models, models[:1], text, 42, first))
        inputs = [sentence, pair, second, seed, *shares]
        # One at a time: a pair is no two callers' at once.
        gr.on([button.click, sentence.submit], show, inputs, shown, concurrency_limit=1, api_name="show")
    return app


def look(models: Sequence[str], chosen: Sequence[str], text: str, seed: float, ratios: dict[str, float]) -> str:
    """The page as an element of another page, in which it can do nothing; or one line that says what is wrong.

    Args:
        models: those that the app was started with.
        chosen: the pairs to show, of these or by their names on the Hub.
        text: the sentence.
        seed: of all draws.
        ratios: the shares that courses operate on, by the name of their field.
    """
    try:
        page = render_page([page_frame({name: [_inspect(models, name, text, seed, ratios)] for name in chosen})])
    except UserError as error:
        return f'<p role="alert">{html.escape(" ".join(str(error).split()))}</p>'
    style = f"width: 100%; height: {_HEIGHT}; border: 0"
    return (
        f'<iframe title="What the courses do to the sentence" sandbox="allow-scripts" style="{style}" '
        f'srcdoc="{html.escape(page)}"></iframe>'
    )


def _inspect(models: Sequence[str], name: str, text: str, seed: float, ratios: dict[str, float]) -> Inspection:
    if name not in models and (Path(name).exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name)):
        raise UserError(f"pair: {name!r} is none that this app was started with, and no name on the Hub (owner/name)")
    if seed is None or seed != int(seed):
        raise UserError(f"seed={seed} must be a whole number")
    model, tokenizer = _open(name)
    model.config = MclConfig.from_dict({**model.config.to_dict(), **ratios})  # which the courses ask
    return inspect_text(model, tokenizer, text, seed=int(seed), thresholds=True)


@lru_cache(maxsize=4)
def _open(name: str) -> tuple[MclForPreTraining, PreTrainedTokenizerBase]:
    return open_pair(name, argument="pair")
