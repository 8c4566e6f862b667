"""From arguments to a checkpoint: what `transformers-mcl pretrain` does, in steps that Python can call as well."""

from __future__ import annotations

import difflib
import platform
import shutil
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase, set_seed
from transformers.utils import logging

from ..data import (
    CorpusStatistics,
    DataArguments,
    DataCollatorForMcl,
    StreamStatistics,
    TextStream,
    check_tokenizer,
    load_corpus,
    load_stream,
    load_tokenizer,
    tokenize_and_pack,
)
from ..errors import Interrupted, UserError
from ..hub.model_card import RunSummary
from ..inspection.courses import Inspection, inspect_text
from ..io import versions
from ..models.configuration_mcl import DISCRIMINATOR_LOSSES, OBJECTIVES, MclConfig
from ..models.pretraining import MclForPreTraining
from .arguments import MclTrainingArguments
from .checkpoints import check_same_run, explaining_a_full_disk, last_checkpoint
from .curves import plot_curves
from .initialization import (
    check_vocabulary,
    grow_vocabulary,
    load_pair,
    pair_fields,
    pair_from_sources,
    sources_fields,
)
from .preflight import RATIOS, check_length, check_metric, check_output_dir, refusing
from .processes import check_processes, describe_engine, engine_warnings
from .stream_state import check_max_steps
from .trainer import MclTrainer

__all__ = ["DEMO_FOLDER", "ModelArguments", "PretrainingRun", "build_config", "prepare", "recipe_path"]

logger = logging.get_logger(__name__)

PRESETS = ("tiny", "small", "base", "large")
DEMO_FOLDER = Path(__file__).parents[1] / "data" / "demo"


@dataclass
class ModelArguments:
    """Which pair to train; names as in transformers' `run_mlm.py` where it has them."""

    preset: Literal["tiny", "small", "base", "large"] | None = field(
        default=None,
        metadata={
            "help": "Shape of the pair and training arguments to go with it (each can be overridden). Without "
            "training text: tiny; with: small."
        },
    )
    objective: Literal["mcl", "electra"] | None = field(
        default=None,
        metadata={"help": "mcl: all courses; electra: replaced token detection alone. mcl, or the checkpoint's."},
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "An MCL pair to go on from, instead of a preset's random weights."}
    )
    discriminator_name_or_path: str | None = field(
        default=None,
        metadata={"help": "An ELECTRA discriminator to go on from; its generator starts new if not given."},
    )
    generator_name_or_path: str | None = field(
        default=None, metadata={"help": "The ELECTRA generator to go on from with that discriminator."}
    )
    tokenizer_name: str | None = field(
        default=None, metadata={"help": "Tokenizer: a Hub name or a folder, as `transformers-mcl tokenizer` makes."}
    )
    config_overrides: str | None = field(
        default=None,
        metadata={"help": "Other fields of MclConfig, as name=value,name=value: num_hidden_layers=6,hidden_act=relu"},
    )
    discriminator_weight: float | None = field(
        default=None, metadata={"help": "Weight of each of the objective's discriminator losses (50)."}
    )
    loss_weights: dict[str, float] | None = field(
        default=None, metadata={"help": "Weights that differ from the objective's, as JSON: '{\"re_std\": 0}'"}
    )
    mask_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to mask (0.15)."})
    swap_ratio: float | None = field(default=None, metadata={"help": "Share of tokens to swap (0.15)."})
    insert_ratio: float | None = field(default=None, metadata={"help": "Inserted slots per token (0.15)."})
    attn_implementation: str | None = field(
        default=None, metadata={"help": "eager, sdpa, flex_attention, or without relative bias flash_attention_2."}
    )
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads and prepared text are kept."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model and tokenizer on the Hub."})
    token: str | None = field(default=None, metadata={"help": "Token for private repositories of the Hub."})
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Start anew in a folder that holds another run, removing its checkpoints."}
    )

    @property
    def base_checkpoints(self) -> list[str]:
        """What to go on from: none, a pair, a discriminator, or a discriminator and its generator.

        Raises:
            UserError: a pair and another, or a generator alone.
        """
        if self.generator_name_or_path and not self.discriminator_name_or_path:
            raise UserError(
                f"generator_name_or_path {self.generator_name_or_path!r} alone: give --discriminator_name_or_path "
                "too, the half that is kept and fine-tuned"
            )
        if self.model_name_or_path and self.discriminator_name_or_path:
            raise UserError(
                f"model_name_or_path {self.model_name_or_path!r} is a pair, and discriminator_name_or_path "
                f"{self.discriminator_name_or_path!r} half of another: give one of them"
            )
        names = (self.model_name_or_path, self.discriminator_name_or_path, self.generator_name_or_path)
        return [name for name in names if name]


def recipe_path(preset: str) -> Path:
    """The YAML file of training arguments that go with a preset."""
    return Path(__file__).parents[1] / "presets" / f"{preset}.yaml"


@dataclass
class PretrainingRun:
    """A run that has been checked and prepared; `plan()`, then `train()`, then `finish()`."""

    trainer: MclTrainer
    tokenizer: PreTrainedTokenizerBase
    rows: DatasetDict
    statistics: dict[str, CorpusStatistics | StreamStatistics]
    preset: str | None
    source: str
    base_checkpoints: list[str]
    new_tokens: int
    checkpoint: str | None
    recipe: str
    seconds: float = 0.0  # that training took, before a resume as well

    @property
    def model(self) -> MclForPreTraining:
        return self.trainer.model

    @property
    def folder(self) -> Path:
        """Where the pair and all that belongs to it goes."""
        return Path(str(self.trainer.args.output_dir))

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        args = self.trainer.args
        if args.max_steps > 0:
            return args.max_steps
        return int(self.trainer.set_initial_training_values(args, self.trainer.get_train_dataloader())[-1])

    @cached_property
    def tokens_per_step(self) -> int:
        """Tokens that one optimizer step reads, padding not counted, over all processes."""
        train = self.statistics["train"]
        if isinstance(train, StreamStatistics) or self._packed:
            return self._rows_per_step * self._row_length
        return round(self._rows_per_step * train.tokens / train.rows)

    @property
    def _rows_per_step(self) -> int:
        args = self.trainer.args
        return args.train_batch_size * args.gradient_accumulation_steps * args.world_size

    def tokens(self, steps: int) -> int:
        """Tokens that the first `steps` train on, padding not counted, over all processes."""
        warmup = self.trainer.args.get_batch_warmup(self.steps)
        return round(self.tokens_per_step * warmup.full_steps(steps, self._row_length))

    @property
    def _packed(self) -> bool:
        return self.rows["train"].features["input_ids"].length > 0

    @property
    def _row_length(self) -> int:
        split = "train" if "train" in self.rows else "validation"  # a stream's rows are as long as the held-out ones
        return len(self.rows[split][0]["input_ids"])

    @property
    def _epochs(self) -> str:
        train = self.statistics["train"]
        if isinstance(train, StreamStatistics):
            return "of a stream"
        return f"{self.steps * self._rows_per_step / max(train.rows, 1):.2f} epochs"

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Parameters of each half, with those that they share counted in both, and the shared ones."""
        discriminator = {p.data_ptr(): p.numel() for n, p in self.model.named_parameters() if "generator." not in n}
        generator = {p.data_ptr(): p.numel() for p in self.model.generator.parameters()}
        return {
            "discriminator": sum(discriminator.values()),
            "generator": sum(generator.values()),
            "shared": sum(n for pointer, n in generator.items() if pointer in discriminator),
        }

    @cached_property
    def baselines(self) -> dict[str, float]:
        """What knows no context would reach on the held-out text: the share of its most frequent token, and the
        entropy of its tokens (nats), the least loss of a model that gives every place the same distribution."""
        config = self.model.config
        ids = np.concatenate([np.asarray(row) for row in self.rows["validation"]["input_ids"]])
        special = [config.pad_token_id or 0, config.cls_token_id, config.sep_token_id]
        counts = np.bincount(ids[~np.isin(ids, special)])
        shares = counts[counts > 0] / counts.sum()
        return {"most_frequent_token": float(shares.max()), "unigram_entropy": float(-(shares * np.log(shares)).sum())}

    def plan(self) -> str:
        """What the run will do, for people: data, model, courses, steps, device."""
        args, config, p = self.trainer.args, self.model.config, self.parameters
        tokens = self.tokens(self.steps)
        weights = ", ".join(f"{name} {weight:g}" for name, weight in config.weights.items() if weight)
        if (warmup := args.get_course_warmup_steps(self.steps)) and config.active_courses != ("rtd",):
            weights += f" (mlm and rtd alone for the first {warmup:,} steps)"
        flops = args.planned_flops(config, self.steps, self._row_length)
        flops *= tokens / (self.steps * self.tokens_per_step)  # but for attention over shorter rows
        bases = " and ".join(self.base_checkpoints)
        shape = f"goes on from {bases}" if bases else f"preset {self.preset}"
        grown = f", {self.new_tokens:,} of them new to the model" if self.new_tokens else ""
        lines = {
            "text": self.source,
            "train": str(self.statistics["train"]),
            "held out": str(self.statistics["validation"]),
            "tokenizer": f"{self.tokenizer.name_or_path}, {len(self.tokenizer):,} entries{grown}",
            "model": f"{shape}; discriminator {p['discriminator']:,} parameters, generator {p['generator']:,}, "
            f"of which {p['shared']:,} are shared",
            "losses": weights,
            "ratios": f"masked {config.mask_ratio:g}, swapped {config.swap_ratio:g}, inserted {config.insert_ratio:g}",
            "steps": f"{self.steps:,} of {self.tokens_per_step:,} tokens, {tokens:,} in all: {self._epochs}, "
            f"{flops:.2g} floating-point operations",
            "device": f"{args.device}, {describe_engine(self.trainer)}, {_precision(args)}, "
            f"{torch.get_num_threads()} threads"
            + (f", at best {peak:.3g} operations a second each" if (peak := args.get_peak_flops()) else ""),
            "output": args.output_dir,
        }
        if config.document_attention:
            lines["documents"] = "kept apart in attention and positions"
        if self.checkpoint:
            lines["resumes"] = self.checkpoint
        return "\n".join(f"  {name:<10} {text}" for name, text in lines.items())

    def train(self) -> None:
        """Trains, saves the pair with its tokenizer into the output folder, and evaluates it on the held-out text."""
        trainer = self.trainer
        if trainer.is_world_process_zero():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Another run's, which the arguments allow to overwrite: only now that nothing can be refused any more.
            for other in [] if self.checkpoint else self.folder.glob("checkpoint-*"):
                shutil.rmtree(other)
            (self.folder / "recipe.yaml").write_text(self.recipe, encoding="utf-8")
        result = trainer.train(resume_from_checkpoint=self.checkpoint)
        self.seconds = trainer.training_seconds
        if trainer.stopped_by_signal:
            raise Interrupted(
                f"SIGTERM: saved at step {trainer.state.global_step} of {trainer.state.max_steps} as "
                f"{last_checkpoint(self.folder)}; the same command with --resume_from_checkpoint true goes on"
            )
        if trainer.is_fsdp_enabled:  # checkpoints may be sharded; what comes out is whole
            trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        with explaining_a_full_disk(self.folder, "the pair"):
            trainer.save_model()
            trainer.save_state()
            trainer.save_metrics("train", result.metrics)
        trainer.save_metrics("eval", trainer.evaluate() | self.baselines)

    @property
    def evaluation(self) -> dict[str, float]:
        """The last evaluation's figures, without their prefix."""
        history = self.trainer.state.log_history
        last = next((entry for entry in reversed(history) if "eval_loss" in entry), {})
        return {name.removeprefix("eval_"): value for name, value in last.items() if name.startswith("eval_")}

    def summary(self) -> RunSummary:
        """What a reader of the checkpoint's card wants to know."""
        trainer = self.trainer
        state = trainer.state
        train = next((entry for entry in reversed(state.log_history) if "loss" in entry), {})
        return RunSummary(
            config=self.model.config,
            parameters=self.parameters,
            data=f"{self.source}: {self.statistics['train']}; held out: {self.statistics['validation']}",
            recipe=self.recipe,
            steps=state.global_step,
            tokens=self.tokens(state.global_step),
            seconds=self.seconds or trainer.training_seconds,
            hardware=_hardware(trainer.args),
            versions=versions("torch", "transformers"),
            train=train,
            evaluation=self.evaluation | self.baselines,
            curves="curves.png",
            warnings=[warning["message"] for warning in trainer.health_warnings],
            base_checkpoint=self.base_checkpoints,
        )

    def finish(self) -> Inspection:
        """Writes the picture of the curves and the model card beside the checkpoint, pushes them all if asked to, and
        looks at one held-out sentence through the trained pair."""
        trainer = self.trainer
        if trainer.is_world_process_zero():
            plot_curves(
                trainer.state.log_history,
                self.folder / "curves.png",
                title=f"{self.folder.name}: {trainer.state.global_step:,} steps of {self.tokens_per_step:,} tokens",
                baseline=self.baselines["most_frequent_token"],
            )
            trainer.create_model_card()
        if trainer.args.push_to_hub:
            trainer.push_to_hub()
        return inspect_text(self.model, self.tokenizer, self._sentence())

    def _sentence(self) -> str:
        """The first twenty tokens of the held-out text."""
        special = set(self.tokenizer.all_special_ids)
        ids = [i for i in self.rows["validation"][0]["input_ids"] if i not in special]
        return str(self.tokenizer.decode(ids[:20]))


def prepare(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    recipe: str = "",
) -> PretrainingRun:
    """Checks everything that can be checked, then reads, tokenizes and packs the text and builds the pair.

    Args:
        recipe: the arguments as YAML, kept beside the checkpoint.

    Raises:
        UserError: whatever the user can mend; before any long work.
    """
    if data_args.streaming:
        check_max_steps(training_args.max_steps)
    check_processes(training_args.world_size)
    checkpoint = check_output_dir(training_args, model_args.overwrite_output_dir)
    demo = not (data_args.train_file or data_args.dataset_name)
    preset = None if model_args.base_checkpoints else model_args.preset or ("tiny" if demo else "small")
    if demo:
        data_args.train_file = [str(DEMO_FOLDER / "train.txt")]
        data_args.validation_file = [str(DEMO_FOLDER / "validation.txt")]
    tokenizer = _tokenizer(model_args, demo)
    config = build_config(model_args, preset, tokenizer)
    length = data_args.max_seq_length or min(128, config.max_position_embeddings)
    check_length(config, length)
    training_args.get_batch_warmup(1).check(length, packed=not data_args.line_by_line)
    _agree_on_documents(config, data_args)

    check_metric(training_args, config)

    set_seed(training_args.seed)
    model = _model(model_args, config)
    new_tokens = grow_vocabulary(model, tokenizer)
    with refusing("optim"):  # a package that is missing, before any text is read
        MclTrainer.get_optimizer_cls_and_kwargs(training_args, model)
    with training_args.main_process_first(desc="preparing the text"):
        train, rows, statistics, source = _text(model_args, data_args, training_args, tokenizer, length)
    with refusing("training arguments"):
        trainer = MclTrainer(
            model,
            training_args,
            train_dataset=train,
            eval_dataset=rows["validation"],
            data_collator=DataCollatorForMcl(tokenizer, pad_to_multiple_of=None if not data_args.line_by_line else 8),
            processing_class=tokenizer,
        )
    run = PretrainingRun(
        trainer=trainer,
        tokenizer=tokenizer,
        rows=rows,
        statistics=statistics,
        preset=preset,
        source="the text inside the package" if demo else source,
        base_checkpoints=model_args.base_checkpoints,
        new_tokens=new_tokens,
        checkpoint=checkpoint,
        recipe=recipe,
    )
    trainer.summarize = run.summary
    for said in engine_warnings(trainer) if trainer.is_world_process_zero() else ():
        logger.warning(said)
    if checkpoint:
        check_same_run(Path(checkpoint), trainer.identity, model.config, training_args.ignore_data_skip)
    return run


def _text(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    length: int,
) -> tuple[Dataset | TextStream, DatasetDict, dict[str, CorpusStatistics | StreamStatistics], str]:
    """What to train on, the prepared rows of each split, what each holds, and where the training text is from."""
    if not data_args.streaming:
        corpus = load_corpus(data_args, model_args.cache_dir)
        rows, statistics = tokenize_and_pack(corpus, tokenizer, data_args, max_seq_length=length)
        return rows["train"], rows, dict(statistics), corpus["train"].info.description
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    stream, held_out = load_stream(
        data_args, tokenizer, max_seq_length=length, seed=seed, cache_dir=model_args.cache_dir
    )
    rows, statistics = tokenize_and_pack(held_out, tokenizer, data_args, max_seq_length=length)
    source = data_args.dataset_name or ", ".join(data_args.train_file or [])
    return stream, rows, {**statistics, "train": stream.statistics}, f"{source}, streamed"


def _hub(model_args: ModelArguments) -> dict[str, Any]:
    """Where configuration, weights and tokenizer alike come from."""
    return {"cache_dir": model_args.cache_dir, "revision": model_args.model_revision, "token": model_args.token}


def _tokenizer(model_args: ModelArguments, demo: bool) -> PreTrainedTokenizerBase:
    demo_name = str(DEMO_FOLDER / "tokenizer") if demo else None
    name = model_args.tokenizer_name or next(iter(model_args.base_checkpoints), demo_name)
    if name is None:
        raise UserError(
            "no tokenizer: give --tokenizer_name, or make one from your text with "
            "`transformers-mcl tokenizer --train_file ... --vocab_size ... --output_dir ...`"
        )
    tokenizer = load_tokenizer(name, **_hub(model_args))
    check_tokenizer(tokenizer)
    return tokenizer


def build_config(model_args: ModelArguments, preset: str | None, tokenizer: PreTrainedTokenizerBase) -> MclConfig:
    """The preset's configuration, or the checkpoint's, with the tokenizer's ids and what the arguments change."""
    changes = _overrides(model_args)
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("pad", "cls", "sep", "mask")}
    if preset is not None:
        start = {"vocab_size": len(tokenizer), **ids}
        weights = OBJECTIVES["mcl"]
    else:
        start = _checkpoint_fields(model_args, changes)
        check_vocabulary(tokenizer, model_args.base_checkpoints, **_hub(model_args))
        weights = start.get("loss_weights", OBJECTIVES["mcl"])
        for name, value in ids.items():
            if start.setdefault(name, value) != value:
                raise UserError(
                    f"tokenizer {tokenizer.name_or_path!r}: {name} is {value}, but the model's is {start[name]}"
                )
    weights = OBJECTIVES[model_args.objective] if model_args.objective else weights
    if (weight := model_args.discriminator_weight) is not None:
        weights = {
            name: weight if given and name in DISCRIMINATOR_LOSSES else given for name, given in weights.items()
        }
    changes["loss_weights"] = weights | (model_args.loss_weights or {})
    build = MclConfig if preset is None else getattr(MclConfig, preset)
    config = build(**{**start, **changes})
    if preset is not None:  # a checkpoint's vocabulary grows
        check_tokenizer(tokenizer, config.vocab_size)
    return config


def _checkpoint_fields(model_args: ModelArguments, changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of the configuration that what to go on from has."""
    first = model_args.base_checkpoints[0]
    if model_args.model_name_or_path:
        return pair_fields(first, changes, **_hub(model_args))
    return sources_fields(first, model_args.generator_name_or_path, changes, **_hub(model_args))


def _model(model_args: ModelArguments, config: MclConfig) -> MclForPreTraining:
    """The pair as it begins."""
    arguments = {"attn_implementation": model_args.attn_implementation, **_hub(model_args)}
    if model_args.model_name_or_path:
        return load_pair(model_args.model_name_or_path, config, **arguments)
    if source := model_args.discriminator_name_or_path:
        return pair_from_sources(config, source, model_args.generator_name_or_path, **arguments)
    pair: MclForPreTraining = MclForPreTraining._from_config(
        config, attn_implementation=model_args.attn_implementation
    )
    return pair


def _overrides(model_args: ModelArguments) -> dict[str, Any]:
    known = {f.name for f in fields(MclConfig)}
    changes: dict[str, Any] = {name: getattr(model_args, name) for name in RATIOS}
    changes = {name: value for name, value in changes.items() if value is not None}
    for item in (model_args.config_overrides or "").split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not item.strip():
            continue
        if not equals or name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"config_overrides: {item.strip()!r} is not name=value of a field of MclConfig"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        changes[name] = yaml.safe_load(value)
    return changes


def _agree_on_documents(config: MclConfig, data_args: DataArguments) -> None:
    """Rows are laid out as the pair reads them: as asked for, or else as its checkpoint was trained."""
    asked = config.document_attention if data_args.document_attention is None else data_args.document_attention
    config.document_attention = data_args.document_attention = asked and not data_args.line_by_line


def _precision(args: MclTrainingArguments) -> str:
    return "bfloat16 autocast" if args.bf16 else "float16 autocast" if args.fp16 else "float32"


def _hardware(args: MclTrainingArguments) -> str:
    if args.device.type == "cuda":
        return f"{args.world_size} x {torch.cuda.get_device_name(args.device)}"
    return f"{platform.machine()} CPU, {args.world_size} x {torch.get_num_threads()} threads"
