"""An evaluation is over exactly the rows there are, however many processes share them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from tests.launching import torchrun
from tests.once import Once
from transformers_mcl import MclTrainer

from .conftest import LENGTH

Make = Callable[..., MclTrainer]
# Rows, in batches of four: the second of two processes has one row less in its last batch; it has none in the last
# round; it has none at all; all batches are whole.
COUNTS = (7, 9, 1, 16)

SCRIPT = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
import torch
from tests.training.conftest import make_trainer, rows
from tests.training.test_evaluation import COUNTS, figures
make = make_trainer.__wrapped__(rows.__wrapped__(), sys.argv[1])
trainer = make(per_device_eval_batch_size=4)
assert trainer.args.world_size == 2
found = {count: figures(trainer, trainer.train_dataset.select(range(count))) for count in COUNTS}
trainer.train()  # wrapped now
figures(trainer, trainer.train_dataset.select(range(9)))
if trainer.args.process_index == 0:
    with open(sys.argv[1] + "/found.json", "w") as file:
        json.dump(found, file)
torch.distributed.destroy_process_group()
os._exit(0)  # as the command does (`cli.main.entry`)
"""


def figures(trainer: MclTrainer, rows: Dataset) -> dict[str, Any]:
    """The figures of an evaluation on `rows`, but those of time; with how many tokens were judged."""
    found = trainer.evaluate(rows)
    judged = int(trainer._eval_meter.sums["rtd_detection"][:4].sum())
    assert judged == len(rows) * LENGTH, judged
    own = {n: value for n, value in found.items() if not n.endswith(("_runtime", "_second", "_time", "epoch"))}
    return own | {"judged": judged}


@pytest.fixture(scope="module")
def of_two(once: Once) -> dict[str, dict[str, float]]:
    """By number of rows, the figures of two processes."""
    folder = once("evaluation", evaluate)
    found: dict[str, dict[str, float]] = json.loads((folder / "found.json").read_text())
    return found


def evaluate(folder: Path) -> None:
    (folder / "ranks.py").write_text(SCRIPT)
    command = [*torchrun(), str(folder / "ranks.py"), str(folder), str(Path(__file__).parents[2])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("count", COUNTS)
def test_two_processes_have_the_figures_of_one(
    make_trainer: Make, rows: Dataset, of_two: dict[str, dict[str, float]], count: int
) -> None:
    """To the last figure: the draws are those of a batch's number, which two processes count through by turns."""
    alone = figures(make_trainer(per_device_eval_batch_size=4), rows.select(range(count)))
    assert of_two[str(count)] == pytest.approx(alone, rel=1e-6)
    assert alone["judged"] == count * LENGTH


def test_a_last_batch_that_training_drops_is_evaluated(make_trainer: Make, rows: Dataset) -> None:
    dropping = make_trainer(per_device_eval_batch_size=4, dataloader_drop_last=True)
    keeping = make_trainer(per_device_eval_batch_size=4)
    assert figures(dropping, rows.select(range(9))) == figures(keeping, rows.select(range(9)))
    predicted = dropping.predict(rows.select(range(3))).metrics
    assert predicted is not None and predicted["test_loss"] > 0
    assert len(dropping.get_train_dataloader()) == 48 // 4
