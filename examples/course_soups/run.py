"""The paper's study of course soups: its fourteen ingredients and MCL, their averages, and all of them judged alike.

    python examples/course_soups/run.py --config examples/course_soups/study.yaml --output_dir my-soups

The same command goes on where it was killed. `docs/course_soups.md` says what it does and what comes out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from course_soups.study import StudyArguments, prepare_study
from jobs import exit_status
from transformers_mcl import MclTrainingArguments
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import entry
from transformers_mcl.cli.pretrain import preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.training.run import ModelArguments


def work(argv: Sequence[str]) -> None:
    """Trains, mixes and judges what is not done yet."""
    preset: dict[str, Any] = {}

    def underlay(given: Mapping[str, Any], read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        preset.update(preset_arguments(given, read))
        return preset

    parsed = parse_arguments(
        (StudyArguments, ModelArguments, DataArguments, MclTrainingArguments),
        argv,
        prog="run.py",
        description=str(__doc__).splitlines()[0],
        underlay=underlay,
    )
    args, model_args, data_args, training_args = parsed
    own = {field.name for field in fields(StudyArguments)}
    given = preset | {name: value for name, value in yaml.safe_load(parsed.recipe).items() if name not in own}
    say = partial(print, flush=True)
    study = prepare_study(args, model_args, data_args, training_args, given)
    say(study.plan)
    study.train(say)
    if args.train_only:
        say(f"The ingredients are in {study.folder / 'ingredients'}; the same command without --train_only mixes them")
        return
    from course_soups.results import finish  # what judges needs much that training does not

    say(f"\n{finish(study, say)}\nThis table, results.json and results.png are in {study.folder}")


def run(argv: Sequence[str]) -> int:
    """Does it all; the exit status."""
    return exit_status("run.py", lambda: work(argv))


if __name__ == "__main__":
    entry(lambda: run(sys.argv[1:]))
