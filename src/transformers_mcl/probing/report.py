"""What probes have found, for people: a table and a picture by layer, and the figures for a model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from huggingface_hub import EvalResult

from ..finetuning import SequenceTask
from ..io import markdown_table
from ..plots import COLOURS, DARK_GREY, picture
from .arguments import ProbeArguments

__all__ = ["Found", "plot_layers", "to_card", "to_markdown"]

Found = Mapping[str, Any]
"""What `probe_task` returns."""


def to_markdown(model: str, probe: ProbeArguments, results: Mapping[str, Found]) -> str:
    half = f", {probe.half}" if probe.half else ""
    read = {"mean": "the mean of the tokens' states", "cls": "the state of the first token"}[probe.pooling]
    chosen = f"chosen by {probe.folds}-fold cross-validation on the training rows" if probe.C is None else "as given"
    note = (
        f"Logistic regression on {read} (standardised), of each layer of the frozen encoder; layer 0 is that of the "
        f"embeddings. C, the inverse strength of the regularisation, is {chosen}; seed {probe.seed}."
    )
    tables = [f"## {task}\n\n{_sources(found)}\n\n{_table(found)}" for task, found in results.items()]
    return "\n\n".join([f"# Probes: {model}{half}", note, *tables]) + "\n"


def _sources(found: Found) -> str:
    train, *held_out = found["data"].values()
    return f"Trained on {train}; measured on {' and '.join(held_out)}."


def _table(found: Found) -> str:
    names = list(found["most_frequent_class"])
    rows = [[layer, f"{of['C']:g}", *(f"{of[name]:.3f}" for name in names)] for layer, of in found["layers"].items()]
    always = ["most frequent class", "", *(f"{value:.3f}" for value in found["most_frequent_class"].values())]
    return markdown_table(["layer", "C", *names], [*rows, always])


def to_card(tasks: Sequence[SequenceTask], probe: ProbeArguments, results: Mapping[str, Found]) -> list[EvalResult]:
    """The main figures of the last layer that was read."""
    card = []
    for task in tasks:
        layer, figures = list(results[task.name]["layers"].items())[-1]
        for split in task.validations:
            source = task.sources[split]
            card.append(
                EvalResult(
                    task_type="text-classification",
                    task_name="linear probe",
                    dataset_type=source.dataset_name or source.place,
                    dataset_name=task.name,
                    dataset_config=source.config,
                    dataset_split=source.split,
                    metric_type=task.main_metric,
                    metric_name=f"{task.main_metric} (layer {layer}{f', {probe.half}' if probe.half else ''})",
                    metric_value=figures[f"{task.main_metric}{task.suffix(split)}"],
                )
            )
    return card


def plot_layers(results: Mapping[str, Found], path: str | PathLike[str], title: str = "") -> None:
    """Draws each task's main figure by layer as a PNG, a panel a task; dashed is that of the most frequent class."""
    with picture(path, 5, 0.4 + 2.4 * len(results), title) as figure:
        for axes, (task, found) in zip(np.atleast_1d(figure.subplots(len(results))), results.items(), strict=True):
            layers = [int(layer) for layer in found["layers"]]
            names = [name for name in found["most_frequent_class"] if name.startswith(found["metric"])]
            for name, colour in zip(names, COLOURS, strict=False):
                values = [of[name] for of in found["layers"].values()]
                axes.plot(layers, values, marker="o", color=colour, label=name)
            always = found["most_frequent_class"][found["metric"]]
            axes.axhline(always, color=DARK_GREY, linestyle="--", linewidth=1, label="most frequent class")
            axes.set(xlabel="layer", ylabel=task, xticks=layers)
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
