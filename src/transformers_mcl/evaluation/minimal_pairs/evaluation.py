"""`transformers-mcl evaluate --task blimp`: opens a model, scores minimal pairs, counts how many were right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from accelerate import PartialState
from huggingface_hub import EvalResult
from transformers.utils import logging

from ...data.tokenizer import load_tokenizer
from ..evaluation import Evaluation, EvaluationArguments, Outcome, Say, register_evaluation
from ..halves import open_scorers
from ..sentence_scores import PllMetric
from .accuracies import Summary, plot_accuracies, summarize, to_markdown
from .data import BLIMP, PairsArguments, PairSet, load_pairs
from .kept_scores import KeptScores, Paradigm, paradigms_of
from .scoring import PairScorer, PairScores

__all__ = ["MinimalPairs", "ScoringArguments"]

_ESTIMATE_FROM = 20  # batches; less is over before an estimate is of use


@dataclass
class ScoringArguments:
    """Which half of a pair judges, and how."""

    scorer: Literal["generator", "discriminator", "both"] | None = field(
        default=None, metadata={"help": "Which half judges. Default: both, or the one that the checkpoint has."}
    )
    pll_metric: PllMetric = field(
        default="original",
        metadata={"help": "within_word_l2r: the generator does not see the later tokens of the word it is asked for."},
    )


@dataclass(frozen=True)
class MinimalPairs(Evaluation):
    """How often a model holds the acceptable one of two sentences likelier.

    Scores go to `scores.jsonl`, paradigm by paradigm; those that stand there already, of the same weights and the same
    tokens, are not computed again. Under a launcher the processes share the forward passes.
    """

    name: str
    pair_set: PairSet
    arguments = (ScoringArguments, PairsArguments)

    def __call__(self, args: EvaluationArguments, *own: Any, say: Say) -> Outcome:
        """Under `results`, by scorer, is what `summarize` returns.

        Raises:
            UserError: a model, tokenizer or file of pairs that cannot be used, or a sentence beyond the model's
                positions.
        """
        scoring, which = own
        pairs = load_pairs(which, args.cache_dir, self.pair_set)
        tokenizer = load_tokenizer(args.tokenizer_name or args.model_name_or_path)
        given: Any = {"batch_size": args.per_device_eval_batch_size, "pll_metric": scoring.pll_metric, "shared": True}
        models = open_scorers(args.model_name_or_path, scoring.scorer, args.dtype, say)
        device = PartialState().device
        scorers = {name: PairScorer(model.to(device), tokenizer, name, **given) for name, model in models.items()}
        paradigms = {name: paradigms_of(pairs, scorer) for name, scorer in scorers.items()}
        kept = KeptScores(args.output_dir, {paradigm.key for of in paradigms.values() for paradigm in of})
        scores = {name: _score(name, scorers[name], of, kept, say) for name, of in paradigms.items()}
        # Scores come by paradigm, whose pairs need not stand together.
        ordered = [pairs[number] for paradigm in next(iter(paradigms.values())) for number in paradigm.numbers]
        results: dict[str, Summary] = {name: summarize(ordered, of) for name, of in scores.items()}
        return Outcome(
            results,
            markdown=self._markdown(args.model_name_or_path, which, results),
            settings={
                "pairs": which.pairs_file or self.pair_set.source,
                "limit": which.limit,
                "seed": which.seed,
                "pll_metric": scoring.pll_metric,
            },
            card=self._card(scoring, which, results),
            plot=partial(plot_accuracies, results, title=f"Minimal pairs: {Path(args.model_name_or_path).name}"),
        )

    def _markdown(self, model: str, which: PairsArguments, results: dict[str, Summary]) -> str:
        source = ", ".join(which.pairs_file or [self.pair_set.source])
        limited = "" if which.limit is None else f", a sample (limit {which.limit:g}, seed {which.seed})"
        note = "A tie counts as wrong; in the column with ties as right, as in BabyLM's evaluation. Chance is 0.5."
        return f"# Minimal pairs: {model}\n\n{source}{limited}. {note}\n\n{to_markdown(results)}\n"

    def _card(self, scoring: ScoringArguments, which: PairsArguments, results: dict[str, Summary]) -> list[EvalResult]:
        """The accuracies over all pairs and by field, as the Hub writes them."""
        given = ", ".join(Path(file).name for file in which.pairs_file or ())
        # Of the metric, not of the data: the Hub's format keeps one set of those for all metrics of a data set.
        sample = {} if which.limit is None else {"limit": which.limit, "seed": which.seed}
        settings: dict[str, Any] = {"generator": {"pll_metric": scoring.pll_metric, **sample}, "discriminator": sample}
        return [
            EvalResult(
                task_type="text-classification",
                task_name="minimal pairs",
                dataset_type=given or self.pair_set.source,
                dataset_name=given or self.pair_set.title,
                dataset_config=None if grouping == "all" else group,
                metric_type="accuracy",
                metric_name=f"accuracy ({scorer})",
                metric_args=settings[scorer] or None,
                metric_value=found["accuracy"],
            )
            for scorer, summary in results.items()
            for grouping in ("all", "field")
            for group, found in summary.get(grouping, {}).items()
        ]


def _score(name: str, scorer: PairScorer, paradigms: Sequence[Paradigm], kept: KeptScores, say: Say) -> PairScores:
    """The scores of all paradigms, one after the other."""
    to_do = [paradigm for paradigm in paradigms if paradigm.key not in kept.found]
    pairs = sum(len(paradigm.numbers) for paradigm in to_do)
    rows = sum(scorer.count_rows(paradigm.encoded) for paradigm in to_do)
    if len(to_do) < len(paradigms):
        say(f"{name}: {len(paradigms) - len(to_do)} of {len(paradigms)} paradigms stand in scores.jsonl")
    if to_do:
        say(f"{name}: {pairs:,} pairs, {rows:,} rows{_estimate(scorer, to_do, rows)}")
    start, shown = time.perf_counter(), PartialState().is_main_process
    with logging.tqdm(total=rows, unit="row", unit_scale=True, desc=name, disable=not (to_do and shown)) as bar:
        for paradigm in to_do:
            kept.add(name, paradigm, scorer.score(paradigm.encoded, bar.update))
    if to_do:
        seconds = time.perf_counter() - start
        say(f"{name}: {pairs:,} pairs in {seconds:,.1f} s, {pairs / seconds:,.1f} pairs/s")
    found = [kept.found[paradigm.key] for paradigm in paradigms]
    return PairScores(np.concatenate([one.good for one in found]), np.concatenate([one.bad for one in found]))


def _estimate(scorer: PairScorer, paradigms: Sequence[Paradigm], rows: int) -> str:
    """How long so many rows take, judged by pairs from all over the paradigms, for about two batches."""
    if rows < _ESTIMATE_FROM * scorer.batch_size:
        return ""
    encoded = [pair for paradigm in paradigms for pair in paradigm.encoded]
    sample = encoded[:: max(rows // (2 * scorer.batch_size), 1)]
    scorer.score(sample[:1])  # what only the first pass costs
    start = time.perf_counter()
    scorer.score(sample)
    seconds = (time.perf_counter() - start) * rows / scorer.count_rows(sample)
    return f", about {seconds / 60:,.0f} minutes" if seconds >= 100 else f", about {seconds:,.0f} seconds"


register_evaluation(MinimalPairs("blimp", BLIMP))
