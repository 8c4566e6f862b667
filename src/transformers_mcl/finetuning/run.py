"""From a pre-trained encoder to fine-tuned ones: what `transformers-mcl finetune` does, in steps Python can call."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import yaml
from accelerate.utils import broadcast_object_list, release_memory
from datasets import Dataset
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ..data.collator import padding_multiple
from ..data.tokenizer import fit_tokenizer, load_tokenizer
from ..errors import UserError
from ..hub.push import create_repository, push_folder
from ..io import check_writable, files_into, load_json, versions, write_json, write_text
from ..locks import claimed
from ..models.loading import load_config
from ..training.checkpoints import own_checkpoints, remove_all
from ..training.curves import plot_curves
from ..training.preflight import refusing
from .adapters import add_adapter, merge_adapter
from .arguments import EncoderArguments, FinetuningArguments, TaskArguments
from .card import FinetunedCard
from .encoders import check_vocabulary, layerwise_optimizer, load_encoder, own_names, task_length
from .figures import best_result, diverged, evaluation_figures, trainer_name
from .grid import Run, checkpoint_of, plan_runs, run_arguments
from .loading import Wanted, load_task
from .results import save_results, summarize_runs
from .task import LoadedTask, find_task
from .trainer import TaskTrainer, early_stopping

__all__ = ["Finetuning", "prepare_finetuning"]

logger = logging.get_logger(__name__)

_RUN = "run.json"
# Of the arguments, those that may differ between the commands that fill one output folder: what is said of each run
# beside them (its task, seed and settings, hashes of its data and weights), what moves, and what only keeps or shows.
_FREE = {"output_dir", "task_name", "num_seeds", "seed", "sweep", "save_models", "overwrite_output_dir", "token"}
_FREE |= {"disable_tqdm", "resume_from_checkpoint", "cache_dir", "preprocessing_num_workers", "trust_remote_code"}
_FREE |= {"train_file", "validation_file", "test_file", "dataset_name", "dataset_config_name", "model_name_or_path"}
_FREE |= {
    "language",
    "license",
    "push_to_hub",
    "hub_model_id",
    "hub_token",
    "hub_private_repo",
    "model_revision",
    "report_to",
}
# What an upload leaves out: files with folders of this machine in them, and what only evaluations read.
_LOCAL = [f"{PREFIX_CHECKPOINT_DIR}-*", f"{PREFIX_CHECKPOINT_DIR}-*/*", _RUN, "recipe.yaml", "*predict*"]
_LOCAL += ["null_odds.json", "figures_by_class.json", "*.tsv", "adapter", "adapter/*"]


def prepare_finetuning(
    encoder: EncoderArguments, task_args: TaskArguments, args: FinetuningArguments, recipe: str = ""
) -> Finetuning:
    """Reads and checks everything, for all runs, before the first begins.

    Args:
        recipe: the arguments as YAML; a folder's finished runs are skipped only if it is the same.

    Raises:
        UserError: whatever the user can mend.
    """
    _quiet_replica(args)
    runs = plan_runs(encoder, task_args, args)
    check_writable(str(args.output_dir))
    with refusing("optim"):
        Trainer.get_optimizer_cls_and_kwargs(args)
    hub = encoder.hub
    config = load_config(encoder.model_name_or_path, **hub)
    tokenizer = load_tokenizer(encoder.tokenizer_name or encoder.model_name_or_path, **hub)
    tokenizer.padding_side = "right"  # "no answer" is the first token
    with args.main_process_first(desc="reading the data"):
        tasks = _load_tasks(encoder, task_args, args, None if args.do_train else config)
    given = yaml.safe_load(recipe) or {}
    prepared = Finetuning(encoder, args, tasks, tokenizer, task_args.max_seq_length, runs, given)
    for task in tasks.values():
        task.adopt(config, args.do_train)
        for point in ({}, *(run.settings for run in runs)):
            settled = run_arguments(args, point, task)
            task.check_arguments(settled)
            if encoder.lora and settled.layerwise_learning_rate_decay is not None:
                raise UserError(
                    "layerwise_learning_rate_decay has no meaning beside lora, which trains no layer itself"
                )
        model, weights = load_encoder(encoder, task, args.seed, args.do_train)
        check_vocabulary(tokenizer, model)
        fit_tokenizer(tokenizer, model)
        task.check(tokenizer, task_length(task_args.max_seq_length, task, tokenizer, model))
        if encoder.lora:
            add_adapter(model, encoder, task)
        prepared.origins[task.name] = {"weights of the model": weights, "data": task.digest()}
    for run in runs:
        prepared.done(run)
        if args.resume_from_checkpoint:
            checkpoint_of(replace(args, output_dir=str(run.folder)))
    if args.push_to_hub and args.process_index == 0:
        for name in tasks:
            create_repository(prepared.repository(name) or "", private=args.hub_private_repo, token=args.hub_token)
    return prepared


def _quiet_replica(args: FinetuningArguments) -> None:
    """Has all processes but the first say no more than `log_level_replica`, so that a warning stands once."""
    if args.process_index == 0:
        return
    level = args.get_process_log_level()
    for name in ("transformers_mcl", "transformers", "datasets"):
        getLogger(name).setLevel(level)
    if level >= ERROR:
        warnings.simplefilter("ignore")


def _load_tasks(
    encoder: EncoderArguments,
    task_args: TaskArguments,
    args: FinetuningArguments,
    checkpoint: PreTrainedConfig | None,
) -> dict[str, LoadedTask]:
    """The tasks with those of their examples that these arguments need."""
    predict = args.do_predict or bool(task_args.test_file)
    evaluate = args.do_eval if args.do_train or predict or args.do_eval is not None else True
    wanted = Wanted(args.do_train, evaluate, predict, args.seed)
    if not (wanted.train or wanted.evaluate is not False or wanted.predict):
        raise UserError("nothing to do: give one of --do_train, --do_eval and --do_predict true")
    data = {"cache_dir": encoder.cache_dir, "token": encoder.token}
    tasks = {n: load_task(find_task(n), task_args, wanted, checkpoint, **data) for n in task_args.task_name}
    for name, task in tasks.items():
        if task.validations:
            continue
        for asked in ("load_best_model_at_end", "sweep"):
            if getattr(args, asked, None) or getattr(encoder, asked, None):
                raise UserError(
                    f"{asked}: {name} has no examples to choose by: give --validation_file or "
                    "--validation_split_percentage"
                )
    return tasks


@dataclass
class Finetuning:
    """All the runs of a command, checked and ready: `run()` does those that are not done.

    Attributes:
        recipe: the arguments that were given.
        origins: hashes of what each task's runs begin from: the checkpoint's weights, and the examples.
    """

    encoder: EncoderArguments
    args: FinetuningArguments
    tasks: dict[str, LoadedTask]
    tokenizer: PreTrainedTokenizerBase
    length: int | None
    runs: list[Run]
    recipe: dict[str, Any]
    origins: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, dict[str, Dataset]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def run(self, say: Callable[[str], None] = logger.info) -> str:
        """Trains and evaluates what is left to do, and writes the table and the picture after each run; in the end
        the card of each task's best model, which it uploads if asked to. `say` is told a line about each run.

        Returns:
            The table as Markdown.

        Raises:
            UserError: another process writes into the output folder, or every run diverged.
        """
        with claimed(self.folder, process_index=self.args.process_index):
            return self._run(say)

    def _run(self, say: Callable[[str], None]) -> str:
        # One process decides for all: another may not see its files.
        found: list[dict[str, Any] | None] = broadcast_object_list([self.done(run) for run in self.runs])
        table = ""
        for number, run in enumerate(self.runs):
            say(f"[{number + 1}/{len(self.runs)}] {run}{': done already' if found[number] else ''}")
            if found[number] is None:
                found[number] = result = self._train(run, list(filter(None, found)))
                release_memory()  # the next model may need what this one held
                shown = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
                say(f"    {shown or 'not evaluated'} ({result['seconds']:.0f} s)")
                if result["diverged"]:
                    say("    its loss or weights are not finite: it diverged, a lower learning_rate may help")
            if self.args.process_index == 0:
                table = self._save_results(list(filter(None, found)), self.folder)
        for name in self.tasks if self.args.process_index == 0 else ():
            done = [(run, result) for run, result in zip(self.runs, found, strict=True) if result is not None]
            self._present([(run, result) for run, result in done if run.task == name], say)
        if lost := [name for name in self.tasks if all(r.get("diverged") for r in found if r and r["task"] == name)]:
            raise UserError(
                f"every run of {', '.join(lost)} diverged, and none is the best: give a lower learning_rate, or "
                "--max_grad_norm 1"
            )
        return table

    def _train(self, run: Run, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        task, began = self.tasks[run.task], time.perf_counter()
        args = run_arguments(self.args, run.settings, task, seed=run.seed, output_dir=str(run.folder))
        if args.process_index == 0:
            run.folder.mkdir(parents=True, exist_ok=True)
            if self.encoder.overwrite_output_dir:  # or it would be gone on from
                remove_all(run.folder)
        model, _ = load_encoder(self.encoder, task, run.seed, args.do_train)
        adapts = self.encoder.lora and args.do_train
        trainer = self._trainer(task, add_adapter(model, self.encoder, task) if adapts else model, args)
        trainer.accelerator.wait_for_everyone()
        checkpoint = checkpoint_of(args) if args.do_train else None
        trainer.check_resumable(checkpoint)
        if args.process_index == 0:
            write_json(run.folder / _RUN, {"arguments": self._identity(run)})  # not finished: it has no metrics
        if args.do_train:
            with own_names(model):
                trainer.train(resume_from_checkpoint=checkpoint)
        if adapts:
            merge_adapter(trainer, run.folder / "adapter")
        result = {"task": task.name, "main_metric": task.main_metric, "seed": run.seed, "settings": dict(run.settings)}
        evaluated = trainer.evaluate() if task.validations else {}
        result |= {"metrics": evaluation_figures(evaluated, task), "steps": trainer.state.global_step}
        result |= {"diverged": diverged(model, evaluated), "seconds": time.perf_counter() - began}
        result |= {"by_class": dict(task.by_class)} if task.by_class else {}
        if args.do_train and (folder := self._model_folder(run, [*earlier, result])) is not None:
            self._save_model(trainer, task, run, folder)
        trainer.compute_metrics = None
        predicted = {split: trainer.predict(self._rows(task, model, args)[split]) for split in task.tests}
        if args.process_index == 0:
            task.save_predictions(run.folder)
            for split, found in predicted.items():
                task.save_predicted(split, found, run.folder)
            write_json(run.folder / _RUN, {**result, "arguments": self._identity(run)})
        return result

    def _rows(self, task: LoadedTask, model: PreTrainedModel, args: FinetuningArguments) -> dict[str, Dataset]:
        if task.name not in self.rows:  # one task's at a time
            length = task_length(self.length, task, self.tokenizer, model)
            with args.main_process_first(desc="tokenizing"):
                self.rows = {task.name: {s: task.encode(s, self.tokenizer, length) for s in task.tables}}
        return self.rows[task.name]

    def _trainer(self, task: LoadedTask, model: PreTrainedModel, args: FinetuningArguments) -> TaskTrainer:
        rows = self._rows(task, model, args)
        validations = {task.set_name(split): rows[split] for split in task.validations}
        length = task_length(self.length, task, self.tokenizer, model)
        multiple = padding_multiple(length) if args.bf16 or args.fp16 else None
        with refusing("training arguments"):
            return TaskTrainer(
                task,
                model,
                args,
                data_collator=task.collator(self.tokenizer, multiple),
                train_dataset=rows.get("train"),
                eval_dataset=validations if len(validations) > 1 else next(iter(validations.values()), None),
                processing_class=self.tokenizer,
                optimizers=(layerwise_optimizer(args, model), None),
                callbacks=early_stopping(args),
            )

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
            # A card of somebody else's would be written over.
            if holds_model or ((run.folder / "README.md").exists() and not own_checkpoints(run.folder)):
                raise UserError(f"output_dir {run.folder} holds a model: choose another, or --overwrite_output_dir")
            return None
        found: dict[str, Any] = load_json(path)
        if not isinstance(found.get("arguments"), dict):
            raise UserError(f"{path} is damaged: it has no arguments; remove it, or give --overwrite_output_dir")
        mine = self._identity(run)
        for name in sorted({*found["arguments"], *mine}):
            before, now = (given.get(name, "not given") for given in (found["arguments"], mine))
            if before != now:
                raise UserError(
                    f"{path} is of a run with {name} {before}, which is now {now}: choose another output_dir, or "
                    "run it again with --overwrite_output_dir"
                )
        leaves_model = self.encoder.save_models and self.args.do_train and not found.get("diverged")
        finished = found.get("metrics") is not None and (holds_model or not leaves_model)
        return found if finished else None

    def _identity(self, run: Run) -> dict[str, Any]:
        given = {name: value for name, value in self.recipe.items() if name not in _FREE}
        given |= {"task": run.task, "seed": run.seed, "processes": self.args.world_size, **run.settings}
        return given | self.origins[run.task]

    def _save_results(self, results: Sequence[Mapping[str, Any]], folder: Path) -> str:
        name = Path(self.encoder.model_name_or_path).name
        return save_results(
            results, folder, f"{name}, fine-tuned", model=name, versions=versions("torch", "transformers")
        )

    def _model_folder(self, run: Run, results: Sequence[Mapping[str, Any]]) -> Path | None:
        """Where the model of the last of `results` is kept; in a sweep only the best so far of each task is."""
        if results[-1]["diverged"]:
            return None
        if self._keeps_the_best_only:
            best = best_result([result for result in results if result["task"] == run.task])
            return self.folder / run.task / "best" if best is results[-1] else None
        return run.folder if self.encoder.save_models is not False else None

    @property
    def _keeps_the_best_only(self) -> bool:
        return self.encoder.save_models is None and bool(self.encoder.sweep)

    def _save_model(self, trainer: Trainer, task: LoadedTask, run: Run, folder: Path) -> None:
        aside = run.folder / ".model.part"  # which all processes know
        with files_into(folder, aside) if trainer.args.process_index == 0 else nullcontext():
            trainer.save_model(str(aside))
            trainer.accelerator.wait_for_everyone()
            if trainer.args.process_index == 0:
                self._save_beside(trainer, task, run, aside)

    def _save_beside(self, trainer: Trainer, task: LoadedTask, run: Run, aside: Path) -> None:
        """What lies beside a model: how it was trained."""
        (aside / "training_args.bin").unlink(missing_ok=True)  # a pickle; the recipe says the same
        write_text(aside / "recipe.yaml", yaml.safe_dump(self._recipe(run), sort_keys=False))
        first, loss = (trainer_name(task, name) for name in (task.main_metric, "loss"))
        figures = {"Loss": loss, task.main_metric: first, "Learning rate": "learning_rate"}
        # The loss in training is drawn beside that of the main validation set.
        history = [
            {loss if name == "loss" else name: v for name, v in log.items()} for log in trainer.state.log_history
        ]
        plot_curves(history, aside / "curves.png", title=str(run), figures=figures)

    def _recipe(self, run: Run) -> dict[str, Any]:
        """The arguments that repeat one run."""
        of_all = ("sweep", "num_seeds", "save_models", "output_dir", "push_to_hub", "hub_model_id")
        kept = {name: value for name, value in self.recipe.items() if name not in of_all}
        return {**kept, "task_name": [run.task], "seed": run.seed, **run.settings, "output_dir": str(run.folder)}

    def _present(self, done: Sequence[tuple[Run, Mapping[str, Any]]], say: Callable[[str], None]) -> None:
        """Gives the models of a task that were kept their cards, the best one's with the table of all runs; uploads
        that one."""
        results = [result for _, result in done]
        if (best := best_result(results)) is None:
            return
        for run, result in done:
            folder = self.folder / run.task / "best" if self._keeps_the_best_only else run.folder
            if (self._keeps_the_best_only and result is not best) or not (folder / "config.json").exists():
                continue
            self._card(run, result, results if result is best else [result], folder).save(folder)
            if result is not best:
                continue
            if folder != self.folder:
                self._save_results(results, folder)
            if len(results) > 1 and result["metrics"]:
                say(f"The best model of {run.task} ({run}) is in {folder}")
            if name := self.repository(run.task):
                hub: dict[str, Any] = {"private": self.args.hub_private_repo, "token": self.args.hub_token}
                say(f"Pushed to {push_folder(folder, name, ignore=_LOCAL, **hub)}")

    def _card(
        self, run: Run, result: Mapping[str, Any], among: Sequence[Mapping[str, Any]], folder: Path
    ) -> FinetunedCard:
        one = len(self.runs) == 1
        return FinetunedCard(
            name=self.repository(run.task) or (self.folder.name if one else f"{self.folder.name}-{run.task}"),
            base_model=self.encoder.model_name_or_path,
            model_type=load_config(str(folder)).model_type,
            task=self.tasks[run.task],
            result=result,
            entries=summarize_runs(among),
            recipe=self._recipe(run),
            versions=versions("torch", "transformers"),
            language=self.encoder.language,
            license=self.encoder.license,
        )

    def repository(self, task: str) -> str | None:
        """Where the model of a task goes on the Hub: of several tasks each has a repository of its own."""
        if not self.args.push_to_hub:
            return None
        name = self.args.hub_model_id or self.folder.resolve().name
        return name if len(self.tasks) == 1 else f"{name}-{task}"
