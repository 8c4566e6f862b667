"""`transformers-mcl evaluate --task probe`: reads the layers of a frozen encoder by logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from accelerate import PartialState
from numpy.typing import NDArray
from transformers import EvalPrediction, PreTrainedModel, PreTrainedTokenizerBase

from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..evaluation import Evaluation, EvaluationArguments, Outcome, register_evaluation
from ..evaluation.evaluation import Say
from ..finetuning import SequenceTask, find_task
from ..finetuning.arguments import TaskArguments
from ..finetuning.encoders import task_length
from ..finetuning.loading import load_task
from .arguments import ProbeArguments
from .classifier import check_folds, fit_classifier
from .features import Features, open_encoder, pooled_states
from .report import Found, plot_layers, to_card, to_markdown

__all__ = ["Probe", "probe_task"]


class Probe(Evaluation):
    """How well a linear classifier tells a task's classes by the states of each layer of a frozen encoder."""

    name = "probe"
    arguments = (ProbeArguments, TaskArguments)

    def __call__(self, args: EvaluationArguments, *own: Any, say: Say) -> Outcome:
        """Under `results`, by task, is what `probe_task` returns.

        Raises:
            UserError: a task that is none of classes for texts, or whatever there is to mend in its data; a model or
                tokenizer that cannot be used.
        """
        probe, data = own
        tasks = _load(data, args.cache_dir)
        tokenizer = load_tokenizer(args.tokenizer_name or args.model_name_or_path)
        model = open_encoder(args.model_name_or_path, probe.half, args.dtype).to(PartialState().device)
        results = {}
        for task in tasks:
            say(task.describe())
            results[task.name] = probe_task(model, tokenizer, task, probe, args.per_device_eval_batch_size, say)
        return Outcome(
            results,
            markdown=to_markdown(args.model_name_or_path, probe, results),
            settings={name: getattr(probe, name) for name in ("half", "pooling", "pairs", "C", "folds", "seed")},
            card=to_card(tasks, probe, results),
            plot=partial(plot_layers, results, title=f"Probes of {Path(args.model_name_or_path).name}"),
        )


def probe_task(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: SequenceTask,
    probe: ProbeArguments,
    batch_size: int,
    say: Say,
) -> Found:
    """Fits a classifier on each layer's states of the training texts, and measures it on the validation texts.

    Returns:
        `metric`, the name of the task's main figure; `data`, where each split is from; `most_frequent_class`, the
        figures of one who always says that of the training rows; and `layers`: by number of the layer its `C` and its
        figures. Those of a second validation set end in the task's suffix.

    Raises:
        UserError: a class with fewer training rows than there are folds; a layer that is not there.
    """
    length = task_length(task.args.max_seq_length, task, tokenizer, model)
    task.check(tokenizer, length)
    labels = {split: _labels(task, split, tokenizer, length) for split in ("train", *task.validations)}
    if probe.C is None and (rare := check_folds(labels["train"], probe.folds, probe.seed)) is not None:
        raise UserError(
            f"folds: the class {task.classes[rare]!r} of {task.name} has fewer training rows than the {probe.folds} "
            "folds that choose C: give --C, or more rows"
        )
    given: Any = {"pooling": probe.pooling, "layers": probe.layers, "batch_size": batch_size}
    states = {split: _features(model, tokenizer, task, split, length, probe.pairs, **given) for split in labels}

    def figures(answers: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        return {
            f"{name}{task.suffix(split)}": value
            for split in task.validations
            for name, value in task.metrics(EvalPrediction(answers[split], labels[split])).items()
        }

    often = np.bincount(labels["train"], minlength=len(task.classes)).astype(float)
    found: dict[str, Any] = {
        "metric": task.main_metric,
        "data": {split: str(task.sources[split]) for split in labels},
        "most_frequent_class": figures({split: np.tile(often, (len(of), 1)) for split, of in labels.items()}),
        "layers": {},
    }
    for layer, features in states["train"].items():
        fitted = fit_classifier(features, labels["train"], probe.C, probe.folds, probe.seed)
        if not fitted.converged:
            say(f"layer {layer}: the solver has not converged; a smaller C regularises more")
        of_layer = figures(
            {split: fitted.probabilities(states[split][layer], len(task.classes)) for split in task.validations}
        )
        found["layers"][str(layer)] = {"C": fitted.C, **of_layer}
        say(f"layer {layer}: C {fitted.C:g}, {task.main_metric} {of_layer[task.main_metric]:.3f}")
    return found


def _load(data: TaskArguments, cache_dir: str | None) -> list[SequenceTask]:
    for name in data.task_name:
        if not issubclass(find_task(name).kind, SequenceTask):
            raise UserError(f"task_name: {name} is no task of classes for texts, which a probe needs")
    tasks: list[Any] = [load_task(find_task(name), data, cache_dir=cache_dir) for name in data.task_name]
    for task in tasks:
        if task.model_fields["problem_type"] != "single_label_classification":
            raise UserError(
                f"task_name: a probe needs one class for each text, and column {task.label_column!r} of {task.name} "
                "holds others"
            )
    return tasks


def _labels(task: SequenceTask, split: str, tokenizer: PreTrainedTokenizerBase, length: int) -> NDArray[np.int64]:
    return np.array(task.encode(split, tokenizer, length)["labels"])


def _features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: SequenceTask,
    split: str,
    length: int,
    pairs: Literal["together", "apart"],
    **how: Any,
) -> dict[int, Features]:
    if pairs == "together" or len(task.columns) == 1:
        return pooled_states(model, tokenizer, task.encode(split, tokenizer, length), **how)
    sides = []
    for column in task.columns:
        one = copy(task)
        one.columns = [column]
        sides.append(pooled_states(model, tokenizer, one.encode(split, tokenizer, length), **how))
    first, second = sides
    return {layer: np.concatenate([u, v := second[layer], np.abs(u - v), u * v], 1) for layer, u in first.items()}


register_evaluation(Probe())
