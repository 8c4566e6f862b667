"""The paper's study of course soups: a pair for every mixture of the corrections, all from one start."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml
from accelerate.utils import release_memory
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from jobs import Job, run_jobs, share_devices
from transformers_mcl import MclConfig, MclTrainingArguments
from transformers_mcl.data import DataArguments
from transformers_mcl.errors import UserError, check_names
from transformers_mcl.io import atomic_folder, read_json, write_text
from transformers_mcl.models.flops import step_flops
from transformers_mcl.soups.soup import METHODS
from transformers_mcl.training.checkpoints import last_checkpoint
from transformers_mcl.training.run import ModelArguments, PretrainingRun, prepare

__all__ = [
    "CORRECTIONS",
    "INGREDIENTS",
    "MCL",
    "Study",
    "StudyArguments",
    "module_command",
    "prepare_study",
    "weights_without_others",
]

CORRECTIONS = ("re_mlm", "re_slm", "re_rtd", "re_std")
INGREDIENTS = {
    "-".join(subset): subset for size in range(1, len(CORRECTIONS)) for subset in combinations(CORRECTIONS, size)
}
"""The paper's fourteen: by name, which of the corrections each is trained with."""
MCL = "mcl"


def weights_without_others(corrections: Collection[str]) -> dict[str, float]:
    """Of the four corrections' losses, 0 for all but those: what an ingredient's training changes of MCL's weights."""
    return {loss: 0.0 for loss in CORRECTIONS if loss not in corrections}


# What builds the pair that all begin from, and is not said again to those that go on from it.
_OF_THE_START = {"preset", "objective", "config_overrides", "discriminator_weight", "discriminator_name_or_path"}
_OF_THE_START |= {"generator_name_or_path", "model_name_or_path", "model_revision", "mask_ratio", "swap_ratio"}
_OF_THE_START |= {"insert_ratio", "loss_weights", "overwrite_output_dir"}
# What may change between two calls: it makes no other ingredients.
_FREE = {"output_dir", "cache_dir", "token", "hub_token", "overwrite_cache", "preprocessing_num_workers"}
_FREE |= {"report_to", "run_name", "project", "disable_tqdm", "log_level", "logging_steps", "logging_first_step"}
_FREE |= {"save_steps", "save_total_limit", "save_strategy", "eval_strategy", "eval_steps", "max_eval_samples"}
_FREE |= {"per_device_eval_batch_size", "dataloader_num_workers"}


@dataclass
class StudyArguments:
    """The study's own arguments; all others are those of `transformers-mcl pretrain`.

    Raises:
        UserError: an ingredient or a method that there is not.
    """

    ingredients: list[str] | None = field(
        default=None,
        metadata={
            "help": "Which to train and mix, as re_mlm-re_std names them, and mcl. Default: all fourteen and mcl."
        },
    )
    methods: list[str] = field(
        default_factory=lambda: list(METHODS), metadata={"help": f"Soups to make: {', '.join(METHODS)}."}
    )
    soup_score: Literal["pretraining_loss", "blimp"] = field(
        default="pretraining_loss", metadata={"help": "What weighted, greedy and learned go by."}
    )
    max_evaluations: int = field(default=50, metadata={"help": "Averages that learned may look at."})
    num_jobs: int | None = field(
        default=None, metadata={"help": "How many train at a time. Default: as devices allow; one on the CPU."}
    )
    devices_per_job: int = field(default=1, metadata={"help": "GPUs that each trains on."})
    train_only: bool = field(
        default=False, metadata={"help": "Make no soups yet: for ingredients shared out among machines."}
    )
    finetune_config: str | None = field(
        default=None, metadata={"help": "A file of arguments of `transformers-mcl finetune`: all are fine-tuned so."}
    )
    blimp: bool = field(default=False, metadata={"help": "Judge all by BLiMP's minimal pairs, from the Hub."})
    pairs_file: list[str] | None = field(default=None, metadata={"help": "Judge all by these minimal pairs instead."})
    limit: float | None = field(
        default=None, metadata={"help": "Of each paradigm of pairs a sample: a share if below 1, else a number."}
    )
    diagnose: bool = field(default=True, metadata={"help": "Measure distances, angles and barriers as well."})
    diagnose_points: int = field(default=1, metadata={"help": "Losses between any two ingredients."})

    def __post_init__(self) -> None:
        known = [*INGREDIENTS, MCL]
        self.ingredients = known if self.ingredients is None else self.ingredients
        check_names("ingredients", self.ingredients, known)
        check_names("methods", self.methods, METHODS)
        self.ingredients = [name for name in known if name in self.ingredients]
        if self.ingredients == [MCL] and not self.train_only:
            raise UserError(f"ingredients: {MCL} alone makes no soup")
        if self.finetune_config is not None and not Path(self.finetune_config).is_file():
            raise UserError(f"finetune_config: there is no file {self.finetune_config!r}")
        if self.soup_score == "blimp" and not (self.blimp or self.pairs_file):
            raise UserError("soup_score=blimp needs minimal pairs: give --pairs_file, or --blimp true")


@dataclass
class Study:
    """One that has been checked; `train()`, then `results.finish` makes the soups and compares.

    Attributes:
        folder: where all goes: `initial`, `ingredients`, `soups`.
        given: arguments of `pretrain`, that every ingredient has.
        config: that of the pair in `initial`.
        rows: the held-out ones.
        plan: what each trains, for people.
        costs: operations of each ingredient's training, one in proportion to another.
    """

    args: StudyArguments
    folder: Path
    given: dict[str, Any]
    config: MclConfig
    tokenizer: PreTrainedTokenizerBase
    rows: Dataset
    training_args: MclTrainingArguments
    plan: str
    costs: dict[str, float]

    @property
    def initial(self) -> Path:
        """The pair that all begin from."""
        return self.folder / "initial"

    @property
    def names(self) -> list[str]:
        """Of the ingredients, and mcl, that were asked for."""
        return self.args.ingredients or []

    def ingredient(self, name: str) -> Path:
        """Where it is trained."""
        return self.folder / "ingredients" / name

    def is_done(self, name: str) -> bool:
        """Whether it is trained: what a run writes after its pair."""
        return read_json(self.ingredient(name) / "eval_results.json") is not None

    @cached_property
    def environments(self) -> list[dict[str, str]]:
        """Of the jobs that run at a time; see `jobs.share_devices`."""
        use_cpu = self.training_args.device.type != "cuda"
        return share_devices(self.args.num_jobs, self.args.devices_per_job, use_cpu)

    def train(self, say: Callable[[str], object]) -> None:
        """Trains what is not trained yet; a half-trained one goes on from its last checkpoint.

        Raises:
            UserError: some failed.
            Interrupted: SIGTERM; they have saved.
        """
        left = [name for name in self.names if not self.is_done(name)]
        say(f"{len(self.names) - len(left)} of {len(self.names)} ingredients are trained")
        jobs = [
            Job(name, self._command(name), self.ingredient(name).parent / f"{name}.log", self.costs[name])
            for name in left
        ]
        run_jobs(jobs, self.environments, say, "training")

    def _command(self, name: str) -> list[str]:
        folder, file = self.ingredient(name), self.ingredient(name).parent / f"{name}.yaml"
        corrections = INGREDIENTS.get(name, CORRECTIONS)
        own = {
            "model_name_or_path": str(self.initial),
            "loss_weights": weights_without_others(corrections),
            "output_dir": str(folder),
        }
        write_text(file, _yaml({k: v for k, v in self.given.items() if k not in _OF_THE_START} | own))
        goes_on = ["--resume_from_checkpoint" if last_checkpoint(folder) else "--overwrite_output_dir", "true"]
        command = module_command("pretrain", "--config", str(file), *goes_on)
        if (devices := self.args.devices_per_job) > 1:
            command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(devices)]
        return command


def module_command(*words: str) -> list[str]:
    """The command line of this package, in this Python."""
    return [sys.executable, "-m", "transformers_mcl.cli", *words]


def prepare_study(
    args: StudyArguments,
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    given: dict[str, Any],
) -> Study:
    """Checks everything that can be checked, prepares the text, and saves the pair that all begin from.

    Args:
        given: the arguments of `pretrain` that were given or come with the preset, for the ingredients.

    Raises:
        UserError: whatever the user can mend; before any training. So is a study that is not that of the
            ingredients in the folder.
    """
    folder = Path(str(training_args.output_dir))
    given = json.loads(json.dumps(given, default=str))
    for name, asked, instead in (
        ("push_to_hub", training_args.push_to_hub, "push the soup that you choose"),
        ("push_revisions", training_args.push_revisions, "its ingredients would overwrite each other's"),
        ("resume_from_checkpoint", training_args.resume_from_checkpoint, "the same command goes on by itself"),
        ("overwrite_output_dir", model_args.overwrite_output_dir, "remove the folder, or give another"),
    ):
        if asked:
            raise UserError(f"{name} does not go with this study: {instead}")
    if folder.is_file():
        raise UserError(f"output_dir {str(folder)!r} is a file: give a folder")
    begun = (folder / "ingredients").is_dir() and (folder / "initial").is_dir()
    if begun:
        _check_same(folder / "recipe.yaml", given)
    elif folder.is_dir() and not all(re.fullmatch(r"\.?initial.*|recipe\.yaml", one.name) for one in folder.iterdir()):
        raise UserError(f"output_dir {str(folder)!r} holds something else: give another, or empty it")
    with TemporaryDirectory() as nothing:  # a trainer wants a folder, and writes nothing before it trains
        training_args.output_dir = nothing
        run = prepare(model_args, data_args, training_args)
    training_args.output_dir = str(folder)
    _check_weights(run.model.config)
    study = Study(
        args,
        folder,
        given,
        run.model.config,
        run.tokenizer,
        run.rows["validation"],
        training_args,
        run.plan(),
        _costs(run),
    )
    _ = study.environments  # refuses what the devices do not allow
    if not begun:
        with atomic_folder(study.initial, replace=True) as draft:
            run.model.save_pretrained(draft)
            run.tokenizer.save_pretrained(draft)
            write_text(folder / "recipe.yaml", _yaml(given))
    del run
    release_memory()  # the ingredients may need what the pair held
    return study


def _check_weights(config: MclConfig) -> None:
    for name, weight in config.weights.items():
        if not weight:
            raise UserError(f"loss_weights: {name} has weight 0, and the study needs all nine losses")


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def _check_same(path: Path, given: Mapping[str, Any]) -> None:
    """Ingredients of two studies are none of one soup."""
    before: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    kinds = (ModelArguments, DataArguments, MclTrainingArguments)
    defaults = {f.name: f.default for kind in kinds for f in fields(kind) if f.default is not MISSING}
    for name in sorted((before.keys() | given.keys()) - _FREE):
        then, now = (values.get(name, defaults.get(name)) for values in (before, given))
        if then != now:
            raise UserError(
                f"{name} is {now!r}, and was {then!r} when the ingredients in {path.parent} were trained: "
                "give another output_dir, or the same arguments"
            )


def _costs(run: PretrainingRun) -> dict[str, float]:
    def cost(corrections: Sequence[str]) -> float:
        weights = run_weights | weights_without_others(corrections)
        return step_flops(run.model.config, 1, len(run.rows["validation"][0]["input_ids"]), weights)

    run_weights = dict(run.model.config.weights)
    return {name: cost(corrections) for name, corrections in INGREDIENTS.items()} | {MCL: cost(CORRECTIONS)}
