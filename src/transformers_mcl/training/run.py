"""From arguments to a checkpoint: what `transformers-mcl pretrain` does, in steps that Python can call as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.utils import broadcast_object_list
from datasets import Dataset, DatasetDict
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, set_seed
from transformers.utils import logging

from ..data import (
    CorpusStatistics,
    DataArguments,
    DataCollatorForMcl,
    StreamStatistics,
    TextStream,
    load_corpus,
    load_stream,
    tokenize_and_pack,
)
from ..data.collator import padding_multiple
from ..data.coverage import check_coverage
from ..data.files import find_files
from ..data.packing import TokenStream
from ..data.shards import read_documents
from ..data.sources import name_sources
from ..data.tokenizer import fit_tokenizer, tokens_a_word
from ..errors import Interrupted, UserError
from ..hub.model_card import RunSummary
from ..io import files_into, versions, write_text
from ..locks import claimed
from ..method.courses import COURSES
from ..models.configuration_mcl import MclConfig
from ..models.pretraining import MclForPreTraining
from .arguments import LENGTHS, MclTrainingArguments
from .baselines import token_entropy, token_shares
from .callbacks import format_seconds
from .checkpoints import explaining_a_full_disk, last_checkpoint, remembered, remove_all
from .compiling import Compiling, compiling_pays, why_not
from .curves import plot_curves
from .from_arguments import DEMO_FOLDER, build_config, build_pair, open_tokenizer
from .initialization import grow_vocabulary
from .lengths import Asked, settle
from .measure import Speed, measurable, measure, rough_seconds, too_large
from .memory import format_bytes
from .model_arguments import ModelArguments
from .precision import device_name
from .preflight import check_attention, check_metric, check_output_dir, check_seq_length, refusing
from .processes import check_processes, describe_engine, describe_threads, engine_warnings
from .samples import SamplesCallback, known_texts
from .stream_state import check_max_steps
from .trainer import MclTrainer
from .workload import Workload

__all__ = ["DEMO_FOLDER", "ModelArguments", "PretrainingRun", "build_config", "prepare", "preset_path"]

logger = logging.get_logger(__name__)

_SHARDS_TRIED, _DOCUMENTS_TRIED = 8, 50
_SAMPLES = 3  # sentences that are looked at while training
_LONG_WORD = 10  # tokens in the mean: of a language that writes without spaces, and is not split into words


def preset_path(preset: str) -> Path:
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
    backbone: str | None
    source: str
    base_checkpoints: list[str]
    new_tokens: int
    checkpoint: str | None
    recipe: str
    speed: Speed | None = None  # if it was measured
    card: dict[str, Any] = field(default_factory=dict)  # of the `RunSummary`, what only the arguments say
    length: str = ""  # why it is as long as it is, if its arguments do not say so themselves
    seconds: float = 0.0  # that training took, before a resume as well

    @property
    def model(self) -> MclForPreTraining:
        return self.trainer.model

    @property
    def folder(self) -> Path:
        """Where the pair and all that belongs to it goes."""
        return Path(str(self.trainer.args.output_dir))

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.workload.steps

    @cached_property
    def workload(self) -> Workload:
        """How much the whole run will read and compute."""
        args, work = self.trainer.args, self.one_step
        if args.max_steps > 0:
            return replace(work, steps=args.max_steps)
        values = self.trainer.set_initial_training_values(args, self.trainer.get_train_dataloader())
        return replace(work, steps=int(values[-1]))

    @cached_property
    def one_step(self) -> Workload:
        """Of a run of one step."""
        args, config, train = self.trainer.args, self.model.config, self.rows.get("train")
        if train is None:  # a stream's rows are as long as the held-out ones
            return Workload(args, config, 1, None, len(self.rows["validation"][0]["input_ids"]))
        return Workload(args, config, 1, len(train), len(TokenStream(train)) / len(train))

    def settle_length(self, asked: Asked) -> None:
        """Gives the arguments, and the recipe, the steps of what is asked for.

        Raises:
            UserError: what [`settle`] refuses, or a schedule that so many steps cannot have.
        """
        length = settle(asked, self.one_step, self.measure, self.checkpoint)
        self.trainer.args.max_steps, self.length = length.steps, length.reason
        self.trainer.args.check_schedule()
        if self.recipe:
            kept = {k: v for k, v in yaml.safe_load(self.recipe).items() if k not in (*LENGTHS, "up_to_steps")}
            self.recipe = yaml.safe_dump({**kept, "max_steps": length.steps}, sort_keys=False, allow_unicode=True)

    def measure(self, **given: Any) -> Speed | None:
        """The run's speed, which `plan` says as well, together with the hours and the memory that it needs; None where
        it cannot be measured, under FSDP and DeepSpeed.

        Args:
            given: arguments of [`measure.measure`].

        Raises:
            UserError: a batch does not fit in memory.
        """
        if self.speed is None and measurable(self.trainer):
            self.speed = measure(self.trainer, **given)
        return self.speed

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
        shares = token_shares(self.rows["validation"], self.model.config)
        return {"most_frequent_token": float(shares.max()), "unigram_entropy": token_entropy(shares)}

    @cached_property
    def tokens_a_word(self) -> float:
        """In the mean of the first held-out rows."""
        rows = self.rows["validation"][:100]["input_ids"]
        return tokens_a_word(self.tokenizer.batch_decode(rows, skip_special_tokens=True), self.tokenizer)

    def plan(self) -> str:
        """What the run will do, for people: data, model, courses, steps, device."""
        args, config, p, work = self.trainer.args, self.model.config, self.parameters, self.workload
        weights = ", ".join(f"{name} {weight:g}" for name, weight in config.weights.items() if weight)
        weights += self._begins_with()
        bases = " and ".join(self.base_checkpoints)
        shape = f"goes on from {bases}" if bases else f"preset {self.preset}" if self.preset else ""
        shape = " and ".join(filter(None, (self.backbone and f"new, of the shape of {self.backbone}", shape)))
        grown = f", {self.new_tokens:,} of them new to the model" if self.new_tokens else ""
        lines = {
            "text": self.source,
            "train": str(self.statistics["train"]),
            "held out": str(self.statistics["validation"]),
            "tokenizer": f"{self.tokenizer.name_or_path}, {len(self.tokenizer):,} entries{grown}",
            "model": f"{shape}; discriminator {p['discriminator']:,} parameters, generator {p['generator']:,}, "
            f"of which {p['shared']:,} are shared",
            "encoders": self._encoders(),
            "losses": weights,
            "ratios": ", ".join(f"{c.operation} {c.ratio_of(config):g}" for c in config.curriculum().courses),
            "steps": f"{work.steps:,} of {work.tokens_per_step:,} tokens, {work.tokens:,} in all: {work.epochs}, "
            f"{work.flops:.2g} floating-point operations",
            "device": f"{args.device}, {describe_engine(self.trainer)}, {args.precision}, {describe_threads()}"
            + (f", at best {peak:.3g} operations a second each" if (peak := args.get_peak_flops()) else ""),
            "output": args.output_dir,
        }
        on, reason = self.compiling
        if on:
            lines["compiled"] = (
                f"each pass of a network, in the first steps, which takes minutes ({reason}); what it gains here, "
                "`transformers-mcl plan` says with --torch_compile true and without"
            )
        else:
            lines["compiled"] = f"no ({reason})"
        if self.length:
            lines["length"] = self.length
        if self.speed:
            lines["time"] = _time(self.speed, work)
        if config.document_attention:
            lines["documents"] = "kept apart in attention and positions"
        if config.whole_word_mask:
            lines["words"] = f"{_by_words(config)} whole; one has {self.tokens_a_word:.2f} tokens in the mean"
        if self.checkpoint:
            lines["resumes"] = self.checkpoint
        return "\n".join(f"  {name:<10} {text}" for name, text in lines.items())

    @cached_property
    def compiling(self) -> Compiling:
        """Whether the passes are compiled: as asked for, or as before a resume, or by what a run with a preset gains.

        Raises:
            UserError: it was asked for, and nothing can be compiled here.
        """
        trainer, args = self.trainer, self.trainer.args
        if args.torch_compile is not None or trainer.compiled:
            if args.torch_compile_backend == "inductor" and (trouble := why_not(args.device)):
                raise UserError(f"torch_compile=True: nothing can be compiled here: {trouble}: leave it out")
            return Compiling(trainer.compiled, "asked for")
        before = remembered(self.checkpoint).get("torch_compile") if self.checkpoint else None
        if before is not None:
            found = Compiling(bool(before), "as before the checkpoint")
        elif self.preset is None or not measurable(trainer):
            return Compiling(False, "not asked for")
        else:
            found = compiling_pays(args.device.type, self._seconds)
        if found.on and (trouble := why_not(args.device)):
            return Compiling(False, f"{found.reason}, but nothing can be compiled here: {trouble}")
        return found

    @property
    def _seconds(self) -> float:
        """Of the whole run, by its speed or as long as that is not measured roughly."""
        work = self.workload
        if self.speed is not None:
            return self.speed.of_run(work)
        return rough_seconds(work.flops / self.trainer.args.world_size, self.trainer.args)

    def _begins_with(self) -> str:
        """Which losses are alone at first, and until which step."""
        args, configured = self.trainer.args, self.model.config.weights
        phases: list[str] = []
        for end in sorted(
            {args.get_generator_warmup_steps(self.steps), args.get_course_warmup_steps(self.steps)} - {0}
        ):
            before, after = (args.weights_at(step, self.steps, configured) for step in (end - 1, end))
            if before != after:
                phases.append(f"{' and '.join(name for name in before if before[name])} alone until step {end:,}")
        return f" ({', then '.join(phases)})" if phases else ""

    def _encoders(self) -> str:
        """The families of both networks, what they share, and what is particular to the generator."""
        model, config = self.model, self.model.config
        ours, its = model.discriminator.config, model.generator.config
        family = f"{its.model_type} " if its.model_type != ours.model_type else ""
        said = [
            f"{_family(ours)} of {_layers(ours)}, and a {family}generator of {_layers(its)}",
            f"they share {model.sharing.description}",
        ]
        if not config.generator_trainable:
            said.append("the generator is not trained")
        if (temperature := config.generator_temperature) != 1:
            decay = config.generator_temperature_decay
            falls = "" if decay is None else f" at first, whose distance to 1 falls to 1/e in {decay:g} of the run"
            said.append(f"samples are drawn at a temperature of {temperature:g}{falls}")
        if model.predicts_everywhere:
            said.append("the generator's head predicts at all positions, which costs time and memory")
        return "; ".join(said)

    def train(self) -> None:
        """Trains, saves the pair with its tokenizer into the output folder, and evaluates it on the held-out text.

        Raises:
            UserError: another process writes into that folder, the disk is full, or a batch does not fit in memory.
            Interrupted: SIGTERM came.
        """
        with claimed(self.folder, process_index=self.trainer.args.process_index):
            self._train()

    def _train(self) -> None:
        trainer = self.trainer
        if trainer.is_world_process_zero():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Another run's, which the arguments allow to overwrite: only now that nothing can be refused any more.
            if self.checkpoint is None:
                remove_all(self.folder)
            write_text(self.folder / "recipe.yaml", self.recipe)
        if broadcast_object_list([self.compiling.on])[0] and not trainer.compiled:
            trainer.compile()
        try:
            result = trainer.train(resume_from_checkpoint=self.checkpoint)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{too_large(trainer)}, or see by --dry_run true which is the largest that does"
            ) from error
        self.seconds = trainer.training_seconds
        if trainer.stopped_by_signal:
            raise Interrupted(
                f"SIGTERM: saved at step {trainer.state.global_step} of {trainer.state.max_steps} as "
                f"{last_checkpoint(self.folder)}; the same command with --resume_from_checkpoint true goes on"
            )
        if trainer.is_fsdp_enabled:  # checkpoints may be sharded; what comes out is whole
            trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        with explaining_a_full_disk(self.folder, "the pair"):
            aside = self.folder / ".pair.part"  # which all processes know
            with files_into(self.folder, aside) if trainer.is_world_process_zero() else nullcontext():
                trainer.save_model(str(aside), _internal_call=True)  # not pushed yet
                trainer.accelerator.wait_for_everyone()
            trainer.save_state()
            if result.metrics:  # not of a run that had reached its end
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
            tokens=state.num_input_tokens_seen,
            seconds=self.seconds or trainer.training_seconds,
            hardware=_hardware(trainer.args),
            versions=versions("torch", "transformers"),
            train=train,
            evaluation=self.evaluation | self.baselines,
            curves="curves.png",
            warnings=[warning["message"] for warning in trainer.health_warnings],
            base_checkpoint=self.base_checkpoints,
            **self.card,
        )

    def finish(self) -> None:
        """Writes the picture of the curves and the model card beside the checkpoint, and pushes all if asked to."""
        trainer = self.trainer
        if trainer.is_world_process_zero():
            a_step = f"{self.workload.tokens_per_step:,} tokens"
            plot_curves(
                trainer.state.log_history,
                self.folder / "curves.png",
                title=f"{self.folder.name}: {trainer.state.global_step:,} steps of {a_step}",
                baseline=self.baselines["most_frequent_token"],
            )
            trainer.create_model_card()
        if trainer.args.push_to_hub:
            trainer.push_to_hub()

    @property
    def held_out_text(self) -> str | None:
        """The first twelve held-out tokens, of the first row that has a known one; None if there is no such row."""
        return next(known_texts(self.rows["validation"], self.tokenizer), None)

    def show_samples(self) -> None:
        """Has what the pair does to three held-out sentences written at every evaluation, if there are any and it is
        not in shards."""
        trainer, args = self.trainer, self.trainer.args
        texts = list(islice(known_texts(self.rows["validation"], self.tokenizer), _SAMPLES))
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        if args.samples and args.eval_strategy != "no" and texts and not sharded:
            trainer.add_callback(SamplesCallback(texts, self.tokenizer))


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
    asked = Asked.take(training_args)
    if data_args.streaming and not asked:
        check_max_steps(training_args.max_steps)
    check_processes(training_args.world_size)
    checkpoint = check_output_dir(training_args, model_args.overwrite_output_dir)
    demo = not (data_args.train_file or data_args.dataset_name)
    named = model_args.base_checkpoints or model_args.backbone
    preset = None if named else model_args.preset or ("tiny" if demo else "small")
    if demo:
        data_args.train_file = [str(DEMO_FOLDER / "train.txt")]
        data_args.validation_file = [str(DEMO_FOLDER / "validation.txt")]
    for name in ("train_file", "validation_file"):  # before a model is made, which takes longer to find them
        if files := getattr(data_args, name):
            find_files(files, name, skip_empty=True)
    tokenizer = open_tokenizer(model_args, demo)
    config = build_config(model_args, preset, tokenizer)
    length = data_args.max_seq_length or min(128, config.max_position_embeddings)
    check_seq_length(config, length, trained=bool(model_args.base_checkpoints))
    training_args.get_batch_warmup(1).check(length, packed=not data_args.line_by_line)
    _agree_on_rows(config, data_args)
    check_attention(config, model_args.attn_implementation)
    check_metric(training_args, config)
    training_args.check_weights(config.weights)

    set_seed(training_args.seed)
    model = build_pair(model_args, config)
    new_tokens = grow_vocabulary(model, tokenizer)
    with refusing("optim"):  # a package that is missing, before any text is read
        MclTrainer.get_optimizer_cls_and_kwargs(training_args, model)
    with training_args.main_process_first(desc="preparing the text"):
        train, rows, statistics, source = _text(model_args, data_args, training_args, tokenizer, length)
    fit_tokenizer(tokenizer, model, trained_length=length)
    if asked and data_args.streaming:
        training_args.max_steps = 1  # transformers wants some; how many, is known when a few were tried
    multiple = padding_multiple(length) if data_args.line_by_line else None
    run = PretrainingRun(
        trainer=_trainer(model, training_args, tokenizer, train, rows["validation"], multiple),
        tokenizer=tokenizer,
        rows=rows,
        statistics=statistics,
        preset=preset,
        backbone=model_args.backbone,
        source="the text inside the package" if demo else source,
        base_checkpoints=model_args.base_checkpoints,
        new_tokens=new_tokens,
        checkpoint=checkpoint,
        recipe=recipe,
        card=_of_card(model_args, data_args),
    )
    run.trainer.summarize = run.summary
    run.show_samples()
    _warn_of_long_words(run)
    run.trainer.check_resumable(checkpoint)
    if asked:
        run.settle_length(asked)
    return run


def _of_card(model_args: ModelArguments, data_args: DataArguments) -> dict[str, Any]:
    datasets = [name for name in data_args.dataset_name or [] if not Path(name).exists()]
    return {"language": model_args.language, "license": model_args.license, "datasets": datasets or None}


def _trainer(
    model: MclForPreTraining,
    args: MclTrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset | TextStream,
    held_out: Dataset,
    multiple: int | None,
) -> MclTrainer:
    """The trainer of the pair, which says what was asked of its processes and did not happen."""
    a_round = args.train_batch_size * args.world_size
    if args.dataloader_drop_last and isinstance(train, Dataset) and len(train) < a_round:
        raise UserError(
            f"dataloader_drop_last leaves nothing to train on: the text has {len(train)} rows, and a batch of all "
            f"processes {a_round}: leave it out, or give a smaller per_device_train_batch_size"
        )
    with refusing("training arguments"), _no_new_folder(Path(str(args.output_dir))):
        trainer = MclTrainer(
            model,
            args,
            train_dataset=train,
            eval_dataset=held_out,
            data_collator=DataCollatorForMcl(tokenizer, pad_to_multiple_of=multiple),
            processing_class=tokenizer,
        )
    for said in engine_warnings(trainer) if trainer.is_world_process_zero() else ():
        logger.warning(said)
    return trainer


@contextmanager
def _no_new_folder(folder: Path) -> Iterator[None]:
    """Removes a folder that transformers makes as it begins: nothing is written before training."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in new:
            with suppress(OSError):  # another process has removed it, or put something into it
                path.rmdir()


def _text(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: MclTrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    length: int,
) -> tuple[Dataset | TextStream, DatasetDict, dict[str, CorpusStatistics | StreamStatistics], str]:
    """What to train on, the prepared rows of each split, what each holds, and where the training text is from."""
    if not data_args.streaming:
        corpus = load_corpus(data_args, model_args.cache_dir, token=model_args.token)
        rows, statistics = tokenize_and_pack(corpus, tokenizer, data_args, max_seq_length=length)
        return rows["train"], rows, dict(statistics), corpus["train"].info.description
    seed = training_args.seed if training_args.data_seed is None else training_args.data_seed
    stream, held_out = load_stream(
        data_args,
        tokenizer,
        max_seq_length=length,
        seed=seed,
        cache_dir=model_args.cache_dir,
        token=model_args.token,
    )
    rows, statistics = tokenize_and_pack(held_out, tokenizer, data_args, max_seq_length=length)
    coverage = check_coverage("train", _first_documents(stream), tokenizer)
    of_stream = replace(stream.statistics, unknown_fraction=coverage.unknown_fraction)
    return stream, rows, {**statistics, "train": of_stream}, f"{name_sources(data_args)}, streamed"


def _first_documents(stream: TextStream) -> list[str]:
    """Those at the beginning of a few shards, which takes no time."""
    shards = stream.shards[:: max(len(stream.shards) // _SHARDS_TRIED, 1)][:_SHARDS_TRIED]
    documents = (islice(read_documents(shard, stream.reading), _DOCUMENTS_TRIED) for shard in shards)
    return list(chain.from_iterable(documents))


def _agree_on_rows(config: MclConfig, data_args: DataArguments) -> None:
    """Rows are laid out as the pair reads them: as asked for, or else as its checkpoint was trained."""
    asked = config.document_attention if data_args.document_attention is None else data_args.document_attention
    config.document_attention = data_args.document_attention = asked and not data_args.line_by_line
    if config.document_attention and config.cls_token_id == config.sep_token_id:
        raise UserError(
            "document_attention: the tokenizer has one token as cls_token and sep_token, so where a document begins "
            "cannot be told: leave it out, or take another tokenizer"
        )
    asked = config.whole_word_mask if data_args.whole_word_mask is None else data_args.whole_word_mask
    config.whole_word_mask = data_args.whole_word_mask = asked
    if asked and not _by_words(config):
        raise UserError(
            f"whole_word_mask: none of the courses in use takes words ({', '.join(config.active_courses)}): leave it "
            "out, or give a loss of another course a weight"
        )


def _warn_of_long_words(run: PretrainingRun) -> None:
    if not run.model.config.whole_word_mask or run.tokens_a_word <= _LONG_WORD:
        return
    if run.trainer.is_world_process_zero():
        logger.warning(
            f"whole_word_mask: a word has {run.tokens_a_word:.1f} tokens in the mean: few are masked in a row, and "
            "one of them is cut; leave it out, or take a tokenizer that splits this text into words"
        )


def _by_words(config: MclConfig) -> str:
    """What is done to whole words."""
    courses = (COURSES[name] for name in config.active_courses)
    return " and ".join(course.operation for course in courses if course.whole_words)


def _time(speed: Speed, work: Workload) -> str:
    said = f"about {format_seconds(seconds := speed.of_run(work))}, evaluations included: "
    said += f"{(seconds - work.evaluations * speed.evaluation) / work.steps:.3g} s a step, "
    said += f"{speed.tokens_per_second(work):,.0f} tokens a second; peak memory {format_bytes(speed.memory)}"
    return said + f" (by {speed.by}: a rough estimate)" * speed.estimated


def _family(config: PreTrainedConfig) -> str:
    if not isinstance(config, MclConfig):
        return str(config.model_type)
    return "electra" + " with relative position bias" * bool(config.relative_attention_num_buckets)


def _layers(config: PreTrainedConfig) -> str:
    number = getattr(config, "num_hidden_layers", None)
    return f"{number} layer{'s' * (number != 1)}" if isinstance(number, int) else "layers of its own kind"


def _hardware(args: MclTrainingArguments) -> str:
    if args.device.type == "cuda":
        return f"{args.world_size} x {device_name('cuda')}"
    return f"{device_name('cpu')} CPU, {args.world_size} x {describe_threads()}"
