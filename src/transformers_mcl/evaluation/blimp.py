"""`transformers-mcl evaluate --task blimp`: opens a model, scores minimal pairs, writes down how many were right."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from huggingface_hub import EvalResult
from transformers import AutoModelForMaskedLM, ElectraForPreTraining, PreTrainedModel
from transformers.utils import logging

from ..data.tokenizer import load_tokenizer
from ..errors import UserError
from ..hub.card_results import add_results, card_of
from ..io import one_line, versions, write_json, write_text
from ..models.configuration_mcl import MclConfig
from ..models.loading import load_config, loading_in_silence
from ..models.modeling_mcl import MclDiscriminator
from .accuracy import plot_accuracies, summarize, to_markdown
from .minimal_pairs import PairScorer, PairScores, PllMetric, ScorerName
from .pairs import BLIMP, Pair, PairsArguments, load_pairs

__all__ = ["MinimalPairsArguments", "evaluate_minimal_pairs", "open_scorer"]

_Encoded = Sequence[tuple[Any, Any]]
_ESTIMATE_FROM = 20  # batches; less is over before an estimate is of use


@dataclass
class MinimalPairsArguments:
    """Which model is evaluated, and how.

    Raises:
        UserError: a batch size below 1.
    """

    model_name_or_path: str = field(
        metadata={"help": "An MCL pair or half, an ELECTRA half or a masked language model: a directory or Hub name."}
    )
    output_dir: str = field(metadata={"help": "Where results go. Started again there, a killed run goes on."})
    scorer: Literal["generator", "discriminator", "both"] | None = field(
        default=None, metadata={"help": "Which half judges. Default: both, or the one that the checkpoint has."}
    )
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: the model's."})
    per_device_eval_batch_size: int = field(
        default=128, metadata={"help": "Rows in a forward pass; the generator has one for every token."}
    )
    pll_metric: PllMetric = field(
        default="original",
        metadata={"help": "within_word_l2r: the generator does not see the later tokens of the word it is asked for."},
    )
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = field(
        default="float32", metadata={"help": "Of the model; auto: the checkpoint's. Probabilities are float32."}
    )
    use_cpu: bool = field(default=False, metadata={"help": "Even if there is an accelerator."})
    cache_dir: str | None = field(
        default=None, metadata={"help": "Where `datasets` keeps the pairs that it has read."}
    )
    update_card: bool = field(
        default=False, metadata={"help": "Add the accuracies to the metadata of the model card in the model's folder."}
    )

    def __post_init__(self) -> None:
        if self.per_device_eval_batch_size < 1:
            raise UserError(f"per_device_eval_batch_size={self.per_device_eval_batch_size} must be at least 1")


class _NoHead(UserError):
    """The checkpoint lacks the half that a scorer needs."""


def evaluate_minimal_pairs(
    args: MinimalPairsArguments, pairs_args: PairsArguments, report: Callable[[str], object] = lambda line: None
) -> dict[str, Any]:
    """Scores pairs with a model, and writes `results.json`, `results.md` and `results.png` into `args.output_dir`.

    Scores go to `scores.jsonl` there, paradigm by paradigm; those that stand there already, of the same weights and
    the same tokens, are not computed again. Under a launcher the processes share the forward passes, and the first
    alone writes and reports.

    Args:
        report: called with lines for whoever waits: what there is to do, about how long it takes, how fast it was.

    Returns:
        What `results.json` holds: under `results`, by scorer, what `summarize` returns; and the settings.

    Raises:
        UserError: a model, tokenizer or file of pairs that cannot be used, a sentence beyond the model's positions,
            no card to update.
    """
    if args.update_card:
        card_of(args.model_name_or_path)
    pairs = load_pairs(pairs_args, args.cache_dir)
    tokenizer = load_tokenizer(args.tokenizer_name or args.model_name_or_path)
    # Without cpu=True, accelerate lets each process of a launch on a CPU think that it is alone.
    state = PartialState(cpu=args.use_cpu or not torch.accelerator.is_available())
    report = report if state.is_main_process else lambda line: None
    given: Any = {"batch_size": args.per_device_eval_batch_size, "pll_metric": args.pll_metric, "shared": True}
    scorers = {
        name: PairScorer(model.to(state.device), tokenizer, name, **given)
        for name, model in _open_scorers(args, report).items()
    }
    tasks = {name: _tasks(pairs, scorer) for name, scorer in scorers.items()}
    kept = _KeptScores(args.output_dir, {task.key for of in tasks.values() for task in of})
    scores = {name: _score(name, scorers[name], of, kept, report) for name, of in tasks.items()}
    # Scores come by paradigm, whose pairs need not stand together.
    ordered = [pairs[number] for task in next(iter(tasks.values())) for number in task.numbers]
    settings = _settings(args, pairs_args, state.device.type)
    results = {**settings, "results": {name: summarize(ordered, of) for name, of in scores.items()}}
    if state.is_main_process:
        _write(results, Path(args.output_dir))
        if args.update_card:
            add_results(args.model_name_or_path, _eval_results(results))
    return results


def _settings(args: MinimalPairsArguments, pairs_args: PairsArguments, device: str) -> dict[str, Any]:
    """What the results depend on, to stand beside them."""
    return {
        "task": "blimp",
        "model_name_or_path": args.model_name_or_path,
        "pairs": pairs_args.pairs_file or BLIMP,
        "limit": pairs_args.limit,
        "seed": pairs_args.seed,
        "pll_metric": args.pll_metric,
        "dtype": args.dtype,
        "device": device,
        "versions": versions(),
    }


def open_scorer(name_or_path: str, scorer: ScorerName, dtype: str = "float32", **hub: Any) -> PreTrainedModel:
    """The half of a checkpoint that `scorer` needs: any masked language model, or a detector of replaced tokens.

    `hub` is `token`, `revision` and the like, of `from_pretrained`.

    Raises:
        UserError: no such checkpoint, or one that lacks this half.
    """
    where, config = f"model_name_or_path: {name_or_path!r}", load_config(name_or_path, **hub)
    kind: Any = AutoModelForMaskedLM
    if scorer == "discriminator":
        kind = MclDiscriminator if isinstance(config, MclConfig) else ElectraForPreTraining
        if not isinstance(config, MclConfig) and config.model_type != "electra":
            raise _NoHead(f"{where} is a {config.model_type!r} checkpoint, which has no discriminator")
    elif not isinstance(config, MclConfig) and type(config) not in AutoModelForMaskedLM._model_mapping:
        raise _NoHead(f"{where} is a {config.model_type!r} checkpoint, which is no masked language model")
    with loading_in_silence():
        try:
            model, info = kind.from_pretrained(name_or_path, dtype=dtype, output_loading_info=True, **hub)
        except OSError as error:
            raise UserError(f"{where} has no weights: {one_line(error)}") from error
    if info["missing_keys"]:
        architecture = ", ".join(config.architectures or ["unknown architecture"])
        parts = ", ".join(sorted({key.split(".")[0] for key in info["missing_keys"]}))
        raise _NoHead(f"{where} ({architecture}) holds no {scorer}: weights of {parts} are missing")
    return model


def _open_scorers(args: MinimalPairsArguments, report: Callable[[str], object]) -> dict[ScorerName, PreTrainedModel]:
    models: dict[ScorerName, PreTrainedModel] = {}
    problems: list[_NoHead] = []
    for name in get_args(ScorerName):
        if args.scorer in (None, "both", name):
            try:
                models[name] = open_scorer(args.model_name_or_path, name, args.dtype)
            except _NoHead as problem:
                if args.scorer is not None:
                    raise
                problems.append(problem)
    if not models:
        raise problems[0]
    for missing in problems:
        report(str(missing))
    return models


@dataclass
class _Task:
    """The pairs of a paradigm for one scorer, their numbers among all pairs, and what their scores depend on."""

    paradigm: str
    numbers: list[int]
    encoded: _Encoded
    key: str


def _tasks(pairs: Sequence[Pair], scorer: PairScorer) -> list[_Task]:
    encoded = scorer.encode(pairs)
    numbers: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        numbers.setdefault(pair.paradigm, []).append(number)
    model = _digest(scorer.model)
    tasks = []
    for paradigm, members in numbers.items():
        of = [encoded[number] for number in members]
        key = hashlib.sha256(repr((model, scorer.masks, scorer.by_word, of)).encode()).hexdigest()
        tasks.append(_Task(paradigm, members, of, key))
    return tasks


def _digest(model: PreTrainedModel) -> str:
    """Of the weights and the configuration: it stays when a checkpoint moves, and changes when it is trained."""
    config = {**model.config.to_dict(), "_name_or_path": ""}
    digest = hashlib.sha256(f"{type(model).__name__} {json.dumps(config, default=str)}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class _KeptScores:
    """`scores.jsonl`: a line for each scorer and paradigm, as soon as it is done. Lines of other keys are dropped.

    The first process reads and writes it; all of them know what it holds.
    """

    def __init__(self, output_dir: str, keys: set[str]) -> None:
        self.path = Path(output_dir, "scores.jsonl")
        kept: list[str | OSError] = [""]
        if PartialState().is_main_process:
            try:
                kept = [self._start(keys)]
            except OSError as error:
                kept = [error]
        if isinstance((found := broadcast_object_list(kept)[0]), OSError):  # of which all processes end alike
            raise UserError(f"output_dir: {output_dir!r} cannot be written to: {found.strerror}") from found
        lines = map(json.loads, found.splitlines())
        self.found = {line["key"]: PairScores(np.array(line["good"]), np.array(line["bad"])) for line in lines}

    def _start(self, keys: set[str]) -> str:
        """What stands there and is of use, which alone is left."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = {key: line for line in lines if (key := _key(line)) in keys}
        kept = "".join(f"{line}\n" for line in found.values())
        write_text(self.path, kept)
        return kept

    def add(self, scorer: str, task: _Task, scores: PairScores) -> None:
        self.found[task.key] = scores
        if PartialState().is_main_process:
            rest = {"good": scores.good.tolist(), "bad": scores.bad.tolist()}
            line = {"key": task.key, "scorer": scorer, "paradigm": task.paradigm, **rest}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _key(line: str) -> str | None:
    try:
        return json.loads(line)["key"]
    except (json.JSONDecodeError, TypeError, KeyError):  # the last line of a run that was killed, or no line of ours
        return None


def _score(
    name: str, scorer: PairScorer, tasks: Sequence[_Task], kept: _KeptScores, report: Callable[[str], object]
) -> PairScores:
    """The scores of all tasks, one after the other."""
    to_do = [task for task in tasks if task.key not in kept.found]
    pairs, rows = sum(len(task.numbers) for task in to_do), sum(scorer.count_rows(task.encoded) for task in to_do)
    if len(to_do) < len(tasks):
        report(f"{name}: {len(tasks) - len(to_do)} of {len(tasks)} paradigms stand in scores.jsonl")
    if to_do:
        report(f"{name}: {pairs:,} pairs, {rows:,} rows{_estimate(scorer, to_do, rows)}")
    start, shown = time.perf_counter(), PartialState().is_main_process
    with logging.tqdm(total=rows, unit="row", unit_scale=True, desc=name, disable=not (to_do and shown)) as bar:
        for task in to_do:
            kept.add(name, task, scorer.score(task.encoded, bar.update))
    if to_do:
        seconds = time.perf_counter() - start
        report(f"{name}: {pairs:,} pairs in {seconds:,.1f} s, {pairs / seconds:,.1f} pairs/s")
    found = [kept.found[task.key] for task in tasks]
    return PairScores(np.concatenate([one.good for one in found]), np.concatenate([one.bad for one in found]))


def _estimate(scorer: PairScorer, tasks: Sequence[_Task], rows: int) -> str:
    """How long so many rows take, judged by pairs from all over the tasks, for about two batches."""
    if rows < _ESTIMATE_FROM * scorer.batch_size:
        return ""
    encoded = [pair for task in tasks for pair in task.encoded]
    sample = encoded[:: max(rows // (2 * scorer.batch_size), 1)]
    scorer.score(sample[:1])  # what only the first pass costs
    start = time.perf_counter()
    scorer.score(sample)
    seconds = (time.perf_counter() - start) * rows / scorer.count_rows(sample)
    return f", about {seconds / 60:,.0f} minutes" if seconds >= 100 else f", about {seconds:,.0f} seconds"


def _eval_results(results: dict[str, Any]) -> list[EvalResult]:
    """The accuracies over all pairs and by field, as the Hub writes them."""
    pairs = results["pairs"]
    name = "BLiMP" if pairs == BLIMP else ", ".join(Path(file).name for file in pairs)
    # Of the metric, not of the data: the Hub's format keeps one set of those for all metrics of a data set.
    sample = {} if results["limit"] is None else {key: results[key] for key in ("limit", "seed")}
    settings = {"generator": {"pll_metric": results["pll_metric"], **sample}, "discriminator": sample}
    return [
        EvalResult(
            task_type="text-classification",
            task_name="minimal pairs",
            dataset_type=pairs if pairs == BLIMP else name,
            dataset_name=name,
            dataset_config=None if grouping == "all" else group,
            metric_type="accuracy",
            metric_name=f"accuracy ({scorer})",
            metric_args=settings[scorer] or None,
            metric_value=found["accuracy"],
        )
        for scorer, summary in results["results"].items()
        for grouping in ("all", "field")
        for group, found in summary.get(grouping, {}).items()
    ]


def _write(results: dict[str, Any], folder: Path) -> None:
    name, limit = results["model_name_or_path"], results["limit"]
    limited = "" if limit is None else f", a sample (limit {limit:g}, seed {results['seed']})"
    source = results["pairs"] if isinstance(results["pairs"], str) else ", ".join(results["pairs"])
    note = "A tie counts as wrong; chance is 0.5."
    table = f"# Minimal pairs: {name}\n\n{source}{limited}. {note}\n\n{to_markdown(results['results'])}\n"
    (folder / "results.md").write_text(table, encoding="utf-8")
    plot_accuracies(results["results"], folder / "results.png", f"Minimal pairs: {Path(name).name}")
    write_json(folder / "results.json", results)
