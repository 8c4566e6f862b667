"""All pairs judged on the same rows: generators on the same masks, discriminators on the tokens of one generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from tqdm import tqdm

from experiments.plan import going_on, parse
from transformers_mcl import MclConfig, MclDiscriminator, MclForMaskedLM
from transformers_mcl.io import read_json, write_json
from transformers_mcl.models.loading import without_bars
from transformers_mcl.models.pretraining import CourseRecord
from transformers_mcl.training.run import prepare
from transformers_mcl.training.trainer import evaluation_draws

__all__ = ["LAYOUT", "has_detector", "judge_alike"]

LAYOUT: dict[str, Any] = {"indent": 1, "sort_keys": True}
"""Of a file of results."""
KEY = "alike"
"""Of a result: `reference` and `sha256`, which pair's rows they were, `mlm_loss` and, of a detector, `rtd_auc`."""


@without_bars()  # but one of ours instead of two a pair
def judge_alike(folder: Path, reference: str, say: Callable[[str], object]) -> None:
    """Adds to each result in `folder/results` the loss of its generator and the area under its discriminator's curve.

    Both on held-out rows as the first seed of the run `reference` masks them and its generator fills them in: whatever
    share a pair masks itself, and whatever its own generator is worth. Without that run it says so. What was
    judged so before is not judged again; what was judged otherwise and is gone loses these figures.
    """
    runs = sorted((folder / "runs" / reference).glob("seed-*/done"), key=lambda path: int(path.parent.name[5:]))
    if not runs:
        say(f"the discriminators are not judged on the same rows: the run {reference!r}, which makes them, is missing")
        return
    run = runs[0].parent
    with (run / "pair" / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    by = {"reference": f"{reference}, {run.name}", "sha256": digest}
    results = {path: read_json(path) for path in sorted((folder / "results").glob("*.json"))}
    pairs = {path: result for path, result in results.items() if "pair" in result}  # and no encoder of others
    left = [path for path, result in pairs.items() if not by.items() <= result.get(KEY, {}).items()]
    if not left:
        return
    say(f"judging {len(left)} pairs on the rows of {by['reference']}")
    records = list(_records(yaml.safe_load((run / "job.yaml").read_text(encoding="utf-8")), run / "pair", folder))
    for path in tqdm(left):
        result = {key: value for key, value in results[path].items() if key != KEY}
        if (pair := folder / result["pair"]).is_dir():
            result[KEY] = by | {"mlm_loss": _loss(pair, records)}
            if has_detector(pair):
                result[KEY]["rtd_auc"] = _area(pair, records)
        write_json(path, result, **LAYOUT)


def has_detector(pair: Path) -> bool:
    """Whether a pair has learnt to detect replaced tokens: masked language modelling alone does not."""
    return bool(MclConfig.from_pretrained(pair).weights.get("rtd"))


@torch.no_grad()
def _records(job: dict[str, Any], pair: Path, folder: Path) -> Iterator[CourseRecord]:
    """What happens to the batches of held-out rows in replaced token detection."""
    given = {**going_on(job["pretrain"]), "model_name_or_path": str(pair), "output_dir": str(folder / "alike")}
    trainer = prepare(*parse("pretrain", given)).trainer
    model = trainer.model.eval().to(trainer.args.device)
    for number, batch in enumerate(trainer.get_eval_dataloader()):
        draws = evaluation_draws(trainer.args.eval_seed, number, "rtd", trainer.args.device)
        yield model(batch["input_ids"], courses=["rtd"], generator=draws, output_records=True).records["rtd"]


@torch.no_grad()
def _loss(pair: Path, records: list[CourseRecord]) -> float:
    """Of its generator at the masked places, in nats."""
    model = MclForMaskedLM.from_pretrained(pair).generator.eval().to(records[0].samples.device)
    total, count = 0.0, 0
    for record in records:
        masked = record.corruption
        logits = model.logits_at(masked.input_ids, masked.attention_mask, masked.positions)
        total += float(F.cross_entropy(logits.flatten(0, 1), masked.labels.flatten(), reduction="sum"))
        count += int(masked.valid.sum())
    return total / count


@torch.no_grad()
def _area(pair: Path, records: list[CourseRecord]) -> float:
    """Under its discriminator's receiver operating characteristic."""
    model = MclDiscriminator.from_pretrained(pair).eval().to(records[0].samples.device)
    scores = torch.cat([model(record.discriminator_input).logits.float().flatten() for record in records])
    labels = torch.cat([record.labels.flatten() for record in records if record.labels is not None])
    return float(roc_auc_score(labels.cpu(), scores.cpu()))
