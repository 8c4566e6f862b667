"""Draws the figures that tell whether runs are healthy, of several runs in one picture.

    python examples/health_curves.py mcl=one/trainer_state.json electra=two/trainer_state.json --output health.png

A dotted line in a run's colour is a step at which it was warned.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers_mcl.plots import COLOURS, GREY, picture

# Title, the figures that are added up, and a height to compare with.
PANELS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("Discriminator: AUC", ("rtd_disc_auc",), 0.5),
    ("Discriminator: recall", ("rtd_disc_recall",), None),
    ("Discriminator: loss (nats)", ("rtd_loss",), None),
    ("Generator: accuracy of its samples", ("rtd_sampled_masked_lm_accuracy",), None),
    ("Generator: loss (nats)", ("mlm_loss",), None),
    ("Notebook: share judged replaced", ("rtd_notebook_pos3", "rtd_notebook_pos4"), None),
)


def draw(states: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws the training logs of runs, by name the content of their `trainer_state.json`, into a PNG."""
    with picture(path, 10, 5) as figure:
        for axes, (title, names, level) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
            for (name, state), colour in zip(states.items(), COLOURS, strict=False):
                logs = [log for log in state["log_history"] if all(figure in log for figure in names)]
                values = [sum(log[figure] for figure in names) for log in logs]
                axes.plot([log["step"] for log in logs], values, color=colour, label=name)
                for warning in warnings(state):
                    axes.axvline(warning["step"], color=colour, linestyle=":", linewidth=1)
            if level is not None:
                axes.axhline(level, color=GREY, linewidth=1)
            axes.set_title(title)
        lines = figure.axes[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside lower left", ncols=len(states), frameon=False)


def warnings(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What the run was warned of."""
    callback = state["stateful_callbacks"].get("HealthCallback")
    return callback["attributes"]["warnings"] if callback else []


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=trainer_state.json")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    states = {}
    for run in arguments.runs:
        name, _, path = run.partition("=")
        states[name] = json.loads(Path(path).read_text(encoding="utf-8"))
        for warning in warnings(states[name]):
            print(f"{name}: {warning['message']}")
    draw(states, arguments.output)


if __name__ == "__main__":
    main()
