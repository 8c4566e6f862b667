"""transformers' Trainer, taught to follow several courses and to evaluate all on the same draws."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalLoopOutput

from ..configuration_mcl import COURSES, OBJECTIVES, MclConfig
from ..flops import step_flops
from ..hub.model_card import RunSummary
from ..metrics import add_metrics, summarize_metrics
from ..modeling_mcl_pretraining import MclForPreTraining
from .arguments import MclTrainingArguments
from .callbacks import CourseProgressCallback, RankSeedCallback

__all__ = ["MclTrainer"]


class MclTrainer(Trainer):
    """Trains [`MclForPreTraining`]; everything that [`~transformers.Trainer`] does, and:

    - each course's losses and the generator's and the discriminator's metrics in every log, as means over all tokens
      since the last one, accumulated on the device and read once;
    - evaluation with the same draws every time, which touches no other random state;
    - a backward pass after each course (`backward_per_course`), and courses that begin later (`course_warmup_steps`).

    Arguments are those of [`~transformers.Trainer`], with [`MclTrainingArguments`].
    """

    args: MclTrainingArguments
    model: MclForPreTraining

    def __init__(self, model: MclForPreTraining, args: MclTrainingArguments | None = None, **kwargs: Any):
        super().__init__(model, args or MclTrainingArguments(), **kwargs)
        for callback in (ProgressCallback, PrinterCallback):
            if self.pop_callback(callback) is not None:
                self.add_callback(CourseProgressCallback)
        self.add_callback(RankSeedCallback)
        # Says what there is to say of the run, for its model card.
        self.summarize: Callable[[], RunSummary] | None = None
        self._train_metrics: dict[str, Tensor] = {}
        self._eval_metrics: dict[str, Tensor] = {}
        self._eval_batches = 0

    @property
    def _pair(self) -> MclForPreTraining:
        return self.accelerator.unwrap_model(self.model)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        self._set_weights(self.state.global_step >= self.args.get_course_warmup_steps(self.state.max_steps))
        courses = self._pair.active_courses
        if not self.args.backward_per_course or len(courses) == 1:
            return super().training_step(model, inputs, num_items_in_batch)
        losses = []
        for course in courses:
            # Gradients are exchanged between processes once, with those of the last course.
            last = course == courses[-1]
            with nullcontext() if last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, {**inputs, "courses": (course,)}, num_items_in_batch))
        return torch.stack(losses).sum()

    def _set_weights(self, warm: bool) -> None:
        """All the configured losses, or before the other courses begin, those of them that ELECTRA has."""
        weights: dict[str, float] = dict(self._pair.config.weights)
        if not warm:
            weights = {name: weight if OBJECTIVES["electra"][name] else 0.0 for name, weight in weights.items()}
        self._pair.loss_weights = weights

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        add_metrics(self._train_metrics, outputs["metrics"])
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._train_metrics:  # a log of training steps, not an evaluation or the summary
            logs |= self._read(self._train_metrics)
            self._train_metrics = {}
        super().log(logs, start_time)

    def _read(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        return summarize_metrics(self.accelerator.reduce(metrics, reduction="sum"))

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        self._eval_metrics, self._eval_batches = {}, 0
        self._set_weights(warm=True)
        # The data loader draws a number from the global generator: evaluating must not change the training after it.
        with torch.random.fork_rng(devices=[]):
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        figures = {f"{metric_key_prefix}_{name}": value for name, value in self._read(self._eval_metrics).items()}
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
        batch = self._eval_batches * self.args.world_size + self.args.process_index
        self._eval_batches += 1
        losses = []
        for course in self._pair.active_courses:
            draws = torch.Generator(self.args.device)
            draws.manual_seed(hash((self.args.eval_seed, batch, list(COURSES).index(course))) % 2**63)
            with torch.no_grad(), self.compute_loss_context_manager():
                outputs = model(**inputs, courses=(course,), generator=draws)
            add_metrics(self._eval_metrics, outputs["metrics"])
            losses.append(outputs["loss"])
        return torch.stack(losses).sum(), None, None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes the card of a pre-training run, from what `summarize` says of it; called before every push.

        Without `summarize` it is [`~transformers.Trainer`]'s own, which describes a fine-tuned model.
        """
        if self.summarize is None:
            super().create_model_card(*args, **kwargs)
        elif self.is_world_process_zero():
            self.summarize().save(str(self.args.output_dir))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Forward and backward operations of the courses on this batch; see `transformers_mcl.flops`."""
        config: MclConfig = self._pair.config
        batch_size, length = inputs["input_ids"].shape
        return int(step_flops(config, batch_size, length, self._pair.loss_weights))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # A checkpoint holds tied weights once; they are there once one of them is.
        tied = set(self._pair.all_tied_weights_keys)
        load_result.missing_keys[:] = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(load_result)
