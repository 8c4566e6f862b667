"""Trains, judges and tabulates the experiments of `docs/experiments.md`.

    python examples/experiments/run.py --scale cpu --output_dir my-experiments
    python examples/experiments/run.py equal_compute lite --scale small --output_dir my-experiments --num_jobs 4

The words are names of questions (`questions/`), all by default. Each run of each seed is a process of its own; the
same command goes on where it was killed, adds seeds and questions, and trains nothing twice. What comes out is in
`OUTPUT_DIR/results`, a file a run; `report.py` makes the page of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from recipes import Planner, Question, Run, Scale, load_questions, load_scale
from report import write_report
from transformers.utils import logging

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import entry, main
from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.errors import Interrupted, UserError
from transformers_mcl.jobs import Job, run_jobs, share_devices

logger = logging.get_logger(__name__)


@dataclass
class ExperimentArguments:
    """What to find out, how large, on which data, and where to put it."""

    output_dir: str = field(metadata={"help": "Where runs and results go; given again, it goes on."})
    questions: list[str] | None = field(default=None, metadata={"help": "Names of questions. Default: all."})
    scale: str = field(default="cpu", metadata={"help": "A name in scales/, or a .yaml file."})
    train_file: list[str] | None = field(default=None, metadata={"help": "Training text, as `pretrain` takes it."})
    validation_file: list[str] | None = field(default=None, metadata={"help": "Held-out text."})
    dataset_name: str | None = field(default=None, metadata={"help": "Or a data set with both."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration, if it has several."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: one made of the training text."})
    glue_data: str | None = field(default=None, metadata={"help": "A folder of GLUE's tasks. Default: from the Hub."})
    pairs_file: list[str] | None = field(
        default=None, metadata={"help": "Minimal pairs. Default: BLiMP from the Hub."}
    )
    seeds: list[int] | None = field(default=None, metadata={"help": "Instead of the scale's."})
    num_jobs: int | None = field(default=None, metadata={"help": "Runs at a time: as many as GPUs; on the CPU one."})
    devices_per_job: int = field(default=1, metadata={"help": "GPUs that each sees."})
    use_cpu: bool = field(default=False, metadata={"help": "Even if there is a GPU."})
    dry_run: bool = field(default=False, metadata={"help": "Only say what there is to do."})


@dataclass(frozen=True)
class Experiments:
    """Everything that has to be trained and judged, for each seed."""

    args: ExperimentArguments
    scale: Scale
    questions: dict[str, Question]
    runs: dict[str, Run]
    planner: Planner

    @property
    def folder(self) -> Path:
        return Path(self.args.output_dir)

    def wanted(self) -> dict[tuple[str, int], set[str]]:
        """By run and seed, how it is judged; those that others go on from, too."""
        wanted: dict[tuple[str, int], set[str]] = {}
        for question in self.questions.values():
            for seed in self.args.seeds or self.scale.seeds_of(question.name):
                for name in question.runs:
                    wanted.setdefault((name, seed), set()).update(self.scale.judges_of(question))
        for name, seed in list(wanted):
            while (name := self.runs[name].starts_from or "") and (name, seed) not in wanted:
                wanted[name, seed] = set()
        return dict(sorted(wanted.items(), key=lambda one: one[0][1]))  # all runs with the first seed first

    def job(self, name: str, seed: int, judges: set[str]) -> Job:
        """Writes down what there is to do."""
        run, folder = self.runs[name], self.folder / "runs" / name / f"seed-{seed}"
        content: dict[str, Any] = {"name": name, "label": run.label, "kind": run.kind, "seed": seed}
        content |= {"scale": self.scale.name, "pretrain": self._pretrain(name), "soups": self._soups(run)}
        start = run.starts_from and self.folder / "runs" / run.starts_from / f"seed-{seed}" / "pair"
        content |= {"starts_from": start and str(start), "results": str(self.folder / "results")}
        if "blimp" in judges:
            content["evaluate"] = {**self.scale.evaluate, "use_cpu": self.args.use_cpu}
            content["evaluate"] |= {"pairs_file": self.args.pairs_file} if self.args.pairs_file else {}
        if "glue" in judges:
            content["finetune"] = {**self.scale.finetune, "use_cpu": self.args.use_cpu, "disable_tqdm": True}
            content["finetune"] |= {"dataset_name": self.args.glue_data} if self.args.glue_data else {}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "job.yaml"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if file.is_file() and not _same_run(yaml.safe_load(file.read_text(encoding="utf-8")), content):
            raise UserError(
                f"{file}: this run was begun with other arguments; give another output_dir, or remove {folder}"
            )
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            (folder / "done").unlink(missing_ok=True)
            file.write_text(text, encoding="utf-8")
        command = [sys.executable, str(Path(__file__).with_name("job.py")), str(file)]
        cost = 0.0 if (folder / "done").is_file() else self.planner.flops(name)
        return Job(f"{name} seed {seed}", command, folder / "log.txt", cost)

    def _pretrain(self, name: str) -> dict[str, Any]:
        return {**self.planner.arguments(name), "use_cpu": self.args.use_cpu, "disable_tqdm": True}

    def _soups(self, run: Run) -> dict[str, Any]:
        return self.scale.soups if run.kind == "soups" else {}


def _same_run(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the model is trained alike; it may be judged by more."""
    return all(before.get(key) == now[key] for key in ("pretrain", "starts_from", "soups", "seed", "kind"))


def prepare(args: ExperimentArguments) -> Experiments:
    """Checks what can be checked; makes the tokenizer where none is given.

    Raises:
        UserError: a question, scale or file that there is not.
    """
    scale = load_scale(args.scale)
    questions, runs = load_questions()
    for name in args.questions or []:
        if name not in questions:
            raise UserError(f"there is no question {name!r}; choose from {', '.join(questions)}")
    if not (args.train_file or args.dataset_name):
        raise UserError("no text: give --train_file and --validation_file, or --dataset_name")
    data = {
        key: value
        for key in ("train_file", "validation_file", "dataset_name", "dataset_config_name")
        if (value := getattr(args, key)) is not None
    }
    tokenizer = args.tokenizer_name
    if tokenizer is None:
        tokenizer = str(Path(args.output_dir) / "tokenizer")
        if not Path(tokenizer, "tokenizer.json").is_file():
            words = ["tokenizer", "--output_dir", tokenizer]
            for key, value in {**data, **scale.tokenizer}.items():
                if key != "validation_file":
                    words += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
            if status := main(words):
                raise SystemExit(status)
    data["tokenizer_name"] = tokenizer
    chosen = {name: questions[name] for name in questions if name in (args.questions or questions)}
    return Experiments(args, scale, chosen, runs, Planner(scale, runs, data, load_tokenizer(tokenizer)))


def run(argv: Sequence[str]) -> int:
    """Does it all."""
    try:
        parsed = parse_arguments(
            [ExperimentArguments],
            argv,
            prog="run.py",
            description=str(__doc__).splitlines()[0],
            positional="questions",
        )
        experiments = prepare(parsed[0])
        environments = share_devices(parsed[0].num_jobs, parsed[0].devices_per_job, parsed[0].use_cpu)
        wanted = experiments.wanted()
        jobs = {key: experiments.job(*key, judges) for key, judges in wanted.items()}
        waves: list[list[Job]] = [[], [], []]  # what goes on from a pair comes after it
        for (name, _), job in jobs.items():
            wave, start = 0, experiments.runs[name].starts_from
            while start:
                wave, start = wave + 1, experiments.runs[start].starts_from
            if job.cost:
                waves[wave].append(job)
        total = sum(job.cost for wave in waves for job in wave)
        left = sum(map(len, waves))
        print(f"{len(jobs)} runs, {len(jobs) - left} of them done; {total:.2g} floating-point operations left")
        if parsed[0].dry_run:
            for job in (job for wave in waves for job in wave):
                print(f"  {job.name}: {job.cost:.2g} operations")
            return 0
        for wave in waves:
            run_jobs(wave, environments, lambda line: print(line, flush=True), "run")
        print(write_report(experiments.folder / "results", experiments.folder / "experiments.md"))
    except UserError as error:
        print(f"run.py: error: {error}", file=sys.stderr)
        return 2
    except Interrupted as ended:
        print(f"run.py: {ended}", file=sys.stderr)
        return 143
    return 0


if __name__ == "__main__":
    entry(lambda: run(sys.argv[1:]))
