"""How good a checkpoint is, on held-out data: what a soup is weighted, chosen and learnt by. More is better."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments
from transformers.utils import logging

from ..data import DataArguments, DataCollatorForMcl, load_tokenizer, tokenize_and_pack
from ..data.corpus import read_files
from ..data.files import find_files
from ..errors import UserError, check_name
from ..evaluation.evaluation import EVALUATIONS
from ..evaluation.halves import ScorerName, open_scorer
from ..evaluation.minimal_pairs import MinimalPairs, Pair, PairsArguments, PairScorer, load_pairs
from ..finetuning.arguments import TaskArguments
from ..finetuning.loading import Wanted, load_task
from ..finetuning.task import TASKS, LoadedTask
from ..method.courses import all_losses
from ..models.configuration_mcl import MclConfig
from ..models.loading import open_whole, with_trust
from ..models.pretraining import MclForPreTraining
from ..models.structure import longest_row
from ..training.preflight import check_seq_length
from ..training.trainer import evaluation_draws
from .ingredients import Ingredient, common_config
from .score_arguments import PRETRAINING_LOSS, ScoreArguments

__all__ = ["LossScore", "PairsScore", "PretrainingLoss", "Score", "TaskScore", "make_score"]

Folder = str | os.PathLike[str]


class Score(ABC):
    """Says how good the checkpoint in a folder is; call it with the folder. The same for every checkpoint.

    Attributes:
        name: what is measured: `"pretraining_loss"`, `"cola matthews_correlation"`, `"blimp accuracy"`.
        is_loss: whether the score is a loss with a minus before it.
        source: the data, for people.
    """

    name: str
    source: str
    is_loss = False

    @abstractmethod
    def __call__(self, folder: Folder) -> float:
        """The score of the checkpoint in `folder` (or of that name on the Hub); a loss is negated.

        Raises:
            UserError: it is no checkpoint that can be scored so.
        """

    def __str__(self) -> str:
        return f"{'minus ' if self.is_loss else ''}{self.name} on {self.source}"


class LossScore(Score):
    """A score with a gradient: minus a loss, which is a sum of parts."""

    is_loss = True

    @abstractmethod
    def load(self, folder: Folder) -> PreTrainedModel:
        """The model, in float32, without dropout, on the device."""

    @abstractmethod
    def losses(self, model: PreTrainedModel) -> Iterator[Tensor]:
        """The parts of the loss, scalars with gradient: a batch's, or a course's of a batch.

        A backward of each before the next is asked for adds up the gradient of the whole, in one batch's memory.
        """

    def __call__(self, folder: Folder) -> float:
        model = self.load(folder)
        with torch.no_grad():
            return -sum(part.item() for part in self.losses(model))


class PretrainingLoss(LossScore):
    """The held-out pre-training loss of a pair, as [`MclTrainer.evaluate`] gives it: the same rows, the same draws and
    the same weights of the nine losses for every checkpoint.

    Args:
        config: its `loss_weights`, ratios and `correction_average` are every checkpoint's.
        rows: packed rows with `input_ids`.
        tokenizer: for padding, where rows differ in length.
        source: the rows, for people.
        batch_size: the draws depend on it.
        seed: of the draws.
        device: where; the CPU by default.
        hub: `token`, `cache_dir` and the like, of `from_pretrained`.
    """

    name = PRETRAINING_LOSS

    def __init__(
        self,
        config: MclConfig,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        source: str = "",
        *,
        batch_size: int = 32,
        seed: int = 0,
        device: torch.device | None = None,
        **hub: Any,
    ):
        self.config, self.rows, self.batch_size, self.seed, self.hub = config, rows, batch_size, seed, hub
        self.device = device or torch.device("cpu")
        self.collator = DataCollatorForMcl(tokenizer)
        self.source = source or f"{len(rows):,} rows"

    def load(self, folder: Folder) -> PreTrainedModel:
        config = MclConfig.from_dict(self.config.to_dict())
        return _load(MclForPreTraining, folder, self.name, self.device, config=config, **self.hub)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """`input_ids` `(batch, length)`, and `attention_mask` if rows differ in length."""
        for begin in range(0, len(self.rows), self.batch_size):
            rows = self.rows[begin : begin + self.batch_size]["input_ids"]
            yield {
                name: value.to(self.device) for name, value in self.collator([{"input_ids": r} for r in rows]).items()
            }

    def losses(self, model: PreTrainedModel) -> Iterator[Tensor]:
        items = self._items(model)
        with logging.tqdm(total=len(self.rows), unit="row", desc=self.name, leave=False) as bar:
            for number, batch in enumerate(self.batches()):
                for output in self._outputs(model, number, batch, items[number]):
                    yield output.loss
                bar.update(len(batch["input_ids"]))

    def _outputs(
        self, pair: Any, number: int, batch: dict[str, Tensor], items: Mapping[str, Tensor] | None = None
    ) -> Iterator[Any]:
        """A course's of a batch, one after the other."""
        for course in pair.active_courses:
            draws = evaluation_draws(self.seed, number, course, self.device)
            yield pair(**batch, courses=(course,), generator=draws, num_items_in_batch=items)

    def _items(self, pair: Any) -> list[dict[str, Tensor]]:
        """What each batch's losses are divided by, for their sum to be the mean over the places of all batches.

        How many places a correction has that is averaged over its own cells is known once it was run.
        """
        counts: list[dict[str, Tensor]] = []
        cells: list[dict[str, Tensor]] = []
        own = self.config.correction_average == "own"
        corrections = {name for name, loss in all_losses().items() if loss.corrects and own}
        for number, batch in enumerate(self.batches()):
            with torch.no_grad():
                found = [output.metrics for output in self._outputs(pair, number, batch)] if own else []
            cells.append({name: sums[name][1] for sums in found for name in corrections & sums.keys()})
            counts.append({**pair.count_items(**batch, training=False), **cells[-1]})
        total = {name: torch.stack([count[name] for count in counts]).sum(0).clamp(min=1) for name in counts[0]}
        # The pair itself multiplies by a batch's own cells.
        return [total | {name: total[name] / count.clamp(min=1) for name, count in its.items()} for its in cells]


class TaskScore(LossScore):
    """A figure of fine-tuned checkpoints on their task's (first) validation set; nothing is trained.

    Args:
        task: with its examples.
        tokenizer: the checkpoints'.
        config: a checkpoint's configuration, whose labels count as it was trained with them.
        metric: one of the task's, the greater the better, or `"loss"`; by default its main one.
        length: of a row in tokens; by default the task's.
        batch_size: rows at a time.
        device: where; the CPU by default.
        hub: `token`, `cache_dir` and the like, of `from_pretrained`.

    Raises:
        UserError: labels that the checkpoints do not know.
    """

    def __init__(
        self,
        task: LoadedTask,
        tokenizer: PreTrainedTokenizerBase,
        config: Any,
        metric: str | None = None,
        *,
        length: int | None = None,
        batch_size: int = 64,
        device: torch.device | None = None,
        **hub: Any,
    ):
        _count_labels_as(task, config)
        self.task, self.tokenizer, self.batch_size, self.hub = task, tokenizer, batch_size, hub
        self.metric = metric or task.main_metric
        self.is_loss = self.metric == "loss"
        self.device = device or torch.device("cpu")
        with torch.device("meta"):
            model = task.auto.from_config(config, **with_trust({}))
        most = min(longest_row(model) or tokenizer.model_max_length, tokenizer.model_max_length)
        if length is not None and length > most:
            raise UserError(f"max_seq_length={length} is more than the {most} tokens that the ingredients take")
        self.length = length or min(task.max_seq_length, most)
        task.check(tokenizer, self.length)
        self.name = f"{task.name} {self.metric}"
        self.source = f"{len(task.tables[task.validations[0]]):,} examples"

    @cached_property
    def rows(self) -> Dataset:
        """The validation set, tokenized."""
        return self.task.encode(self.task.validations[0], self.tokenizer, self.length)

    def load(self, folder: Folder) -> PreTrainedModel:
        return _load(self.task.auto, folder, f"score {self.task.name}", self.device, **self.hub)

    def trainer(self, model: PreTrainedModel, folder: str) -> Trainer:
        """What evaluates; it writes nothing into `folder`, but wants one."""
        args = TrainingArguments(
            folder,
            per_device_eval_batch_size=self.batch_size,
            use_cpu=self.device.type == "cpu",
            report_to="none",
            disable_tqdm=not logging.is_progress_bar_enabled(),
        )
        collator = self.task.collator(self.tokenizer, None)
        return Trainer(model, args, collator, processing_class=self.tokenizer, compute_metrics=self.task.metrics)

    def losses(self, model: PreTrainedModel) -> Iterator[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            loader = self.trainer(model, folder).get_eval_dataloader(self.rows)
        for batch in loader:
            yield model(**batch).loss * len(batch["input_ids"]) / len(self.rows)

    def __call__(self, folder: Folder) -> float:
        if self.is_loss:
            return super().__call__(folder)
        with tempfile.TemporaryDirectory() as nothing:
            figures = self.trainer(self.load(folder), nothing).evaluate(self.rows)
        if (found := figures.get(f"eval_{self.metric}")) is None:
            given = [name.removeprefix("eval_") for name in figures]
            known = [name for name in given if not name.endswith(("time", "per_second"))]
            raise UserError(f"metric={self.metric!r} is none of {self.task.name}: choose from {', '.join(known)}")
        return float(found)


class PairsScore(Score):
    """The share of minimal pairs, BLiMP's or others, in which the acceptable sentence is the likelier one.

    Args:
        pairs: as `load_pairs` gives them.
        tokenizer: the checkpoints'.
        scorer: which half judges, `"generator"` or `"discriminator"`.
        source: the pairs, for people.
        name: what is measured.
        batch_size: rows in a forward pass.
        device: where; the CPU by default.
        hub: `token`, `cache_dir` and the like, of `from_pretrained`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        tokenizer: PreTrainedTokenizerBase,
        scorer: ScorerName = "generator",
        source: str = "",
        *,
        name: str = "blimp accuracy",
        batch_size: int = 128,
        device: torch.device | None = None,
        **hub: Any,
    ):
        self.pairs, self.tokenizer, self.scorer, self.batch_size, self.hub = pairs, tokenizer, scorer, batch_size, hub
        self.device = device or torch.device("cpu")
        self.name, self.source = name, source or f"{len(pairs):,} pairs"
        self._encoded: Any = None

    def __call__(self, folder: Folder) -> float:
        model: Any = open_scorer(str(folder), self.scorer, **self.hub)
        scorer = PairScorer(model.to(self.device), self.tokenizer, self.scorer, batch_size=self.batch_size)
        self._encoded = self._encoded or scorer.encode(self.pairs)
        rows = scorer.count_rows(self._encoded)
        with logging.tqdm(total=rows, unit="row", unit_scale=True, desc=self.name, leave=False) as bar:
            return float(scorer.score(self._encoded, bar.update).correct.mean())


def make_score(args: ScoreArguments, ingredients: Sequence[Ingredient]) -> Score:
    """The score that `args` names, made to fit the ingredients: their tokenizer, all losses that one of them had.

    Raises:
        UserError: data that are missing or cannot be read, or ingredients that cannot be scored so.
    """
    tokenizer = _tokenizer(args, ingredients)
    device = PartialState(cpu=args.use_cpu).device
    common: dict[str, Any] = {"device": device, **ingredients[0].hub}
    if args.per_device_eval_batch_size:
        common["batch_size"] = args.per_device_eval_batch_size
    if args.score in (None, PRETRAINING_LOSS):
        return _pretraining_loss(args, ingredients, tokenizer, common)
    pair_sets = {name: found.pair_set for name, found in EVALUATIONS.items() if isinstance(found, MinimalPairs)}
    if (pair_set := pair_sets.get(args.score)) is not None:
        which = PairsArguments(args.validation_file, args.limit, args.eval_seed)
        pairs = load_pairs(which, args.cache_dir, pair_set)
        source = f"{len(pairs):,} pairs of {_names(args.validation_file) or pair_set.source}, {args.scorer}"
        return PairsScore(pairs, tokenizer, args.scorer, source, name=f"{args.score} accuracy", **common)
    check_name("score", args.score, [PRETRAINING_LOSS, *pair_sets, *TASKS])
    task_args = TaskArguments(
        task_name=[args.score],
        dataset_name=args.dataset_name,
        validation_file=args.validation_file,
        text_column_names=args.text_column_names,
        label_column_name=args.label_column_name,
        max_eval_samples=args.max_eval_samples,
    )
    hub = {name: value for name, value in ingredients[0].hub.items() if name in ("cache_dir", "token")}
    task = load_task(TASKS[args.score], task_args, Wanted(train=False), ingredients[0].config, **hub)
    return TaskScore(task, tokenizer, ingredients[0].config, args.metric, length=args.max_seq_length, **common)


def _pretraining_loss(
    args: ScoreArguments,
    ingredients: Sequence[Ingredient],
    tokenizer: PreTrainedTokenizerBase,
    common: Mapping[str, Any],
) -> PretrainingLoss:
    config = common_config(ingredients)
    if not isinstance(config, MclConfig) or config.architectures != ["MclForPreTraining"]:
        kind = ", ".join(config.architectures or [config.model_type])
        raise UserError(f"score={PRETRAINING_LOSS}: the ingredients ({kind}) are no MCL pairs; choose another --score")
    if not args.validation_file:
        raise UserError(f"score={PRETRAINING_LOSS} needs held-out text: give --validation_file")
    if args.loss_weights is not None:
        config = MclConfig.from_dict({**config.to_dict(), "loss_weights": args.loss_weights})
    length = args.max_seq_length or min(128, config.max_position_embeddings)
    check_seq_length(config, length)
    data_args = DataArguments(
        text_column=args.text_column,
        document_attention=config.document_attention,
        max_eval_samples=args.max_eval_samples,
    )
    text = read_files(find_files(args.validation_file, "validation_file"), data_args, args.cache_dir)
    packed, _ = tokenize_and_pack(DatasetDict(validation=text), tokenizer, data_args, max_seq_length=length)
    rows = packed["validation"]
    weights = ", ".join(f"{name} {weight:g}" for name, weight in config.weights.items() if weight)
    source = f"{len(rows):,} rows of {length} tokens of {_names(args.validation_file)} (weights: {weights})"
    return PretrainingLoss(config, rows, tokenizer, source, seed=args.eval_seed, **common)


def _names(files: Sequence[str] | None) -> str:
    """For a card, which says nothing of the machine's folders."""
    return ", ".join(os.path.basename(file) or file for file in files or ())


def _tokenizer(args: ScoreArguments, ingredients: Sequence[Ingredient]) -> PreTrainedTokenizerBase:
    """The first ingredient's that has one."""
    hub = ingredients[0].hub
    if args.tokenizer_name:
        return load_tokenizer(args.tokenizer_name, **hub)
    found = next((ingredient for ingredient in ingredients if ingredient.file("tokenizer_config.json")), None)
    if found is None:
        raise UserError("no ingredient has a tokenizer beside it: give --tokenizer_name")
    return load_tokenizer(found.folder, **hub)


def _load(kind: Any, folder: Folder, what: str, device: torch.device, **arguments: Any) -> PreTrainedModel:
    """In float32 and without dropout; all weights must be there."""
    model = open_whole(kind, folder, f"{what}: {os.fspath(folder)!r}", **arguments)
    opened: PreTrainedModel = model.eval().to(device)
    return opened


def _count_labels_as(task: LoadedTask, config: Any) -> None:
    """Has the task number its labels as the checkpoints were trained to, whatever order its examples suggest."""
    classes = task.classes
    if not classes:
        return
    theirs = [str(config.id2label[i]) for i in sorted(config.id2label)]
    unnamed = theirs == [f"LABEL_{i}" for i in range(len(theirs))] and len(theirs) == len(classes)
    if not unnamed and sorted(map(str.lower, theirs)) != sorted(map(str.lower, classes)):
        raise UserError(
            f"score={task.name}: its labels are {', '.join(classes)}, the ingredients' are {', '.join(theirs)}"
        )
    task.adopt(config, trains=False)
