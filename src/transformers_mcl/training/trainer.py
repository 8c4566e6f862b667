"""transformers' Trainer, taught to follow several courses and to evaluate all on the same draws."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sized
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DynamoBackend, send_to_device
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_utils import EvalLoopOutput, TrainOutput
from transformers.utils import logging

from ..data.streaming import StreamLoader, TextStream
from ..errors import Diverged, UserError
from ..hub.model_card import RunSummary
from ..method.courses import COURSES
from ..method.metrics import detection_sums, summarize_metrics, verdicts
from ..method.schedules import SCHEDULES
from ..models.configuration_mcl import MclConfig
from ..models.flops import step_flops
from ..models.loading import without_bars
from ..models.pretraining import MclForPreTraining
from .arguments import MclTrainingArguments, changed
from .baselines import token_entropy, token_shares
from .callbacks import (
    BoundaryCallback,
    CourseLinesCallback,
    CourseProgressCallback,
    RankSeedCallback,
    bars_closed,
    show_lines,
)
from .checked_arguments import scheduler_arguments
from .checkpoints import check_same_run, data_digest, last_checkpoint, remembered
from .health import HealthCallback
from .metric_sums import Meter
from .optimizers import apply_settings, complete_state, optimizer_and_groups, settings
from .resumable import ResumableTrainer
from .revisions import push_checkpoints
from .signals import SaveOnSignalCallback
from .stream_state import check_max_steps, load_stream_state, save_stream_state
from .trackers import group_by_course

__all__ = ["MclTrainer", "evaluation_draws", "temperature_at"]

logger = logging.get_logger(__name__)


class MclTrainer(ResumableTrainer):
    """Trains [`MclForPreTraining`]; everything that [`~transformers.Trainer`] does, and:

    - the gradient of one large batch, however a step is split into micro-batches and processes;
    - each course's losses and the generator's and the discriminator's metrics in every log, as means over all tokens
      since the last one, with tokens seen and per second, accumulated on the device and read once;
    - a warning of a course that goes wrong ([`~training.health.HealthCallback`]), and a panel for each course in
      TensorBoard, wandb and trackio;
    - an end to the run at a loss that is not finite, before it is saved;
    - a [`TextStream`] as training data, resumed exactly where a checkpoint left it;
    - evaluation with the same draws every time, which touches no other random state;
    - a backward after each pass of a network (`backward_per_pass`), and courses that begin later
      (`course_warmup_steps`);
    - its checkpoints on the Hub, where each opens by its revision (`push_revisions`);
    - Muon, a learning rate for the generator, and fewer and shorter rows at first (`training/batch_warmup.py`).

    Arguments are those of [`~transformers.Trainer`], with [`MclTrainingArguments`].

    Raises:
        Diverged: in training, a loss became NaN or infinite.
    """

    args: MclTrainingArguments
    model: MclForPreTraining
    # Every loss is divided by what the whole step sees of its places.
    loss_is_scaled_for_ga = True

    def __init__(self, model: MclForPreTraining, args: MclTrainingArguments | None = None, **kwargs: Any):
        args = args or MclTrainingArguments()
        if args.n_gpu > 1:
            logger.warning(
                f"{args.n_gpu} GPUs are here and this process uses one: start the run with `torchrun --nproc_per_node "
                f"{args.n_gpu}` or `accelerate launch` to use all"
            )
            args._n_gpu = 1
        args.check_weights(model.config.weights)
        args.check_steps()
        if SCHEDULES[model.config.course_schedule].in_turn and args.ddp_find_unused_parameters is False:
            raise UserError(
                f"ddp_find_unused_parameters=False does not go with course_schedule={model.config.course_schedule!r}, "
                "where a batch of few rows leaves courses out: leave one of them out"
            )
        super().__init__(model, args, **kwargs)
        self._show_progress()
        self.add_callback(BoundaryCallback(self._begin, self._end))
        self.add_callback(RankSeedCallback)
        self._on_signal = SaveOnSignalCallback()
        self.add_callback(self._on_signal)
        if self._health is None:
            self.add_callback(HealthCallback)
        for callback in self.callback_handler.callbacks:
            group_by_course(callback)
        # Says what there is to say of the run, for its model card.
        self.summarize: Callable[[], RunSummary] | None = None
        self._checkpoint: str | None = None  # that training goes on from
        self._stream_place: str | None = None  # the one that its stream does
        self._asked: list[dict[str, Any]] = []
        self._eval_meter, self._eval_batches = Meter(), 0
        self._verdicts: dict[str, list[Tensor]] = {}  # of an evaluation, by course
        self._seconds_before, self._began = 0.0, time.perf_counter()
        self._sum_up_anew()
        # A checkpoint holds tied weights once: copies in a state gathered from shards are left out, and loading misses
        # none.
        self._pair._keys_to_ignore_on_save = set(self._pair.all_tied_weights_keys)
        if self.is_fsdp_enabled:
            self._pair.share_modules()
        if args.push_revisions:
            push_checkpoints(self)
        self.compiled = False  # whether each pass of a network is
        self._compile_if_asked()
        if model.config.correction_average == "own" and args.gradient_accumulation_steps * args.world_size > 1:
            logger.warning(
                "correction_average='own': a correction's places are counted batch by batch, so its loss is a mean of "
                "the means of micro-batches and processes; 'all' is exact"
            )

    def _show_progress(self) -> None:
        """Puts what shows the main figures in place of transformers' callback, which shows all of them or the loss."""
        if show_lines(self, CourseLinesCallback, CourseProgressCallback):
            return
        if self.pop_callback(DEFAULT_PROGRESS_CALLBACK) is not None:  # a notebook's, which needs IPython
            from .notebook_progress import CourseNotebookCallback

            self.add_callback(CourseNotebookCallback)

    def create_accelerator_and_postprocess(self) -> None:
        """Trainer's; accelerate would compile the whole forward, which leaves one backward for all passes."""
        with changed(self.args, torch_compile_backend=None, torch_compile_mode=None):
            super().create_accelerator_and_postprocess()

    def _compile_if_asked(self) -> None:
        """By the arguments or `accelerate launch`."""
        args, launched = self.args, self.accelerator.state.dynamo_plugin
        if args.torch_compile:
            self.compile(args.torch_compile_backend, args.torch_compile_mode)
        elif launched.backend != DynamoBackend.NO and args.torch_compile is None:
            self.compile(launched.backend.value.lower(), launched.mode)
        launched.backend = DynamoBackend.NO

    def compile(self, backend: str | None = None, mode: str | None = None) -> None:
        """Has each pass of a network compiled in its first steps, as [`torch.compile`] takes these arguments."""
        self._pair.compile_passes(backend or "inductor", mode)
        self.compiled = True

    @property
    def _health(self) -> HealthCallback | None:
        return next((c for c in self.callback_handler.callbacks if isinstance(c, HealthCallback)), None)

    @cached_property
    def token_entropy(self) -> float | None:
        """In nats, of what is trained on, or for a stream of what is held out; None if neither has its tokens yet."""
        for rows in (self.train_dataset, self.eval_dataset):
            if isinstance(rows, Dataset) and len(rows) and "input_ids" in rows.column_names:
                return token_entropy(token_shares(rows, self._pair.config))
        return None

    @property
    def health_warnings(self) -> list[dict[str, Any]]:
        """What the run was warned of, each with `step`, `condition`, `course` and `message`; see `HealthCallback`."""
        return [] if self._health is None else self._health.warnings

    @property
    def _pair(self) -> MclForPreTraining:
        return self.accelerator.unwrap_model(self.model)

    @property
    def stopped_by_signal(self) -> bool:
        """Whether training ended before its time, at SIGTERM, with a checkpoint."""
        return self._on_signal.stopped

    @property
    def training_seconds(self) -> float:
        """Since training began, and before it was resumed."""
        return self._seconds_before + time.perf_counter() - self._began

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:
        """Trainer's, with Muon and a learning rate for the generator."""
        return optimizer_and_groups(args, model)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """Trainer's, with shares in `lr_scheduler_kwargs`."""
        given = scheduler_arguments(self.args.lr_scheduler_kwargs, num_training_steps)
        with changed(self.args, lr_scheduler_kwargs=given):
            scheduler = super().create_scheduler(num_training_steps, optimizer)
        if not self.is_deepspeed_enabled:
            self._asked = settings(self.optimizer)
        return scheduler

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Trainer's; of a stream it reads nothing to get to where a checkpoint left it."""
        if resume_from_checkpoint is True:  # transformers' would take one that is half-written
            resume_from_checkpoint = last_checkpoint(str(self.args.output_dir)) or True
        before = resume_from_checkpoint if isinstance(resume_from_checkpoint, str) else None
        anew, streams = self.args.ignore_data_skip, isinstance(self.train_dataset, TextStream)
        self._checkpoint, self._stream_place = before, None if anew else before
        if before and anew and streams:
            logger.warning(f"ignore_data_skip: the stream begins anew, not where {before} left it")
        run = remembered(before) if before else {}
        self._seconds_before, self._pair.turn = run.get("seconds", 0.0), run.get("turn", 0)
        self._began = time.perf_counter()
        bars, listening = bars_closed(self.callback_handler.callbacks), self._on_signal.listening
        with bars, listening, changed(self.args, ignore_data_skip=anew or streams):
            return super().train(resume_from_checkpoint, *args, **kwargs)

    def check_resumable(self, checkpoint: str | None) -> None:
        """And whether this run can have written the checkpoint (`check_same_run`)."""
        if checkpoint is not None:
            check_same_run(Path(checkpoint), self.identity, self._pair.config, self.args.ignore_data_skip)
        super().check_resumable(checkpoint)

    def _begin(self) -> None:
        """Gives a resumed run what its arguments ask for, and its stream's place; nothing is summed up yet."""
        self.state.compute_steps(self.args, self.state.max_steps)
        if self._checkpoint and self._asked:
            apply_settings(self.optimizer, self.lr_scheduler, self._asked)
        if self._stream_place and self._stream is not None:
            load_stream_state(self._stream, self._stream_place)
        if self._health is not None and self._health.token_entropy is None:
            self._health.token_entropy = self.token_entropy
        self._sum_up_anew()

    def _sum_up_anew(self) -> None:
        self._meter = Meter()
        self._learning_rates: dict[int, float] = {}  # of the steps since the meter was read
        self._grad_norm: Any = None
        self._tokens_seen, self._logged_flos = self.state.num_input_tokens_seen, self.state.total_flos
        self._tokens, self._seconds, self._clock = 0, 0.0, time.perf_counter()

    def _end(self) -> None:
        """What came after the last log is counted, and must be finite, too."""
        self._read(self._tr_loss, self._grad_norm)

    @property
    def _stream(self) -> StreamLoader | None:
        loader = self.callback_handler.train_dataloader
        return loader if isinstance(loader, StreamLoader) else None

    def get_train_dataloader(self) -> Any:
        if not isinstance(self.train_dataset, TextStream):
            return super().get_train_dataloader()
        args = self.args
        check_max_steps(args.max_steps)
        # Not accelerate's, which would read the whole stream in each process, or in one for all, and is a batch ahead.
        return StreamLoader(
            self.train_dataset,
            batches=args.max_steps * args.gradient_accumulation_steps,
            collate_fn=self.data_collator,
            process_index=args.process_index,
            num_processes=args.world_size,
            batch_size=self._train_batch_size,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        with changed(self.args, dataloader_drop_last=False):  # of training alone: held-out rows all count
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        with changed(self.args, dataloader_drop_last=False):
            return super().get_test_dataloader(test_dataset)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The micro-batches of one optimizer step, and what each loss of theirs is divided by (`count_items`)."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._set_weights(self.state.global_step)
        warmup = self.args.get_batch_warmup(self.state.max_steps)
        batches = [send_to_device(batch, device, non_blocking=True) for batch in batches]
        batches = [warmup.cut(batch, self.state.global_step) for batch in batches]
        return batches, self._count_items(batches)

    def _count_items(self, batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Sums over the batches of all processes, by process: their gradients are averaged, and must add up."""
        counts, turn = [], self._pair.turn
        for batch in batches:
            counts.append(self._pair.count_items(batch["input_ids"], batch.get("attention_mask"), turn=turn))
            turn += len(batch["input_ids"])
        if not counts:
            return {}
        items = torch.stack([torch.stack(list(count.values())) for count in counts]).sum(0)
        items = self.accelerator.reduce(items, reduction="sum").clamp(min=1) / self.accelerator.num_processes
        return dict(zip(counts[0], items.unbind(), strict=True))

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        self._learning_rates[self.state.global_step] = self._get_learning_rate()
        if self._may_go_back_at_once(model):
            inputs = {**inputs, "backward": self._backward}
        return super().training_step(model, inputs, num_items_in_batch)

    def _may_go_back_at_once(self, model: nn.Module) -> bool:
        """Whether losses may go back within the forward, before the last of them.

        DDP averages all gradients at the last backward if it looks for parameters without one, as transformers has it
        do; without looking it would wait for the generator's, which insertion does not train. FSDP and DeepSpeed count
        backwards themselves, and optimizers that update within one want one.
        """
        if not self.args.backward_per_pass or "lomo" in self.args.optim:
            return False
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return False
        return model is self._pair or (isinstance(model, DistributedDataParallel) and model.find_unused_parameters)

    def _backward(self, loss: Tensor) -> None:
        with torch.autocast(self.args.device.type, enabled=False):
            self.accelerator.backward(loss)

    def _set_weights(self, step: int | None = None) -> None:
        """All the configured losses, or before the other courses or the corrections begin, what there is of them; and
        the temperature at which the generator samples then, in an evaluation that of the run's end."""
        config = self._pair.config
        weights: dict[str, float] = dict(config.weights)
        if step is not None:
            weights = self.args.weights_at(step, self.state.max_steps, weights)
        self._pair.loss_weights = weights
        self._pair.temperature = temperature_at(config, 1.0 if step is None else step / self.state.max_steps)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        inputs = {**inputs, "num_items_in_batch": num_items_in_batch}
        loss, outputs = super().compute_loss(model, inputs, True)
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        tokens = mask.sum() if mask is not None else torch.full((), ids.numel(), device=ids.device)
        self._meter.add({**outputs["metrics"], "tokens": tokens}, outputs["losses"], self.state.global_step + 1)
        return (loss, outputs) if return_outputs else loss

    def _maybe_log_save_evaluate(
        self, tr_loss: Tensor, grad_norm: Tensor | float | None, *args: Any, **kwargs: Any
    ) -> None:
        """Trainer's, private: only here can its two readings of the device, and ours, become one, before what is not
        finite is saved; and only here is the time of logs, evaluations and checkpoints known."""
        if self._stream is not None:
            self.state.epoch = self._stream.epoch  # transformers takes the whole run for one
        control, self._grad_norm = self.control, grad_norm
        if control.should_log or control.should_save or control.should_evaluate:
            tr_loss, grad_norm = self._read(tr_loss, grad_norm)
        self._seconds += time.perf_counter() - self._clock
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)
        self._clock = time.perf_counter()

    def _read(self, tr_loss: Tensor, grad_norm: Any) -> tuple[Any, Any]:
        """Waits for the device, once: for all sums, and on one process for what transformers would read after us.

        Raises:
            Diverged: a loss was NaN or infinite.
        """
        theirs = {"grad_norm": grad_norm}
        whole = self.control.should_log and self.accelerator.num_processes == 1
        if whole:
            theirs["tr_loss"] = tr_loss
        self._meter.add({name: _plain(value) for name, value in theirs.items() if isinstance(value, Tensor)})
        self._meter.read(self.accelerator)
        sums = self._meter.sums
        norm = sums.pop("grad_norm", None)
        self._check_finite(norm)
        tokens = int(sums.pop("tokens", 0))
        self._tokens += tokens
        self._tokens_seen += tokens
        self.state.num_input_tokens_seen = self._tokens_seen  # whatever transformers was asked to count
        if not whole:
            return tr_loss, grad_norm
        tr_loss.zero_()  # transformers subtracts what it has read, and gets a copy
        return sums.pop("tr_loss"), grad_norm if norm is None else norm

    def _check_finite(self, grad_norm: Tensor | None) -> None:
        broken = dict(self._meter.broken)
        # With a loss that is finite the gradient may not be, and the weights after it. fp16 leaves such steps out.
        if not broken and grad_norm is not None and not grad_norm.isfinite() and not self.args.fp16:
            broken = {"gradient": self.state.global_step}
        if not broken:
            self._learning_rates = {}
            return
        step = min(broken.values())
        names = [name for name, first in broken.items() if first == step]
        courses = [name for name, course in COURSES.items() if any(loss.name in names for loss in course.losses)]
        losses = f"the loss {', '.join(names)} (course {', '.join(courses)})"
        good = last_checkpoint(str(self.args.output_dir))
        raise Diverged(
            f"{losses if courses else 'the gradient of all losses'} became NaN or infinite at step {step}, at a "
            f"learning rate of {self._learning_rates.get(step - 1, 0.0):.3g}; the last good checkpoint is "
            f"{good or 'none, since none was saved'}: go on from it with a lower --learning_rate, a longer "
            "--warmup_steps, or without --fp16"
        )

    def to_remember(self) -> dict[str, Any]:
        config = json.loads(self._pair.config.to_json_string(use_diff=False))
        run = {**self.identity, "config": config, "seconds": self.training_seconds, "turn": self._pair.turn}
        return {**run, "torch_compile": self.compiled}

    def save_more(self, checkpoint: Path) -> None:
        if self._stream is not None and not self.args.save_only_model:
            save_stream_state(self._stream, checkpoint)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.is_fsdp_enabled:
            complete_state(self.optimizer)
        super()._save_checkpoint(model, trial)

    def _save(self, *arguments: Any, **more: Any) -> None:
        with without_bars():  # of one file, beneath that of training
            super()._save(*arguments, **more)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint's optimizer and its place in the data depend on, by the names that a user can change."""
        args = self.args
        own = None if args.generator_learning_rate is None else "given"
        fitted = {"optim": args.optim_name, "generator_learning_rate": own}
        if not isinstance(self.train_dataset, Sized):
            return fitted  # a stream's own state says what it depends on
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "seed", "data_seed")
        place = {"processes": args.world_size, **{name: getattr(args, name) for name in names}}
        return {**fitted, **place, "rows of text": data_digest(self.train_dataset)}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._meter.sums:  # a log of training steps, not an evaluation or the summary
            logs |= summarize_metrics(self._meter.sums) | self._speed()
            self._meter.sums = {}
        super().log(logs, start_time)

    def _speed(self) -> dict[str, float]:
        """Of the steps since the last log, evaluations and checkpoints not counted."""
        flops = (self.state.total_flos - self._logged_flos) / self._seconds
        figures = {
            "train_tokens_seen": self.state.num_input_tokens_seen,
            "tokens_per_second": self._tokens / self._seconds,
            "flops_per_second": flops,
        }
        if peak := self.args.get_peak_flops():
            figures["mfu"] = flops / (peak * self.args.world_size)
        self._tokens, self._seconds, self._logged_flos = 0, 0.0, self.state.total_flos
        return figures

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        self._eval_meter, self._eval_batches, self._verdicts = Meter(), 0, {}
        self._set_weights()
        # The data loader draws a number from the global generator: evaluating must not change the training after it.
        with torch.random.fork_rng(devices=[]):
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        self._eval_meter.read(self.accelerator)
        for course in self._pair.active_courses:  # tokens of all batches, since all were judged by the same weights
            if f"{course}_detection" in self._eval_meter.sums:
                self._eval_meter.sums[f"{course}_detection"] = detection_sums(*self._all_verdicts(course))
        figures = summarize_metrics(self._eval_meter.sums)
        # Over all places, where the mean of the batches' means would weigh a last, smaller batch like the others.
        figures["loss"] = sum(w * figures.get(f"{name}_loss", 0.0) for name, w in self._pair.loss_weights.items())
        figures = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        return output._replace(metrics=(output.metrics or {}) | figures)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor, None, None]:
        """The loss of one batch. Every course draws from its own seed, so that leaving one out changes no other."""
        inputs = self._prepare_inputs(inputs)
        own = self._own_rows(len(inputs["input_ids"]))
        inputs = {name: values[: max(own, 1)] for name, values in inputs.items()}  # sharded models wait for all
        batch = self._eval_batches * self.args.world_size + self.args.process_index
        self._eval_batches += 1
        losses = []
        for course in self._pair.active_courses:
            draws = evaluation_draws(self.args.eval_seed, batch, course, self.args.device)
            with torch.no_grad(), self.compute_loss_context_manager():
                outputs = model(**inputs, courses=(course,), generator=draws, output_records=True)
            sums = outputs["metrics"]
            self._eval_meter.add(sums if own else {name: torch.zeros_like(value) for name, value in sums.items()})
            if own and outputs["records"] and (record := outputs["records"][course]).logits is not None:
                self._verdicts.setdefault(course, []).append(verdicts(record))
            losses.append(outputs["loss"])
        return torch.stack(losses).sum(), None, None

    def _all_verdicts(self, course: str) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, labels and which of them count, of all processes, `(tokens,)` each, on the CPU."""
        found = self._verdicts.get(course) or [torch.zeros(0, 3, device=self.args.device)]
        everyone = self.accelerator.pad_across_processes(torch.cat(found))  # with 0, which does not count
        logits, labels, judged = self.accelerator.gather(everyone).cpu().unbind(1)
        return logits, labels, judged

    def _own_rows(self, count: int) -> int:
        """How many of an evaluation batch's `count` rows are this process's own: in the last round accelerate fills up
        the batches of all with rows that were there before, in the order of the processes."""
        state = self.accelerator.gradient_state
        if not (state.end_of_dataloader and state.remainder > 0 and self.accelerator.even_batches):
            return count
        return min(max(state.remainder - self.args.process_index * count, 0), count)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """From what `summarize` says of the run; else Trainer's own, which describes a fine-tuned model."""
        if self.summarize is None:
            super().create_model_card(*args, **kwargs)
        elif self.is_world_process_zero():
            self.summarize().save(str(self.args.output_dir))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Forward and backward operations of the courses on this batch; see `transformers_mcl.models.flops`."""
        batch_size, length = inputs["input_ids"].shape
        return int(step_flops(self._pair.config, batch_size, length, self._pair.loss_weights))


def temperature_at(config: MclConfig, share: float) -> float:
    """The generator's temperature when this share of a run is done (as in Fast-ELECTRA)."""
    begin, decay = float(config.generator_temperature), config.generator_temperature_decay
    return begin if decay is None else 1.0 + (begin - 1.0) * math.exp(-share / decay)


def evaluation_draws(seed: int, batch: int, course: str, device: torch.device) -> torch.Generator:
    """The source of all that is drawn for a course of an evaluation's batch, the same whatever other courses do."""
    draws = torch.Generator(device)
    draws.manual_seed(hash((seed, batch, list(COURSES).index(course))) % 2**63)
    return draws


def _plain(value: Tensor) -> Tensor:
    """Without gradient, and of a sharded tensor all."""
    value = value.detach()
    return value.full_tensor() if hasattr(value, "full_tensor") else value
