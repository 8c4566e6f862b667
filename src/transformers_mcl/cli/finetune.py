"""`transformers-mcl finetune`: from a pre-trained encoder to a task's model and its score."""

from __future__ import annotations

from ..finetuning.arguments import EncoderArguments, FinetuningArguments, TaskArguments
from ..finetuning.run import prepare_finetuning
from ..locks import claimed
from .arguments import ParsedArguments, parse_arguments
from .main import COMMANDS
from .terminal import hidden_bars


def run(argv: list[str]) -> None:
    """Runs the command; see `transformers-mcl finetune --help`."""
    parsed = parse_arguments(
        (EncoderArguments, TaskArguments, FinetuningArguments),
        argv,
        prog="transformers-mcl finetune",
        description=COMMANDS["finetune"],
    )
    claim = claimed(parsed[2].output_dir, process_index=parsed[2].process_index)
    with hidden_bars(bool(parsed[2].disable_tqdm)), claim:
        _run(parsed)


def _run(parsed: ParsedArguments) -> None:
    encoder, task_args, args = parsed
    finetuning = prepare_finetuning(encoder, task_args, args, parsed.recipe)
    speaks = args.process_index == 0

    def say(line: str) -> None:
        if speaks:
            print(line, flush=True)

    say(f"Fine-tuning {encoder.model_name_or_path}: {len(finetuning.runs)} run(s) into {args.output_dir}")
    for task in finetuning.tasks.values():
        say(f"  {task.describe()}")
    table = finetuning.run(say)
    say(f"\n{table}\nThis table, results.json and results.png are in {args.output_dir}")
