"""Trains, judges and tabulates the experiments of `docs/experiments.md`.

    python examples/experiments/run.py --scale cpu --output_dir my-experiments --train_file text.txt ...
    python examples/experiments/run.py equal_compute lite --scale small --output_dir my-experiments --num_jobs 4 ...

The words are names of questions (`questions/`), all of the scale's by default. Each run of each seed is a process of
its own; the same command goes on where it was killed, adds seeds and questions, and trains nothing twice. What comes
out is in `OUTPUT_DIR/results`, a file a run; `report.py` makes the page of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this folder and what it shares with others lie
from experiments.alike import judge_alike
from experiments.plan import Planner, Question, Run, Scale, load_questions, load_scale, named, parse
from experiments.report import write_report
from jobs import Job, exit_status, run_jobs, share_devices
from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import entry, main
from transformers_mcl.data.tokenizer import load_tokenizer
from transformers_mcl.errors import UserError, check_names
from transformers_mcl.finetuning import find_task
from transformers_mcl.finetuning.arguments import TaskArguments
from transformers_mcl.finetuning.loading import load_task
from transformers_mcl.io import read_json, write_text
from transformers_mcl.models.loading import load_config


@dataclass
class ExperimentArguments:
    """What to find out, how large, on which data, and where to put it."""

    output_dir: str = field(metadata={"help": "Where runs and results go; given again, it goes on."})
    questions: list[str] | None = field(default=None, metadata={"help": "Names of questions. Default: the scale's."})
    scale: str = field(default="cpu", metadata={"help": "A name in scales/, or a .yaml file."})
    train_file: list[str] | None = field(default=None, metadata={"help": "Training text, as `pretrain` takes it."})
    validation_file: list[str] | None = field(default=None, metadata={"help": "Held-out text."})
    dataset_name: str | None = field(default=None, metadata={"help": "Or a data set with both."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration, if it has several."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Default: one made of the training text."})
    glue_data: str | None = field(
        default=None, metadata={"help": "A folder that has one for each task. Default: GLUE of the Hub."}
    )
    reference_model: str | None = field(
        default=None, metadata={"help": "An encoder to judge beside the runs, as AutoModel opens it. Default: none."}
    )
    pairs_file: list[str] | None = field(default=None, metadata={"help": "Minimal pairs. Default: BLiMP of the Hub."})
    seeds: list[int] | None = field(default=None, metadata={"help": "Instead of the scale's."})
    num_jobs: int | None = field(default=None, metadata={"help": "Runs at a time: as many as GPUs; on the CPU one."})
    devices_per_job: int = field(default=1, metadata={"help": "GPUs that each trains on."})
    use_cpu: bool = field(default=False, metadata={"help": "Even if there is a GPU."})
    dry_run: bool = field(default=False, metadata={"help": "Only say what there is to do."})


@dataclass(frozen=True)
class Experiments:
    """Everything that has to be trained and judged, for each seed."""

    args: ExperimentArguments
    scale: Scale
    questions: dict[str, Question]
    chosen: list[str]
    runs: dict[str, Run]
    planner: Planner

    @property
    def folder(self) -> Path:
        """Where all goes."""
        return Path(self.args.output_dir)

    def wanted(self) -> list[tuple[str, int]]:
        """Runs and seeds, those that others go on from too, and all runs with the first seed first."""
        wanted: dict[tuple[str, int], None] = {}
        for name in self.chosen:
            seeds = self.args.seeds or self.scale.seeds_of(name)
            for run in self.questions[name].runs:
                for seed in self._seeds(run, seeds):
                    start: str | None = run
                    while start is not None:
                        wanted[start, seed] = None
                        start = self.runs[start].starts_from
        return sorted(wanted, key=lambda one: one[1])

    def _seeds(self, run: str, seeds: list[int]) -> list[int]:
        """Those that a run is done with: a reference, if there is one, once."""
        if self.runs[run].kind != "reference":
            return seeds
        return seeds[:1] if self.args.reference_model else []

    def content(self, name: str, seed: int) -> dict[str, Any]:
        """What there is to do for a run: see `job.py`. Any question may ask how it is judged."""
        run, args = self.runs[name], self.args
        judges = {judge for question in self.questions.values() if name in question.runs for judge in question.judges}
        quiet = {"use_cpu": args.use_cpu, "disable_tqdm": True}
        content: dict[str, Any] = {"name": name, "label": run.label, "kind": run.kind, "seed": seed}
        content |= {"scale": self.scale.name, "results": str(self.folder / "results"), "soups": {}}
        content |= {"starts_from": None, "probe": None, "evaluate": None, "finetune": None}
        content["pretrain"] = {**self.planner.arguments(name), **quiet}
        if run.kind == "reference":
            content |= {"pretrain": {"use_cpu": args.use_cpu}, "reference": args.reference_model}
            judges.discard("blimp")  # which not every encoder has a head for
        if run.starts_from:
            content["starts_from"] = str(self.folder / "runs" / run.starts_from / f"seed-{seed}" / "pair")
        if run.kind == "soups":
            content["soups"] = {**self.scale.soups, "devices_per_job": args.devices_per_job}
        elif args.devices_per_job > 1:  # which makes other steps
            content["devices"] = args.devices_per_job
        if run.kind == "peer" and args.devices_per_job > 1:  # on one, in as many rows
            steps = args.devices_per_job * int(content["pretrain"].get("gradient_accumulation_steps", 1))
            content["pretrain"]["gradient_accumulation_steps"] = steps
        if "blimp" in judges:
            pairs = {"pairs_file": args.pairs_file} if args.pairs_file else {}
            content["evaluate"] = {**self.scale.evaluate, **pairs, "use_cpu": args.use_cpu}
        data = {"dataset_name": args.glue_data} if args.glue_data else {}
        if "probe" in judges:
            content["probe"] = {**self.scale.probe, **data, "use_cpu": args.use_cpu}
        if "glue" in judges:
            content["finetune"] = {**self.scale.finetune, **data, **quiet}
        return content

    def check(self, content: dict[str, Any]) -> None:
        """Has each command refuse now what it would refuse later.

        Raises:
            UserError: an argument of a scale or a question that a command does not take, or a package that is missing.
        """
        pretrain, pair = {**content["pretrain"], "output_dir": "unused"}, {"model_name_or_path": "unused"}
        if content["kind"] != "reference":
            parse("pretrain", pretrain | (pair if content["starts_from"] else {}))
        if content["kind"] == "soups":
            parse("soups", pretrain | content["soups"] | pair)
        for command, more in (("probe", {"task": "probe"}), ("evaluate", {"task": "blimp"}), ("finetune", {})):
            if content[command] is not None:
                parse(command, {**content[command], **more, **pair, "output_dir": "unused"})
        if content["kind"] == "peer" and find_spec("electra_pytorch") is None:
            raise UserError(f"run {content['name']!r}: pip install --no-deps electra-pytorch")

    def job(self, name: str, seed: int) -> Job | None:
        """What there is to do, or None if it is done.

        Raises:
            UserError: the run was begun with other arguments.
        """
        content, folder = self.content(name, seed), self.folder / "runs" / name / f"seed-{seed}"
        self.check(content)
        file, text = folder / "job.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if (folder / "log.txt").is_file():
            others = [run.name for run in self.runs.values() if run.starts_from == name]
            _check_same(file, yaml.safe_load(file.read_text(encoding="utf-8")), content, others)
        if (folder / "done").is_file() and (folder / "done").read_text(encoding="utf-8") == text:
            return None
        elif self._known(content):
            return None
        if not self.args.dry_run:
            write_text(file, text)
        command = [sys.executable, str(Path(__file__).with_name("job.py")), str(file)]
        if (devices := self.args.devices_per_job) > 1 and self.runs[name].kind == "pretrain":
            command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(devices)]
        return Job(f"{name} seed {seed}", command, folder / "log.txt", self.planner.flops(name))

    def _known(self, content: dict[str, Any]) -> bool:
        """Whether another machine has trained and judged it alike: its result is here, and nothing needs its pair."""
        result = read_json(self.folder / "results" / f"{content['name']}-seed-{content['seed']}.json")
        if result is None or any(run.starts_from == content["name"] for run in self.runs.values()):
            return False
        parts = ("pretrain", "probe", "evaluate", "finetune")
        return result["kind"] == content["kind"] and all(result.get(part) == named(content[part]) for part in parts)

    def waves(self) -> list[list[Job]]:
        """What is to be done, and after it what goes on from its pairs."""
        waves: list[list[Job]] = []
        for name, seed in self.wanted():
            depth, start = 0, self.runs[name].starts_from
            while start is not None:
                depth, start = depth + 1, self.runs[start].starts_from
            waves += [[] for _ in range(depth + 1 - len(waves))]
            if (job := self.job(name, seed)) is not None:
                waves[depth].append(job)
        return waves


def _check_same(file: Path, before: dict[str, Any], now: dict[str, Any], others: Sequence[str]) -> None:
    """Whether the model is trained alike; it may be judged otherwise. `others` go on from it."""
    for part in ("kind", "seed", "starts_from", "reference", "soups", "devices", "pretrain"):
        then: Any = before.get(part)
        here: Any = now.get(part)
        if then != here:
            names = sorted({*then, *here}) if isinstance(then, dict) and isinstance(here, dict) else []
            name = next((name for name in names if then.get(name) != here.get(name)), None)
            values = (then, here) if name is None else (then.get(name), here.get(name))
            raise UserError(
                f"{file}: this run was begun with other arguments: {name or part} was {values[0]!r} and is "
                f"{values[1]!r}; give another output_dir, or remove {file.parent}"
                + "".join(
                    f" and {file.parents[2] / other / file.parent.name}, which goes on from it" for other in others
                )
            )


def prepare(args: ExperimentArguments) -> Experiments:
    """Checks what can be checked; makes the tokenizer where none is given.

    Raises:
        UserError: a question, scale or file that there is not.
    """
    scale = load_scale(args.scale)
    questions, runs = load_questions()
    asked = scale.asked(questions)
    check_names(f"question in scale {scale.name}", [name for name in scale.seeds if name != "default"], questions)
    check_names(f"question at scale {scale.name}", args.questions or [], asked)
    check_names(f"run in scale {scale.name}", [*scale.runs, scale.reference], runs)
    if not (args.train_file or args.dataset_name):
        raise UserError("no text: give --train_file and --validation_file, or --dataset_name")
    _check_files(args, scale)
    names = ("train_file", "validation_file", "dataset_name", "dataset_config_name")
    data = {name: value for name in names if (value := getattr(args, name)) is not None}
    data["tokenizer_name"] = args.tokenizer_name or str(Path(args.output_dir) / "tokenizer")
    if args.tokenizer_name is None and not Path(data["tokenizer_name"], "tokenizer.json").is_file():
        if args.dry_run:
            raise UserError("dry_run: there is no tokenizer yet, on which the steps depend; give --tokenizer_name")
        _make_tokenizer(data, scale)
    planner = Planner(scale, runs, data, load_tokenizer(data["tokenizer_name"]))
    return Experiments(args, scale, questions, args.questions or asked, runs, planner)


def _check_files(args: ExperimentArguments, scale: Scale) -> None:
    """Whether there is what the runs are judged by, too, which would be missed after they were trained."""
    for name in ("train_file", "validation_file", "pairs_file", "glue_data"):
        given = getattr(args, name)
        for path in [given] if isinstance(given, str) else given or []:
            if not Path(path).exists():
                raise UserError(f"{name}: there is no {path!r}")
    if args.reference_model:
        load_config(args.reference_model, "reference_model")
    names = {name for judge in (scale.probe, scale.finetune) for name in judge.get("task_name", [])}
    for name in TaskArguments(task_name=sorted(names)).task_name if names else []:
        _check_task(name, args.glue_data, scale)


def _check_task(name: str, folder: str | None, scale: Scale) -> None:
    task = find_task(name)
    if folder is None and task.dataset_name is None:
        raise UserError(f"glue_data: the scale {scale.name} judges by {name}, which the Hub has not: give a folder")
    if folder is not None:
        try:
            load_task(task, TaskArguments(task_name=[name], dataset_name=folder))
        except UserError as error:
            raise UserError(f"glue_data: {name}: {error}") from error


def _make_tokenizer(data: dict[str, Any], scale: Scale) -> None:
    words = ["tokenizer", "--output_dir", data["tokenizer_name"]]
    for key, value in {**data, **scale.tokenizer}.items():
        if key not in ("validation_file", "tokenizer_name"):
            words += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    if main(words):
        raise UserError("no tokenizer could be made: give --tokenizer_name")


def work(experiments: Experiments, say: Callable[[str], object]) -> None:
    """Trains and judges all that is left, and makes the page of what there is, whatever fails.

    Raises:
        UserError: some runs failed; what goes on from them is left out.
    """
    args = experiments.args
    environments = share_devices(args.num_jobs, args.devices_per_job, args.use_cpu)
    waves = experiments.waves()
    left = sum(map(len, waves))
    cost = sum(job.cost for wave in waves for job in wave)
    done = len(experiments.wanted()) - left
    say(f"{done + left} runs, {done} of them done; {cost:.2g} floating-point operations left")
    if args.dry_run:
        say("\n".join(f"  {job.name}: {job.cost:.2g} operations" for wave in waves for job in wave))
        return
    failed = []
    for wave in waves:
        try:
            run_jobs(wave, environments, say, "run")
        except UserError as error:
            failed.append(str(error))
    results = experiments.folder / "results"
    judge_alike(experiments.folder, experiments.scale.reference, say)
    try:
        say(write_report(results, experiments.folder / "experiments.md", experiments.scale))
    except UserError as error:
        failed.append(str(error))
    if failed:
        raise UserError("; ".join(failed))


def run(argv: Sequence[str]) -> int:
    """Does it all; the exit status."""

    def work_on() -> None:
        (args,) = parse_arguments(
            [ExperimentArguments],
            argv,
            prog="run.py",
            description=str(__doc__).splitlines()[0],
            positional="questions",
        )
        work(prepare(args), partial(print, flush=True))

    return exit_status("run.py", work_on)


if __name__ == "__main__":
    entry(lambda: run(sys.argv[1:]))
