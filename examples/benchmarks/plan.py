"""Whether what `transformers-mcl plan` says of a run comes true: predicted seconds beside those of real training.

    python examples/benchmarks/plan.py --presets tiny mini --seconds 120 --rounds 3

On a busy machine `OMP_NUM_THREADS=1` and `--clock cpu` compare processor time, in which other work hardly counts.

In each round every preset is measured as `plan` measures it, and then trained for as many steps as `--seconds` have by
the prediction, from its warm-up to its last evaluation, with the preset's own batches and learning rate; all of it is
compared. Other arguments are those of `transformers-mcl pretrain`; with no text given, that inside the package. See
docs/pretraining.md.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Literal

from transformers_mcl import MclTrainingArguments
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.pretrain import preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.io import markdown_table
from transformers_mcl.training import measure as measuring
from transformers_mcl.training.lengths import steps_in
from transformers_mcl.training.run import ModelArguments, prepare


@dataclass
class PlanArguments:
    """What is compared."""

    presets: list[str] = field(default_factory=lambda: ["tiny", "mini"])
    seconds: float = field(default=120.0, metadata={"help": "That each training is predicted to take."})
    rounds: int = 3
    clock: Literal["wall", "cpu"] = field(default="wall", metadata={"help": "cpu: processor time of the process."})
    patience: float = field(
        default=measuring.PATIENCE, metadata={"help": "Seconds that whole batches may take, to be measured."}
    )


def arguments_of(
    words: list[str], folder: str
) -> tuple[PlanArguments, ModelArguments, DataArguments, MclTrainingArguments]:
    kinds = (PlanArguments, ModelArguments, DataArguments, MclTrainingArguments)
    given = [*words, "--output_dir", folder, "--save_strategy", "no", "--disable_tqdm", "true"]
    return parse_arguments(kinds, given, prog="plan.py", description="", underlay=preset_arguments)


def compare(words: list[str]) -> tuple[int, int, float, float]:
    """Steps of a run, tokens of them, seconds that are predicted, and seconds that are seen."""
    with TemporaryDirectory() as folder:
        args, *given = arguments_of(words, folder)
        if args.clock == "cpu":
            measuring._clock = time.process_time
        run = prepare(*given)
        speed = measuring.measure(run.trainer, args.patience)
        run.trainer.args.max_steps = max(steps_in(args.seconds / 3600, run.one_step, speed), 1)
        predicted = speed.of_run(run.workload)
        began = measuring._clock()
        run.trainer.train()
        run.trainer.evaluate()
        return run.steps, run.workload.tokens, predicted, measuring._clock() - began


def main(words: list[str]) -> None:
    args = arguments_of(words, "unused")[0]
    found: dict[str, list[tuple[int, int, float, float]]] = {preset: [] for preset in args.presets}
    for _ in range(args.rounds):
        for preset in args.presets:
            found[preset].append(compare([*words, "--preset", preset]))
            steps, _, predicted, seen = found[preset][-1]
            print(f"{preset}: {steps} steps, predicted {predicted:.1f} s, seen {seen:.1f} s", flush=True)
    rows = []
    for preset, rounds in found.items():
        ratios = [seen / predicted for *_, predicted, seen in rounds]
        steps, _, predicted, seen = (statistics.median(column) for column in zip(*rounds, strict=True))
        spread = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        rows.append((preset, f"{steps:g}", f"{predicted:.1f}", f"{seen:.1f}", spread))
    print(markdown_table(["preset", "steps", "predicted s", "seen s", "ratio [least, most]"], rows, "lrrrr"))


if __name__ == "__main__":
    main(sys.argv[1:])
