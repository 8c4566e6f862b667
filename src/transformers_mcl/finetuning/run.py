"""From a pre-trained encoder to fine-tuned ones: what `transformers-mcl finetune` does, in steps Python can call."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml
from accelerate.utils import broadcast_object_list, release_memory
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..hub.finetuned_card import FinetunedCard
from ..hub.push import create_repository, push_folder
from ..io import one_line, versions, write_json
from ..models.loading import load_config
from ..training.checkpoints import check_checkpoint, last_checkpoint
from ..training.curves import plot_curves
from .arguments import MAIN_METRIC, EncoderArguments, FinetuningArguments, TaskArguments
from .encoders import hub_arguments, layerwise_optimizer, load_encoder, task_length
from .results import save_results, summarize_runs
from .task import Task
from .text_tasks import make_task

__all__ = ["Finetuning", "Run", "prepare_finetuning"]

logger = logging.get_logger(__name__)

_RUN = "run.json"
_LAST = re.compile("true", re.IGNORECASE)  # of resume_from_checkpoint, which is text: each run's own last one
# Of the arguments, those that may differ between the commands that fill one output folder: what is said of each run
# beside them (its task, seed and settings, hashes of its data and weights), what moves, and what only keeps or shows.
_FREE = {"output_dir", "task_name", "num_seeds", "seed", "sweep", "save_models", "overwrite_output_dir", "token"}
_FREE |= {"disable_tqdm", "resume_from_checkpoint", "cache_dir", "preprocessing_num_workers", "trust_remote_code"}
_FREE |= {"train_file", "validation_file", "test_file", "dataset_name", "dataset_config_name", "model_name_or_path"}
_FREE |= {"push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "model_revision", "report_to"}
# What an upload leaves out: files with folders of this machine in them, and what only evaluations read.
_LOCAL = [
    f"{PREFIX_CHECKPOINT_DIR}-*",
    f"{PREFIX_CHECKPOINT_DIR}-*/*",
    _RUN,
    "recipe.yaml",
    "*predict*",
    "null_odds.json",
]


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
    """All the runs of a command, checked and ready: `run()` does those that are not done.

    Attributes:
        recipe: the arguments that were given.
        sources: hashes of what each task's runs begin from: the checkpoint's weights, and the examples.
    """

    encoder: EncoderArguments
    args: FinetuningArguments
    tasks: dict[str, Task]
    tokenizer: PreTrainedTokenizerBase
    length: int | None
    runs: list[Run]
    recipe: dict[str, Any]
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, dict[str, Dataset]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(str(self.args.output_dir))

    @property
    def versions(self) -> dict[str, str]:
        return versions("torch", "transformers")

    def done(self, run: Run) -> dict[str, Any] | None:
        """What a run left that has finished.

        Raises:
            UserError: its folder holds a run of other arguments, or something else.
        """
        path = run.folder / _RUN
        if self.encoder.overwrite_output_dir:
            return None
        holds_model = (run.folder / "config.json").exists()
        if not path.is_file():
            if holds_model:
                raise UserError(f"output_dir {run.folder} holds a model: choose another, or --overwrite_output_dir")
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        mine = self._identity(run)
        for name in sorted({*found["arguments"], *mine}):
            before, now = (given.get(name, "not given") for given in (found["arguments"], mine))
            if before != now:
                raise UserError(
                    f"{path} is of a run with {name} {before}, which is now {now}: choose another output_dir, or "
                    "run it again with --overwrite_output_dir"
                )
        finished = found.get("metrics") is not None and (holds_model or not self.encoder.save_models)
        return found if finished else None

    def _identity(self, run: Run) -> dict[str, Any]:
        given = {name: value for name, value in self.recipe.items() if name not in _FREE}
        given |= {"task": run.task, "seed": run.seed, "processes": self.args.world_size, **run.settings}
        return given | self.sources[run.task]

    def run(self, say: Callable[[str], None] = logger.info) -> str:
        """Trains and evaluates what is left to do, and writes the table and the picture after each run; in the end
        the card of each task's best model, which it uploads if asked to.

        Args:
            say: called with a line about each run.

        Returns:
            The table as Markdown.
        """
        # One process decides for all: another may not see its files.
        found: list[dict[str, Any] | None] = broadcast_object_list([self.done(run) for run in self.runs])
        table = ""
        for number, run in enumerate(self.runs):
            say(f"[{number + 1}/{len(self.runs)}] {run}{': done already' if found[number] else ''}")
            if found[number] is None:
                found[number] = result = self._train(run, list(filter(None, found)))
                release_memory()  # the next model may need what this one held
                shown = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
                say(f"    {shown} ({result['seconds']:.0f} s)")
                if "loss" not in result["metrics"]:
                    say("    its loss is not a finite number: it diverged, a lower learning_rate may help")
            if self.args.process_index == 0:
                table = self._save_results(list(filter(None, found)), self.folder)
        for name in self.tasks:
            self._present([result for result in found if result and result["task"] == name], say)
        return table

    def _save_results(self, results: Sequence[Mapping[str, Any]], folder: Path) -> str:
        name = Path(self.encoder.model_name_or_path).name
        return save_results(results, folder, f"{name}, fine-tuned", model=name, versions=self.versions)

    def _train(self, run: Run, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        task, began = self.tasks[run.task], time.perf_counter()
        args = _arguments(self.args, run.settings, task, seed=run.seed, output_dir=str(run.folder))
        if args.process_index == 0:
            run.folder.mkdir(parents=True, exist_ok=True)
            if self.encoder.overwrite_output_dir:  # or it would be gone on from
                for old in run.folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
                    shutil.rmtree(old)
            write_json(run.folder / _RUN, {"arguments": self._identity(run)})  # not finished: it has no metrics
        model, _ = load_encoder(self.encoder, task, run.seed, args.do_train)
        trainer = self._trainer(task, model, args)
        trainer.accelerator.wait_for_everyone()
        if args.do_train:
            trainer.train(resume_from_checkpoint=_checkpoint(args))
        result = {"task": task.name, "main_metric": task.main_metric, "seed": run.seed, "settings": dict(run.settings)}
        result |= {"metrics": _figures(trainer.evaluate(), task), "steps": trainer.state.global_step}
        result["seconds"] = time.perf_counter() - began
        if (folder := self._model_folder(run, [*earlier, result])) is not None:
            self._save_model(trainer, task, run, folder)
        trainer.compute_metrics = None
        predicted = {split: trainer.predict(self._rows(task, args)[split]) for split in task.tests}
        if args.process_index == 0:
            task.save_predictions(run.folder)
            for split, found in predicted.items():
                task.save_predicted(split, found, run.folder)
            write_json(run.folder / _RUN, {**result, "arguments": self._identity(run)})
        return result

    def _model_folder(self, run: Run, results: Sequence[Mapping[str, Any]]) -> Path | None:
        """Where the model of the last of `results` is kept; in a sweep only the best so far of each task is."""
        if self._keeps_the_best_only:
            best = _best([result for result in results if result["task"] == run.task])
            return self.folder / run.task / "best" if best is results[-1] else None
        return run.folder if self.encoder.save_models is not False else None

    @property
    def _keeps_the_best_only(self) -> bool:
        return self.encoder.save_models is None and bool(self.encoder.sweep)

    def _save_model(self, trainer: Trainer, task: Task, run: Run, folder: Path) -> None:
        aside = folder if folder == run.folder else folder.with_name("best.tmp")
        trainer.save_model(str(aside))
        trainer.accelerator.wait_for_everyone()
        if trainer.args.process_index != 0:
            return
        (aside / "training_args.bin").unlink(missing_ok=True)  # a pickle; the recipe says the same
        (aside / "recipe.yaml").write_text(yaml.safe_dump(self._recipe(run), sort_keys=False))
        first = f"{_main_set(task)}{task.main_metric}"
        figures = {"Loss": f"{_main_set(task)}loss", task.main_metric: first, "Learning rate": "learning_rate"}
        history = [{_plain(name, task): value for name, value in log.items()} for log in trainer.state.log_history]
        plot_curves(history, aside / "curves.png", title=str(run), figures=figures)
        if aside != folder:  # whole or not at all
            shutil.rmtree(folder, ignore_errors=True)
            aside.replace(folder)

    def _trainer(self, task: Task, model: PreTrainedModel, args: FinetuningArguments) -> Trainer:
        rows = self._rows(task, args)
        validations = {split.removeprefix("validation_"): rows[split] for split in task.validations}
        mixed = args.bf16 or args.fp16
        trainer = Trainer(
            model,
            args,
            data_collator=task.collator(self.tokenizer, 8 if mixed else None),
            train_dataset=rows["train"],
            eval_dataset=validations if len(validations) > 1 else rows[task.validations[0]],
            processing_class=self.tokenizer,
            compute_metrics=task.metrics,
            optimizers=(layerwise_optimizer(args, model), None),
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
        of_all = ("sweep", "num_seeds", "save_models", "output_dir", "push_to_hub", "hub_model_id")
        kept = {name: value for name, value in self.recipe.items() if name not in of_all}
        return {**kept, "task_name": [run.task], "seed": run.seed, **run.settings, "output_dir": str(run.folder)}

    def _present(self, results: Sequence[Mapping[str, Any]], say: Callable[[str], None]) -> None:
        """Gives the models of a task that were kept their cards, the best one's with the table of all runs; uploads
        that one."""
        if self.args.process_index != 0:
            return
        best, task = _best(results), results[0]["task"]
        for result in results:
            (run,) = [
                r for r in self.runs if (r.task, r.seed, r.settings) == (task, result["seed"], result["settings"])
            ]
            folder = self.folder / task / "best" if self._keeps_the_best_only else run.folder
            if (self._keeps_the_best_only and result is not best) or not (folder / "config.json").exists():
                continue
            if result is not best:
                self._card(run, result, [result]).save(folder)
                continue
            if folder != self.folder:
                self._save_results(results, folder)
            self._card(run, result, results).save(folder)
            if len(results) > 1:
                say(f"The best model of {task} ({run}) is in {folder}")
            if name := self._repository(task):
                hub: dict[str, Any] = {"private": self.args.hub_private_repo, "token": self.args.hub_token}
                say(f"Pushed to {push_folder(folder, name, ignore=_LOCAL, **hub)}")

    def _card(self, run: Run, result: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> FinetunedCard:
        task, one = self.tasks[run.task], len(self.runs) == 1
        return FinetunedCard(
            name=self._repository(run.task) or (self.folder.name if one else f"{self.folder.name}-{run.task}"),
            base_model=self.encoder.model_name_or_path,
            model_type=load_config(self.encoder.model_name_or_path, **hub_arguments(self.encoder)).model_type,
            task=run.task,
            pipeline_tag=task.pipeline_tag,
            data=task.describe(),
            dataset=self.recipe.get("dataset_name"),
            result=result,
            entries=summarize_runs(among),
            recipe=self._recipe(run),
            versions=self.versions,
        )

    def _repository(self, task: str) -> str | None:
        """Where the model of a task goes on the Hub: of several tasks each has a repository of its own."""
        if not self.args.push_to_hub:
            return None
        name = self.args.hub_model_id or self.folder.resolve().name
        return name if len(self.tasks) == 1 else f"{name}-{task}"


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
    hub = hub_arguments(encoder)
    tokenizer = load_tokenizer(encoder.tokenizer_name or encoder.model_name_or_path, **hub)
    tokenizer.padding_side = "right"  # "no answer" is the first token
    predict = args.do_predict or bool(task_args.test_file)
    data = {"cache_dir": encoder.cache_dir, "token": encoder.token}
    with args.main_process_first(desc="reading the data"):
        tasks = {name: make_task(name, task_args, predict, **data) for name in task_args.task_name}
    given = yaml.safe_load(recipe) or {}
    prepared = Finetuning(encoder, args, tasks, tokenizer, task_args.max_seq_length, runs, given)
    if args.train_sampling_strategy == "group_by_length" and any(task.ordered for task in tasks.values()):
        raise UserError("train_sampling_strategy=group_by_length would mix up the pieces of contexts; use random")
    config = load_config(encoder.model_name_or_path, **hub)
    for task in tasks.values():
        task.adopt(config, args.do_train)
        task.check(tokenizer, task_length(task_args.max_seq_length, task, tokenizer, encoder))
        _arguments(args, {}, task)
        _, weights = load_encoder(encoder, task, args.seed, args.do_train)
        prepared.sources[task.name] = {"weights of the model": weights, "data": task.digest()}
    for run in runs:
        prepared.done(run)
        if args.resume_from_checkpoint:
            _checkpoint(replace(args, output_dir=str(run.folder)))
    if args.push_to_hub and args.process_index == 0:
        for name in tasks:
            create_repository(prepared._repository(name) or "", private=args.hub_private_repo, token=args.hub_token)
    return prepared


def _runs(encoder: EncoderArguments, task_args: TaskArguments, args: FinetuningArguments) -> list[Run]:
    """All runs: by task, then by point of the grid, then by seed."""
    grid = encoder.sweep or {}
    known = {f.name: f.default for f in fields(FinetuningArguments) if f.name not in ("output_dir", "seed")}
    for name, values in grid.items():
        if name not in known:
            raise UserError(f"sweep: {name!r} is no training argument that can be swept")
        if not isinstance(values, list) or not values:
            raise UserError(f"sweep: {name} must be a list of values, not {values!r}")
        for value in values:
            if not _is_like(value, known[name]):
                raise UserError(f"sweep: {name} cannot be {value!r}: its default is {known[name]!r}")
    points = [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*(list(dict.fromkeys(values)) for values in grid.values()))
    ]
    for point in points:
        _arguments(args, point)
    seeds = [args.seed + i for i in range(encoder.num_seeds)]
    folder, runs = Path(str(args.output_dir)), []
    single = len(task_args.task_name) * len(points) * len(seeds) == 1
    for task, point, seed in itertools.product(task_args.task_name, points, seeds):
        slug = ",".join(f"{name}={value}" for name, value in point.items()).replace("/", "_")
        runs.append(Run(task, seed, point, folder if single else folder / task / slug / f"seed-{seed}"))
    if not single and args.resume_from_checkpoint and not _LAST.fullmatch(str(args.resume_from_checkpoint)):
        raise UserError(
            f"resume_from_checkpoint={args.resume_from_checkpoint!r} is of one run, and these are {len(runs)}: give "
            "true, and each goes on with its own last checkpoint"
        )
    if args.push_to_hub and encoder.save_models is False:
        raise UserError("push_to_hub beside --save_models false: there would be no model to push")
    return runs


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value may stand where `default` does."""
    if isinstance(default, bool) or not isinstance(default, int | float):
        return isinstance(value, bool) == isinstance(default, bool) or default is None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (isinstance(default, float) or float(value).is_integer())


def _arguments(
    args: FinetuningArguments, settings: Mapping[str, Any], task: Task | None = None, **more: Any
) -> FinetuningArguments:
    """The arguments of one run: of a point of the grid, with the metric that chooses among its checkpoints."""
    more["push_to_hub"] = False  # what goes to the Hub is chosen when all runs are done
    if task is not None and args.metric_for_best_model is not None:
        more["metric_for_best_model"] = _metric_of(task, args.metric_for_best_model)
    try:
        return replace(args, **{**settings, **more})
    except (ValueError, TypeError) as error:
        raise UserError(f"sweep: {dict(settings)} is refused: {one_line(error)}") from error


def _metric_of(task: Task, asked: str) -> str:
    """The name that the Trainer gives to a metric; of two validation sets the first is meant."""
    name = task.main_metric if asked == MAIN_METRIC else asked.removeprefix("eval_")
    of_second = name.endswith("_mm") and len(task.validations) > 1
    name = name.removesuffix("_mm") if of_second else name.removeprefix(_main_set(task))
    if name not in (*task.metric_names, "loss"):
        raise UserError(
            f"metric_for_best_model={asked!r} is none of {task.name}: give one of {', '.join(task.metric_names)}, loss"
        )
    return f"mis{_main_set(task)}{name}" if of_second else f"{_main_set(task)}{name}"


def _main_set(task: Task) -> str:
    """What the Trainer puts before the figures of the main validation set, if there is another."""
    return "matched_" if len(task.validations) > 1 else ""


def _plain(name: str, task: Task) -> str:
    """A name in the Trainer's log; the loss in training is drawn beside that of the main validation set."""
    return f"{_main_set(task)}{name}" if name == "loss" else name


def _checkpoint(args: FinetuningArguments) -> str | None:
    """The checkpoint to go on from: the one named, or the last whole one of the run's folder.

    Raises:
        UserError: it is damaged, or none.
    """
    path = args.resume_from_checkpoint
    if _LAST.fullmatch(str(path)):
        path = last_checkpoint(str(args.output_dir))
    if path is not None:
        check_checkpoint(Path(path))
    return path


def _best(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of one task, the run with the highest main figure; the first of equals."""
    return max(results, key=lambda result: float(result["metrics"].get(result["main_metric"], -math.inf)))


def _figures(evaluated: Mapping[str, Any], task: Task) -> dict[str, float]:
    """The metrics without prefix; those of a second validation set end in `_mm`, as MNLI's always did."""
    figures = {}
    for name, value in evaluated.items():
        name = name.removeprefix("eval_")
        if name == "epoch" or name.endswith(("runtime", "per_second", "_time")):
            continue
        mismatched = name.startswith("mismatched_")
        name = name.removeprefix("mismatched_").removeprefix("matched_")
        if math.isfinite(value):
            figures[f"{name}_mm" if mismatched else name] = value if isinstance(value, int) else float(value)
    first = [task.main_metric, f"{task.main_metric}_mm"]
    return {name: figures[name] for name in sorted(figures, key=lambda n: (n not in first, "loss" in n))}
