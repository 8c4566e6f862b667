"""`transformers-mcl evaluate --task choices`: how often a model holds the right one of several options likeliest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from huggingface_hub import EvalResult
from transformers.utils import logging

from ...data.tokenizer import load_tokenizer
from ...errors import UserError
from ..evaluation import Evaluation, EvaluationArguments, Outcome, Say, register_evaluation
from ..halves import open_scorers
from ..minimal_pairs.accuracies import Summary, plot_accuracies, summarize, to_markdown
from ..minimal_pairs.evaluation import ScoringArguments
from ..sentence_scores import SentenceScorer
from .data import ChoicesArguments, load_choices
from .scoring import encode_choices, score_choices

__all__ = ["Choices"]

_PER = {"sum": "", "tokens": ", divided by their number", "characters": ", divided by the option's characters"}


@dataclass(frozen=True)
class Choices(Evaluation):
    """How often a model holds the right option likeliest in its context; the generator masks the option's tokens one
    by one, the discriminator reads it intact. Under a launcher the processes share the forward passes."""

    name: str
    arguments = (ScoringArguments, ChoicesArguments)

    def __call__(self, args: EvaluationArguments, *own: Any, say: Say) -> Outcome:
        """Under `results`, by scorer, is what `summarize` returns.

        Raises:
            UserError: a model, tokenizer or file of choices that cannot be used, or a text beyond the model's
                positions.
        """
        scoring, which = own
        choices = load_choices(which)
        tokenizer = load_tokenizer(args.tokenizer_name or args.model_name_or_path)
        if not tokenizer.is_fast:
            raise UserError("tokenizer: choices need a fast one, which knows the characters of each token")
        given: Any = {"batch_size": args.per_device_eval_batch_size, "pll_metric": scoring.pll_metric, "shared": True}
        models = open_scorers(args.model_name_or_path, scoring.scorer, args.dtype, say)
        results: dict[str, Summary] = {}
        for name, model in models.items():
            scorer = SentenceScorer(model.to(PartialState().device), tokenizer, name, **given)
            encoded = encode_choices(scorer, choices, which.separator)
            rows = scorer.rows_of(sentence for options in encoded for sentence in options)
            say(f"{name}: {len(choices):,} choices, {rows:,} rows")
            shown = PartialState().is_main_process
            with logging.tqdm(total=rows, unit="row", unit_scale=True, desc=name, disable=not shown) as bar:
                scores = score_choices(scorer, choices, encoded, which.normalization, bar.update)
            results[name] = summarize(choices, scores, noun="choices")
        chance = float(np.mean([1 / len(choice.options) for choice in choices]))
        names = ("choices_file", "limit", "seed", "normalization", "separator")
        return Outcome(
            results,
            markdown=_markdown(args.model_name_or_path, which, results, chance),
            settings={
                **{name: getattr(which, name) for name in names},
                "pll_metric": scoring.pll_metric,
                "chance": chance,
            },
            card=_card(which, results),
            plot=partial(
                plot_accuracies, results, title=f"Choices: {Path(args.model_name_or_path).name}", chance=chance
            ),
        )


def _files(which: ChoicesArguments) -> str:
    return ", ".join(Path(path).name for path in which.choices_file)


def _markdown(model: str, which: ChoicesArguments, results: Mapping[str, Summary], chance: float) -> str:
    limited = "" if which.limit is None else f", a sample (limit {which.limit:g}, seed {which.seed})"
    note = (
        f"{_files(which)}{limited}. An option's score is the sum over its tokens{_PER[which.normalization]}. Where "
        "the right option ties with the best, it counts as wrong; in the column with ties as right, as in BabyLM's "
        f"evaluation. Chance is {chance:.3f}."
    )
    return f"# Choices: {model}\n\n{note}\n\n{to_markdown(results, noun='choices')}\n"


def _card(which: ChoicesArguments, results: Mapping[str, Summary]) -> list[EvalResult]:
    sample: dict[str, Any] = {} if which.limit is None else {"limit": which.limit, "seed": which.seed}
    return [
        EvalResult(
            task_type="multiple-choice",
            task_name="choices",
            dataset_type=_files(which),
            dataset_name=_files(which),
            metric_type="accuracy",
            metric_name=f"accuracy ({scorer})",
            metric_args={"normalization": which.normalization, **sample},
            metric_value=summary["all"]["all"]["accuracy"],
        )
        for scorer, summary in results.items()
    ]


register_evaluation(Choices("choices"))
