"""All discriminators judged on the same replaced tokens: those of one generator, whatever their own is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from job import read_json, write_json
from recipes import going_on, parse
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from transformers_mcl import MclDiscriminator
from transformers_mcl.training.pretraining import prepare
from transformers_mcl.training.trainer import evaluation_draws

__all__ = ["judge_alike"]

KEY = "one_generator"
"""Of a result: `reference`, whose generator it was, and `rtd_auc`."""


def judge_alike(folder: Path, reference: str, say: Callable[[str], object]) -> None:
    """Adds to each result in `folder/results` the area under the curve of its discriminator on the same text.

    Held-out rows, replaced by the generator of the first seed of the run `reference`. Without that run nothing is
    done; what was judged so before is not judged again.
    """
    runs = sorted((folder / "runs" / reference).glob("seed-*/done"), key=lambda path: int(path.parent.name[5:]))
    results = {path: read_json(path) for path in sorted((folder / "results").glob("*.json"))}
    name = f"{reference}, {runs[0].parent.name}" if runs else ""
    left = [path for path, result in results.items() if result.get(KEY, {}).get("reference") != name]
    if not runs or not left:
        return
    say(f"judging {len(left)} discriminators on the samples of the generator of {name}")
    job = yaml.safe_load((runs[0].parent / "job.yaml").read_text(encoding="utf-8"))
    batches = list(_replaced(job, runs[0].parent, folder))
    labels = torch.cat([label.flatten() for _, label in batches]).cpu()
    for path in tqdm(left):
        if (pair := folder / results[path]["pair"]).is_dir():
            scores = torch.cat([logits.flatten() for logits in _judged(pair, [ids for ids, _ in batches])])
            value = float(roc_auc_score(labels, scores))
            write_json(path, results[path] | {KEY: {"reference": name, "rtd_auc": value}})


@torch.no_grad()
def _replaced(job: dict[str, Any], run: Path, folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of held-out rows `(batch, length)` with replaced tokens, and where they are replaced."""
    given = {**going_on(job["pretrain"]), "model_name_or_path": str(run / "pair"), "output_dir": str(folder / "alike")}
    trainer = prepare(*parse("pretrain", given)).trainer
    model = trainer.model.eval().to(trainer.args.device)
    for number, batch in enumerate(trainer.get_eval_dataloader()):
        draws = evaluation_draws(trainer.args.eval_seed, number, "rtd", trainer.args.device)
        records = model(batch["input_ids"], courses=["rtd"], generator=draws, output_records=True).records
        yield records["rtd"].discriminator_input, records["rtd"].labels


@torch.no_grad()
def _judged(pair: Path, batches: list[Tensor]) -> Iterator[Tensor]:
    """Logits `(batch, length)` of a discriminator."""
    model = MclDiscriminator.from_pretrained(pair).eval().to(batches[0].device)
    for ids in batches:
        yield model(ids).logits.float().cpu()
