"""From a pre-trained encoder to fine-tuned ones: what `transformers-mcl finetune` does, in steps Python can call."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from accelerate.utils import release_memory
from datasets import Dataset
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed
from transformers.utils import logging

from ..data.files import nearest_path, one_line
from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..evaluation.results import save_results
from ..hub.finetuned_card import finetuned_card
from ..loading import load_config
from .checkpoints import last_checkpoint
from .optimizers import layerwise_parameter_groups
from .task import Task
from .task_arguments import EncoderArguments, FinetuningArguments, TaskArguments
from .tasks import make_task

__all__ = ["Finetuning", "FinetuningTrainer", "Run", "load_encoder", "prepare_finetuning"]

logger = logging.get_logger(__name__)

_RUN = "run.json"
# Of the arguments, those that may differ between the commands that fill one output folder.
_FREE = {"output_dir", "task_name", "num_seeds", "seed", "sweep", "save_models", "overwrite_output_dir", "token"}
_FREE |= {"disable_tqdm", "resume_from_checkpoint", "cache_dir", "preprocessing_num_workers", "hub_token"}
_FREE |= {"train_file", "validation_file"}  # relative or absolute: the same files


class FinetuningTrainer(Trainer):
    """A plain Trainer whose model card is ours."""

    write_card: Callable[[], None] | None = None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        if self.write_card is not None and self.is_world_process_zero():
            self.write_card()


@dataclass(frozen=True)
class Run:
    """One training: a task, a seed, a point of the grid, and where it goes."""

    task: str
    seed: int
    settings: Mapping[str, Any]
    folder: Path

    def __str__(self) -> str:
        return ", ".join(
            [self.task, *(f"{name} {value}" for name, value in self.settings.items()), f"seed {self.seed}"]
        )


@dataclass
class Finetuning:
    """All the runs of a command, checked and ready: `run()` does those that are not done."""

    encoder: EncoderArguments
    args: FinetuningArguments
    tasks: dict[str, Task]
    tokenizer: PreTrainedTokenizerBase
    length: int | None
    runs: list[Run]
    recipe: dict[str, Any]
    rows: dict[str, dict[str, Dataset]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def done(self, run: Run) -> dict[str, Any] | None:
        """What a run left that has finished.

        Raises:
            UserError: its folder holds a run of other arguments, or something else.
        """
        path = run.folder / _RUN
        if self.encoder.overwrite_output_dir:
            return None
        if not path.is_file():
            if (run.folder / "config.json").exists():
                raise UserError(f"output_dir {run.folder} holds a model: choose another, or --overwrite_output_dir")
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        mine = {**self._identity(), "task": run.task, "seed": run.seed, **run.settings}
        for name in sorted({*found["arguments"], *mine}):
            before, now = (given.get(name, "not given") for given in (found["arguments"], mine))
            if before != now:
                raise UserError(
                    f"{path} is of a run with {name} {before}, which is now {now}: choose another output_dir, or "
                    "run it again with --overwrite_output_dir"
                )
        return found if found.get("metrics") is not None else None

    def _identity(self) -> dict[str, Any]:
        return {name: value for name, value in self.recipe.items() if name not in _FREE}

    def run(self, say: Callable[[str], None] = logger.info) -> str:
        """Trains and evaluates what is left to do, and writes the table and the picture after each run.

        Args:
            say: called with a line about each run.

        Returns:
            The table as Markdown.
        """
        results, table = [], ""
        for number, run in enumerate(self.runs, 1):
            result = self.done(run)
            say(f"[{number}/{len(self.runs)}] {run}{': done already' if result else ''}")
            if result is None:
                result = self._train(run)
                release_memory()  # the next model may need what this one held
                shown = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
                say(f"    {shown} ({result['seconds']:.0f} s)")
            results.append(result)
            if self.args.process_index == 0:
                versions = {"torch": torch.__version__, "transformers": transformers.__version__}
                name = Path(self.encoder.model_name_or_path).name
                table = save_results(results, self.folder, f"{name}, fine-tuned", model=name, versions=versions)
        return table

    def _train(self, run: Run) -> dict[str, Any]:
        task, began = self.tasks[run.task], time.perf_counter()
        args = _arguments(self.args, run.settings, seed=run.seed, output_dir=str(run.folder))
        arguments = {**self._identity(), "task": run.task, "seed": run.seed, **run.settings}
        if args.process_index == 0:
            run.folder.mkdir(parents=True, exist_ok=True)
            _write(run.folder / _RUN, {"arguments": arguments})  # not finished: it has no metrics
        model = load_encoder(self.encoder, task, run.seed)
        trainer = self._trainer(task, model, args)
        checkpoint = last_checkpoint(run.folder) if args.resume_from_checkpoint else None
        if args.do_train:
            trainer.train(resume_from_checkpoint=checkpoint)
        metrics = _figures(trainer.evaluate(), task)
        result = {"task": task.name, "main_metric": task.main_metric, "seed": run.seed, "settings": dict(run.settings)}
        result |= {"metrics": metrics, "steps": trainer.state.global_step, "seconds": time.perf_counter() - began}
        keep = self.encoder.save_models
        if keep or (keep is None and not self.encoder.sweep):
            trainer.write_card = lambda: self._card(task, run, metrics)
            trainer.save_model()
            if args.process_index == 0:
                (run.folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; the recipe says the same
                (run.folder / "recipe.yaml").write_text(yaml.safe_dump(self._recipe(run), sort_keys=False))
            trainer.create_model_card()
            if args.push_to_hub:
                trainer.push_to_hub()
        if args.process_index == 0:
            task.save_predictions(run.folder)
            _write(run.folder / _RUN, {**result, "arguments": arguments})
        return result

    def _trainer(self, task: Task, model: PreTrainedModel, args: FinetuningArguments) -> FinetuningTrainer:
        rows = self._rows(task, args)
        validations = {split.removeprefix("validation_"): rows[split] for split in task.validations}
        mixed = args.bf16 or args.fp16
        trainer = FinetuningTrainer(
            model,
            args,
            data_collator=task.collator(self.tokenizer, 8 if mixed else None),
            train_dataset=rows["train"],
            eval_dataset=validations if len(validations) > 1 else rows[task.validations[0]],
            processing_class=self.tokenizer,
            compute_metrics=task.metrics,
            optimizers=(_layerwise_optimizer(args, model), None),
        )
        # The heads' losses are means over the batch, whatever number of examples the Trainer would tell them of.
        trainer.model_accepts_loss_kwargs = False
        return trainer

    def _rows(self, task: Task, args: FinetuningArguments) -> dict[str, Dataset]:
        if task.name not in self.rows:  # one task's at a time
            length = task_length(self.length, task, self.tokenizer, self.encoder)
            with args.main_process_first(desc="tokenizing"):
                self.rows = {task.name: {s: task.encode(s, self.tokenizer, length) for s in task.tables}}
        return self.rows[task.name]

    def _recipe(self, run: Run) -> dict[str, Any]:
        """The arguments that repeat one run."""
        of_all = ("sweep", "num_seeds", "save_models", "output_dir")
        kept = {name: value for name, value in self.recipe.items() if name not in of_all}
        return {**kept, "task_name": [run.task], "seed": run.seed, **run.settings, "output_dir": str(run.folder)}

    def _card(self, task: Task, run: Run, metrics: Mapping[str, float]) -> None:
        card = finetuned_card(
            name=run.folder.name if len(self.runs) == 1 else f"{self.folder.name}-{task.name}",
            base_model=self.encoder.model_name_or_path,
            pipeline_tag=task.pipeline_tag,
            task=task.name,
            data=task.describe(),
            metrics={name: value for name, value in metrics.items() if not isinstance(value, int)},
            recipe=self._recipe(run),
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
        )
        card.save(run.folder / "README.md")


def prepare_finetuning(
    encoder: EncoderArguments, task_args: TaskArguments, args: FinetuningArguments, recipe: str = ""
) -> Finetuning:
    """Reads and checks everything, for all runs, before the first begins.

    Args:
        recipe: the arguments as YAML; a folder's finished runs are skipped only if it is the same.

    Raises:
        UserError: whatever the user can mend.
    """
    runs = _runs(encoder, task_args, args)
    hub = {"cache_dir": encoder.cache_dir, "token": encoder.token}
    tokenizer = load_tokenizer(
        encoder.tokenizer_name or encoder.model_name_or_path, revision=encoder.model_revision, **hub
    )
    tokenizer.padding_side = "right"  # "no answer" is the first token
    with args.main_process_first(desc="reading the data"):
        tasks = {name: make_task(name, task_args, **hub) for name in task_args.task_name}
    given = yaml.safe_load(recipe) or {}
    prepared = Finetuning(encoder, args, tasks, tokenizer, task_args.max_seq_length, runs, given)
    for run in runs:
        prepared.done(run)
    if args.train_sampling_strategy == "group_by_length" and any(task.ordered for task in tasks.values()):
        raise UserError("train_sampling_strategy=group_by_length would mix up the pieces of contexts; use random")
    for task in tasks.values():
        task.check(tokenizer, task_length(task_args.max_seq_length, task, tokenizer, encoder))
        load_encoder(encoder, task, args.seed)
    return prepared


def _runs(encoder: EncoderArguments, task_args: TaskArguments, args: FinetuningArguments) -> list[Run]:
    """All runs: by task, then by point of the grid, then by seed."""
    grid = encoder.sweep or {}
    known = {f.name for f in fields(FinetuningArguments)} - {"output_dir", "seed"}
    for name, values in grid.items():
        if name not in known:
            raise UserError(f"sweep: {name!r} is no training argument that can be swept")
        if not isinstance(values, list) or not values:
            raise UserError(f"sweep: {name} must be a list of values, not {values!r}")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    for point in points:
        _arguments(args, point)
    seeds = [args.seed + i for i in range(encoder.num_seeds)]
    folder, runs = Path(str(args.output_dir)), []
    single = len(task_args.task_name) * len(points) * len(seeds) == 1
    for task, point, seed in itertools.product(task_args.task_name, points, seeds):
        slug = ",".join(f"{name}={value}" for name, value in point.items()).replace("/", "_")
        runs.append(Run(task, seed, point, folder if single else folder / task / slug / f"seed-{seed}"))
    if args.push_to_hub and not single:
        raise UserError(f"push_to_hub: one model goes into one repository, and this would make {len(runs)}")
    return runs


def _arguments(args: FinetuningArguments, settings: Mapping[str, Any], **more: Any) -> FinetuningArguments:
    try:
        return replace(args, **{**settings, **more})
    except (ValueError, TypeError) as error:
        raise UserError(f"sweep: {dict(settings)} is refused: {one_line(error)}") from error


def load_encoder(encoder: EncoderArguments, task: Task, seed: int) -> PreTrainedModel:
    """The encoder under a head for `task`, whose new weights are those of `seed`.

    Raises:
        UserError: no such model, one without a head for the task, or a checkpoint that does not hold the encoder.
    """
    name = encoder.model_name_or_path
    hub = {"cache_dir": encoder.cache_dir, "revision": encoder.model_revision, "token": encoder.token}
    verbosity = logging.get_verbosity()
    set_seed(seed)
    try:
        config = AutoConfig.from_pretrained(name, **hub, **task.model_fields)
        logging.set_verbosity_error()  # new weights of the head are what is wanted
        model, info = task.auto.from_pretrained(
            name,
            config=config,
            attn_implementation=encoder.attn_implementation,
            ignore_mismatched_sizes=encoder.ignore_mismatched_sizes,
            output_loading_info=True,
            **hub,
        )
    except Exception as error:  # besides OSError and ValueError, whatever a damaged file leads to
        hint = "; if its head has other classes, give --ignore_mismatched_sizes" if "mismatch" in str(error) else ""
        raise UserError(f"model_name_or_path {name!r}: {one_line(error)}{hint}{nearest_path(name)}") from error
    finally:
        logging.set_verbosity(verbosity)
    missing = [key for key in info["missing_keys"] if ".layer" in key and key.startswith(model.base_model_prefix)]
    if missing:
        raise UserError(
            f"model_name_or_path {name!r} holds no weights of the encoder to fine-tune ({missing[0]} and "
            f"{len(missing) - 1} more are missing): a generator alone? Give the pair or its discriminator"
        )
    return model


def task_length(asked: int | None, task: Task, tokenizer: PreTrainedTokenizerBase, encoder: EncoderArguments) -> int:
    """The length at which rows are cut: as asked, else the task's usual one or what the model can take.

    Raises:
        UserError: it is more than the model can take.
    """
    config = load_config(
        encoder.model_name_or_path, cache_dir=encoder.cache_dir, revision=encoder.model_revision, token=encoder.token
    )
    most = min(getattr(config, "max_position_embeddings", None) or 10**9, tokenizer.model_max_length)
    if asked is not None and asked > most:
        raise UserError(f"max_seq_length={asked} is more than the {most} tokens that the model or its tokenizer takes")
    return asked or min(task.max_seq_length, most)


def _layerwise_optimizer(args: FinetuningArguments, model: PreTrainedModel) -> torch.optim.Optimizer | None:
    """The optimizer of the arguments with rates by layer; None, for the Trainer's own, if one rate is for all."""
    if args.layerwise_learning_rate_decay is None:
        return None
    kind, arguments = Trainer.get_optimizer_cls_and_kwargs(args, model)
    groups = layerwise_parameter_groups(
        model, args.learning_rate, args.layerwise_learning_rate_decay, args.weight_decay
    )
    optimizer: torch.optim.Optimizer = kind(groups, **arguments)
    return optimizer


def _figures(evaluated: Mapping[str, Any], task: Task) -> dict[str, float]:
    """The metrics without prefix; those of a second validation set end in `_mm`, as MNLI's always did."""
    figures = {}
    for name, value in evaluated.items():
        name = name.removeprefix("eval_")
        if name == "epoch" or name.endswith(("runtime", "per_second", "compilation_time")):
            continue
        mismatched = name.startswith("mismatched_")
        name = name.removeprefix("mismatched_").removeprefix("matched_")
        if math.isfinite(value):
            figures[f"{name}_mm" if mismatched else name] = value if isinstance(value, int) else float(value)
    first = [task.main_metric, f"{task.main_metric}_mm"]
    return {name: figures[name] for name in sorted(figures, key=lambda n: (n not in first, "loss" in n))}


def _write(path: Path, value: Any) -> None:
    """Whole or not at all."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
