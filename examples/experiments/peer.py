"""Trains an ELECTRA pair by somebody else's code: lucidrains' `electra-pytorch`, to check our ELECTRA against.

    pip install --no-deps electra-pytorch
    python examples/experiments/peer.py --config arguments.yaml --objective electra --output_dir peer

The arguments are those of `transformers-mcl pretrain`, and so are the text, the rows of each step, the pair as it
begins and the optimizer with its schedule. The peer masks, samples, labels and adds up the losses; the loop is plain
PyTorch. Of ours only the two networks are left, transformers' ELECTRA with the pair's heads. The folder that comes out
holds what a pre-training's does but for its card and its picture: what evaluates one evaluates the other.

What stays different from ours, of electra-pytorch 0.1.2 with the arguments that are nearest:

- Masked positions of a row: `ceil(ratio * length)`, special tokens counted. It means to stop at `ceil(ratio *
  ordinary)`, but looks for the excess among the row's first places and not among the chosen, so a row that begins with
  `[CLS]` may get one too many. We round the share of the ordinary tokens. Of a row with no other special tokens than
  `[CLS]` and `[SEP]` at its ends it masks 5 of 32, 20 of 128 or 77 of 512 places, and we 5, 19 or 77.
- Samples: the largest of the logits with Gumbel noise, of draws of 24 bits (none is above 17), at the masked places;
  ours inverts the cumulative distribution. The noise has the type of the logits, and in bfloat16 the samples are far
  from the softmax: the networks here give float32 logits whatever they compute in, as ours are sampled.
- The generator projects all places to the vocabulary, ours the masked ones: the same loss, more work and memory.
- Losses are means over a micro-batch, then over those of a step; ours are over all places of the step. The same for
  packed rows, where all hold about as many masked places.
- Padding is known by its id, by ours from the attention mask: the same places.
- One backward for both losses, ours by default one each: the same gradient.
- Other random numbers of the same seed, so other masks, samples and dropout.

The same by its arguments or anyway: all that is chosen becomes `[MASK]` (it would leave 15 % of it as it is), nothing
a random token; special tokens are never masked, but may be sampled; the generator's loss is over the masked places,
the discriminator's over all but padding, special tokens too; a sample that hits the original counts as original; no
gradient goes through the samples; the losses are added with the run's weights.

One process, float32 or bfloat16, no checkpoints on the way. Arguments that only save time or memory are not read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers.trainer_utils import speed_metrics

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from jobs import exit_status
from transformers_mcl import MclForPreTraining, MclTrainer, MclTrainingArguments
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.pretrain import preset_arguments
from transformers_mcl.data import DataArguments
from transformers_mcl.errors import UserError
from transformers_mcl.io import write_text
from transformers_mcl.method.documents import find_documents
from transformers_mcl.training.callbacks import summary_line
from transformers_mcl.training.report import results_table
from transformers_mcl.training.run import ModelArguments, PretrainingRun, prepare

# What the peer says of a batch, by its name and by that of ours.
FIGURES = {"loss": "loss", "mlm_loss": "mlm_loss", "disc_loss": "rtd_loss", "gen_acc": "rtd_masked_lm_accuracy"}


class Generator(nn.Module):
    """The pair's generator as the peer calls it: vocabulary logits `(batch, length, vocabulary)`."""

    def __init__(self, pair: MclForPreTraining):
        super().__init__()
        self.network = pair.generator

    def forward(self, input_ids: Tensor, **kwargs: Any) -> Tensor:
        return self.network(input_ids, **kwargs).logits.float()


class Discriminator(nn.Module):
    """The pair's discriminator as the peer calls it: logits `(batch, length)`, positive = replaced."""

    def __init__(self, pair: MclForPreTraining):
        super().__init__()
        self.encoder, self.head = pair.electra, pair.discriminator_predictions

    def forward(self, input_ids: Tensor, **kwargs: Any) -> Tensor:
        return self.head(self.encoder(input_ids, **kwargs).last_hidden_state).float()


def find_peer() -> Any:
    """The peer's class; its module is not typed, and need not be there."""
    try:
        return import_module("electra_pytorch").Electra
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: pip install --no-deps electra-pytorch") from error


def peer_of(pair: MclForPreTraining) -> nn.Module:
    """The peer's training of the networks of `pair`, as near to ours as its arguments allow."""
    config = pair.config
    return find_peer()(
        Generator(pair),
        Discriminator(pair),
        mask_prob=config.mask_ratio,
        replace_prob=1.0,
        random_token_prob=0.0,
        mask_token_id=config.mask_token_id,
        pad_token_id=config.pad_token_id,
        mask_ignore_token_ids=[config.cls_token_id, config.sep_token_id, config.mask_token_id],
        gen_weight=config.weights["mlm"],
        disc_weight=config.weights["rtd"],
        temperature=1.0,
    )


def check(model_args: ModelArguments, args: MclTrainingArguments) -> None:
    """Refuses what the peer or this loop cannot do, before any long work."""
    if model_args.objective != "electra":
        raise UserError(f"objective={model_args.objective}: the peer trains ELECTRA alone, give --objective electra")
    for name, weight in (model_args.loss_weights or {}).items():
        if weight and name not in ("mlm", "rtd"):
            raise UserError(f"loss_weights has {name}: the peer trains ELECTRA alone, with the losses mlm and rtd")
    for name, only in {"fp16": "in float32 or with --bf16", "resume_from_checkpoint": "from its beginning"}.items():
        if getattr(args, name):
            raise UserError(f"{name}={getattr(args, name)}: the peer is trained {only}, so leave it out")
    if args.world_size > 1:
        raise UserError(f"{args.world_size} processes: the peer is trained on one")


def batches_of_steps(trainer: MclTrainer) -> Iterator[tuple[float, list[dict[str, Tensor]]]]:
    """The epochs after each optimizer step, and its micro-batches in the order in which the trainer takes them."""
    loader, size = trainer.get_train_dataloader(), trainer.args.gradient_accumulation_steps
    for epoch in count():
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        batches = iter(loader)
        for first in range(0, len(loader), size):
            yield epoch + min((first + size) / len(loader), 1.0), list(islice(batches, size))


def train(run: PretrainingRun, peer: nn.Module) -> None:
    """Trains the pair inside the peer for the steps of the run, and logs and evaluates when the run would."""
    trainer, args, pair = run.trainer, run.trainer.args, run.model
    state: Any = trainer.state
    state.max_steps = run.steps
    state.compute_steps(args, run.steps)
    trainer.create_optimizer_and_scheduler(num_training_steps=run.steps)
    optimizer: Any = trainer.optimizer
    schedule: Any = trainer.lr_scheduler
    warmup, steps = args.get_batch_warmup(run.steps), batches_of_steps(trainer)
    sums = torch.zeros(len(FIGURES), device=args.device)
    for step in (bar := tqdm(range(1, run.steps + 1), disable=args.disable_tqdm)):
        pair.train()
        state.epoch, batches = next(steps)
        for whole in batches:
            batch = warmup.cut({name: values.to(args.device) for name, values in whole.items()}, step - 1)
            ids, mask = batch["input_ids"], batch.get("attention_mask")
            given = {"attention_mask": mask}
            if pair.config.document_attention:
                given["document_ids"] = find_documents(ids, pair.config.cls_token_id)
            with torch.autocast(args.device.type, torch.bfloat16, enabled=bool(args.bf16)):
                results = peer(ids, **given)
            (results.loss / len(batches)).backward()
            sums += torch.stack([getattr(results, name).detach() for name in FIGURES]) / len(batches)
            state.total_flos += trainer.floating_point_ops(batch)  # `step_flops`: of the method, not of the peer's way
            state.num_input_tokens_seen += ids.numel() if mask is None else int(mask.sum())
        if args.max_grad_norm:
            nn.utils.clip_grad_norm_(pair.parameters(), args.max_grad_norm)
        optimizer.step()
        rate = schedule.get_last_lr()[0]
        schedule.step()
        optimizer.zero_grad()
        state.global_step = step
        if args.logging_strategy == "steps" and step % state.logging_steps == 0:
            logs = dict(zip(FIGURES.values(), (sums / state.logging_steps).tolist(), strict=True))
            sums.zero_()
            trainer.log({**logs, "learning_rate": rate, "train_tokens_seen": state.num_input_tokens_seen})
            bar.write(f"step {step:>7}  {summary_line(logs)}")
        if args.eval_strategy == "steps" and step % state.eval_steps == 0:
            bar.write(f"step {step:>7}  {summary_line(trainer.evaluate())}")


def run(argv: Sequence[str]) -> None:
    """Trains, saves and evaluates, as `PretrainingRun.train` does."""
    model_args, data_args, training_args = parsed = parse_arguments(
        (ModelArguments, DataArguments, MclTrainingArguments),
        argv,
        prog="peer.py",
        description=(__doc__ or "").splitlines()[0],
        underlay=preset_arguments,
    )
    check(model_args, training_args)
    find_peer()
    prepared = prepare(model_args, data_args, training_args, parsed.recipe)
    print(prepared.plan(), flush=True)
    trainer, began = prepared.trainer, time.time()
    write_text(prepared.folder / "recipe.yaml", prepared.recipe)
    train(prepared, peer_of(prepared.model))
    metrics = speed_metrics("train", began, num_steps=prepared.steps) | {"total_flos": trainer.state.total_flos}
    trainer.log(metrics)
    trainer.save_model()
    trainer.save_state()
    trainer.save_metrics("train", metrics)
    trainer.save_metrics("eval", trainer.evaluate() | prepared.baselines)
    print(results_table(prepared.evaluation, prepared.baselines))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs; the exit status."""
    return exit_status("peer.py", lambda: run(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
