"""Evaluations of a checkpoint as it is, without fine-tuning: what each is, by its name, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from accelerate import PartialState
from huggingface_hub import EvalResult

from ..hub.card_results import add_results, card_of
from ..io import check_writable, versions, write_json, write_text
from ..locks import claimed
from ..models.loading import TRUST_HELP, trusting
from ..ranges import check_numbers
from .registry import Registry

__all__ = [
    "EVALUATIONS",
    "Evaluation",
    "EvaluationArguments",
    "Outcome",
    "evaluate",
    "find_evaluation",
    "register_evaluation",
]

Say = Callable[[str], object]


@dataclass
class EvaluationArguments:
    """Which evaluation, of which model, and how.

    Raises:
        UserError: no such evaluation, or a batch size below 1.
    """

    task: str = field(
        metadata={
            "help": "What to evaluate by: blimp (which of two sentences is acceptable), choices (which option "
            "is right), losses (a pair's, on text) or probe (a linear classifier on each layer)."
        }
    )
    model_name_or_path: str = field(
        metadata={
            "help": "A directory or Hub name. blimp and choices: an MCL pair or half, an ELECTRA half or a masked "
            "language model; losses: a pair; probe: any encoder."
        }
    )
    output_dir: str = field(metadata={"help": "Where results go. Started again there, a killed run goes on."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: the model's."})
    per_device_eval_batch_size: int = field(
        default=128, metadata={"help": "Rows in a forward pass; the generator has one for every token."}
    )
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = field(
        default="float32", metadata={"help": "Of the model; auto: the checkpoint's. Probabilities are float32."}
    )
    use_cpu: bool = field(default=False, metadata={"help": "Even if there is an accelerator."})
    cache_dir: str | None = field(default=None, metadata={"help": "Where `datasets` keeps what it has read."})
    trust_remote_code: bool = field(default=False, metadata={"help": TRUST_HELP})
    update_card: bool = field(
        default=False, metadata={"help": "Add the results to the metadata of the model card in the model's folder."}
    )

    def __post_init__(self) -> None:
        find_evaluation(self.task)
        check_numbers(self)


@dataclass
class Outcome:
    """What an evaluation has found.

    Attributes:
        results: its figures, by what it likes: all that JSON can say.
        markdown: the same for people.
        settings: what the figures depend on, beside `EvaluationArguments`.
        card: the figures that belong into the metadata of the model's card.
        plot: draws a picture of them into a file.
    """

    results: dict[str, Any]
    markdown: str
    settings: dict[str, Any] = field(default_factory=dict)
    card: Sequence[EvalResult] = ()
    plot: Callable[[Path], None] | None = None


class Evaluation(ABC):
    """An evaluation: a callable with a name. To add one, subclass this and register an instance.

    Attributes:
        name: what `--task` calls it.
        arguments: dataclasses of its own arguments, which the command line has beside `EvaluationArguments`.
    """

    name: str
    arguments: ClassVar[tuple[type, ...]] = ()

    @abstractmethod
    def __call__(self, args: EvaluationArguments, *own: Any, say: Say) -> Outcome:
        """Evaluates the checkpoint `args.model_name_or_path`, on `PartialState().device`.

        Under a launcher every process calls it; what it writes, the first alone writes. `own` is an instance of each
        of `arguments`; `say` takes lines for whoever waits.

        Raises:
            UserError: whatever the user can mend.
        """


EVALUATIONS: Registry[Evaluation] = Registry("evaluation", "--task")
"""All evaluations by name."""

register_evaluation = EVALUATIONS.register
"""Makes an evaluation known to `evaluate --task`, and one of minimal pairs to soups' `--score`, too."""

find_evaluation = EVALUATIONS.find


def evaluate(args: EvaluationArguments, *own: Any, say: Say = lambda line: None) -> dict[str, Any]:
    """Runs the evaluation that `args.task` names, and writes `results.json`, `results.md` and, if it draws one,
    `results.png` into `args.output_dir`.

    Args:
        own: an instance of each of the evaluation's `arguments`; of those left out at the end, the defaults.
        say: called with lines for whoever waits: what there is to do, about how long it takes, how fast it was.

    Returns:
        What `results.json` holds: the settings, and under `results` the figures.

    Raises:
        UserError: no card to update, another process writes into `output_dir`, or whatever the evaluation refuses.
    """
    evaluation = find_evaluation(args.task)
    check_writable(args.output_dir)
    if args.update_card:
        card_of(args.model_name_or_path)
    # Without cpu=True, accelerate lets each process of a launch on a CPU think that it is alone.
    state = PartialState(cpu=args.use_cpu or not torch.accelerator.is_available())
    own = (*own, *(kind() for kind in evaluation.arguments[len(own) :]))
    with claimed(args.output_dir, process_index=state.process_index), trusting(args.trust_remote_code):
        return _evaluate(args, own, evaluation, state, say)


def _evaluate(
    args: EvaluationArguments, own: Sequence[Any], evaluation: Evaluation, state: PartialState, say: Say
) -> dict[str, Any]:
    outcome = evaluation(args, *own, say=say if state.is_main_process else lambda line: None)
    found = {
        "task": args.task,
        "model_name_or_path": args.model_name_or_path,
        **outcome.settings,
        "dtype": args.dtype,
        "device": state.device.type,
        "versions": versions(),
        "results": outcome.results,
    }
    if state.is_main_process:
        folder = Path(args.output_dir)
        write_text(folder / "results.md", outcome.markdown)
        if outcome.plot is not None:
            outcome.plot(folder / "results.png")
        write_json(folder / "results.json", found)
        if args.update_card:
            add_results(args.model_name_or_path, outcome.card)
    return found
