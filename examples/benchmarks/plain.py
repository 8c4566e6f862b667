"""The other side of the benchmarks: ELECTRA and MCL written plainly over transformers' two classes of a family.

As a competent user writes them after the public recipes for ELECTRA in PyTorch: a data collator masks, the generator
is called with `labels`, its samples go into a copy of the batch, the discriminator is called with `labels`, the losses
are added and sent back at once. Every choice that costs time is commented on.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)
from transformers.utils.generic import ModelOutput

from transformers_mcl import MclConfig

DETECTION_WEIGHT = 50.0


class PlainElectra(nn.Module):
    """One step's loss of replaced token detection, on clean rows of ids `(batch, length)` without padding."""

    def __init__(self, config: MclConfig):
        super().__init__()
        self.generator, self.discriminator = self.networks(config)
        self.generator.tie_weights()
        # All chosen tokens become [MASK], as in ELECTRA. The collator is called in the step: on the CPUs that this is
        # measured on, a worker process would take its time from the model.
        self.collator = DataCollatorForLanguageModeling(
            _tokenizer(config), mlm_probability=config.mask_ratio, mask_replace_prob=1.0, random_replace_prob=0.0
        )

    def networks(self, config: MclConfig) -> tuple[Any, Any]:
        """The generator, and the discriminator whose embeddings it has taken."""
        discriminator = ElectraForPreTraining(_electra_config(config))
        generator = ElectraForMaskedLM(_electra_config(config.generator_config()))
        if config.generator_shares == "all":
            generator.electra.embeddings = discriminator.electra.embeddings
        else:
            generator.set_input_embeddings(discriminator.get_input_embeddings())
        return generator, discriminator

    def masked(self, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masked ids, labels (-100 where nothing is masked) and attention mask, all `(batch, length)`."""
        # Rows come from the dataset with their special tokens marked, as run_mlm.py prepares them, and with an
        # attention mask, as tokenizers give one. Transformers sees that nothing is padded and drops it for SDPA.
        ones = torch.ones(clean.shape[1], dtype=torch.long)
        special = torch.zeros_like(ones)
        special[0] = special[-1] = 1
        marks = {"special_tokens_mask": special, "attention_mask": ones}
        batch = self.collator([{"input_ids": row, **marks} for row in clean.cpu()]).to(clean.device)
        return batch["input_ids"], batch["labels"], batch["attention_mask"]

    def filled(self, ids: Tensor, logits: Tensor, where: Tensor) -> Tensor:
        """`ids` with the generator's samples `where` it was asked."""
        # At the masked positions alone: to sample everywhere and keep a seventh, as some do, takes half as long again.
        samples = torch.multinomial(logits.detach()[where].float().softmax(-1), 1).squeeze(-1)
        filled = ids.clone()
        filled[where] = samples
        return filled

    def forward(self, clean: Tensor) -> Tensor:
        ids, labels, attention_mask = self.masked(clean)
        generated = self.generator(input_ids=ids, attention_mask=attention_mask, labels=labels)
        judged = self.filled(ids, generated.logits, labels != -100)
        replaced = (judged != clean).long()
        verdict = self.discriminator(input_ids=judged, attention_mask=attention_mask, labels=replaced)
        return generated.loss + DETECTION_WEIGHT * verdict.loss


class PlainMcl(PlainElectra):
    """One step's loss of all nine MCL losses, pass after pass."""

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.config = config

    def swapped(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Swapped ids, and labels (-100 where nothing is swapped), row by row."""
        ids, labels = clean.clone(), torch.full_like(clean, -100)
        for row in range(len(clean)):
            order = 1 + torch.randperm(clean.shape[1] - 2, device=clean.device)
            chosen = order[: round(self.config.swap_ratio * len(order))]
            ids[row, chosen] = clean[row, chosen.roll(1)]
            labels[row, chosen] = clean[row, chosen]
        return ids, labels

    def inserted(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Ids with `[MASK]` in random gaps, and where, row by row."""
        count = round(self.config.insert_ratio * (clean.shape[1] - 2))
        ids = clean.new_full((len(clean), clean.shape[1] + count), self.config.mask_token_id)
        where = torch.zeros_like(ids, dtype=torch.bool)
        for row in range(len(clean)):
            gaps = 1 + torch.randperm(clean.shape[1] - 1, device=clean.device)[:count].sort().values
            where[row, gaps + torch.arange(count, device=clean.device)] = True
            ids[row, ~where[row]] = clean[row]
        return ids, where

    def course(self, clean: Tensor, ids: Tensor, labels: Tensor, attention_mask: Tensor) -> Tensor:
        """A self-supervision course with labels for the generator, and its self-correction."""
        generated = self.generator(input_ids=ids, attention_mask=attention_mask, labels=labels)
        judged = self.filled(ids, generated.logits, labels != -100)
        replaced = judged != clean
        verdict = self.discriminator(input_ids=judged, attention_mask=attention_mask, labels=replaced.long())
        loss = generated.loss + DETECTION_WEIGHT * verdict.loss

        called = verdict.logits.detach() > 0
        caught, wrong = called & replaced, called != replaced
        again = self.generator(input_ids=torch.where(caught, ids, clean), attention_mask=attention_mask).logits
        # A sum, since no token may have been caught; over the operated positions, as ours.
        answers = clean.masked_fill(~caught, -100).flatten()
        regenerated = nn.functional.cross_entropy(again.flatten(0, 1), answers, reduction="sum")
        verdict = self.discriminator(input_ids=torch.where(caught, clean, judged), attention_mask=attention_mask)
        rediscriminated = nn.functional.binary_cross_entropy_with_logits(
            verdict.logits, replaced.float(), weight=wrong.float()
        )
        return loss + regenerated / (labels != -100).sum() + DETECTION_WEIGHT * rediscriminated

    def forward(self, clean: Tensor) -> Tensor:
        ids, labels, attention_mask = self.masked(clean)
        loss = self.course(clean, ids, labels, attention_mask)
        loss = loss + self.course(clean, *self.swapped(clean), attention_mask)
        ids, where = self.inserted(clean)
        longer = torch.ones_like(ids)
        with torch.no_grad():
            logits = self.generator(input_ids=ids, attention_mask=longer).logits
        judged = self.filled(ids, logits, where)
        verdict = self.discriminator(input_ids=judged, attention_mask=longer, labels=where.long())
        return loss + DETECTION_WEIGHT * verdict.loss


class Detector(nn.Module):
    """Any encoder under a linear head, called as `ElectraForPreTraining` is."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.encoder = AutoModel.from_config(config)
        self.head = nn.Linear(config.hidden_size, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> ModelOutput:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.head(hidden).squeeze(-1)
        return ModelOutput(loss=nn.functional.binary_cross_entropy_with_logits(logits, labels.float()), logits=logits)


class PlainFamily(PlainElectra):
    """[`PlainElectra`] of the family of `config.backbone_config`, which shares token embeddings."""

    def networks(self, config: MclConfig) -> tuple[Any, Any]:
        discriminator = Detector(config.backbone_config)
        generator = AutoModelForMaskedLM.from_config(config.generator_backbone_config)
        generator.set_input_embeddings(discriminator.encoder.get_input_embeddings())
        return generator, discriminator


class SamplingEverywhere:
    """For who avoids indexing by a mask: samples at all positions, of which a `where` keeps some."""

    def filled(self, ids: Tensor, logits: Tensor, where: Tensor) -> Tensor:
        samples = torch.distributions.Categorical(logits=logits.detach().float()).sample()
        return torch.where(where, samples, ids)


class PlainElectraSamplingEverywhere(SamplingEverywhere, PlainElectra):
    """[`PlainElectra`], sampling at all positions."""


class PlainMclSamplingEverywhere(SamplingEverywhere, PlainMcl):
    """[`PlainMcl`], sampling at all positions."""


def _electra_config(config: MclConfig) -> ElectraConfig:
    """Of the same shape, without what is MCL's."""
    names = ElectraConfig().to_dict().keys() - {"model_type", "architectures", "transformers_version", "dtype"}
    return ElectraConfig(**{name: getattr(config, name) for name in names if hasattr(config, name)})


def _tokenizer(config: MclConfig) -> PreTrainedTokenizerFast:
    """What the collator asks a tokenizer for: the size of its vocabulary and the special tokens."""
    special = {"[PAD]": config.pad_token_id, "[CLS]": config.cls_token_id}
    special |= {"[SEP]": config.sep_token_id, "[MASK]": config.mask_token_id}
    names = {index: name for name, index in special.items()}
    vocabulary = {names.get(index, f"token{index}"): index for index in range(config.vocab_size)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary)),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
