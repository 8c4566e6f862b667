"""The pair that is pre-trained, and the courses that it takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from ..errors import UserError
from ..method import corruptions as c
from ..method.documents import find_documents
from ..method.joint import corrupt_jointly, count_joint_items
from ..method.metrics import detection_histogram, generator_counts
from . import hooks
from .configuration_mcl import COURSES, MclConfig
from .heads import detection_head
from .modeling_mcl import MclGenerator, MclModel, MclWithGenerator, check_length

__all__ = ["CourseRecord", "MclForPreTraining", "MclForPreTrainingOutput"]


@dataclass
class CourseRecord:
    """What happened in one self-supervision course; all tensors without gradient (shapes in [`~courses.Corruption`]).

    Attributes:
        corruption: what the generator read, and where it was operated on.
        samples (`LongTensor` of shape `(batch, slots)`): what the generator filled in.
        discriminator_input (`LongTensor` of shape `(batch, new_length)`): the corrupted row with the samples in place.
        labels (`BoolTensor` of shape `(batch, new_length)`): True where replaced (for insertion: inserted).
        logits (`Tensor` of shape `(batch, new_length)`): the discriminator's verdict, positive = replaced.
        notebook: the four cells; `None` for insertion.
        regeneration_input, rediscrimination_input (`LongTensor` of shape `(batch, length)`): the second inputs.
    """

    corruption: c.Corruption
    samples: Tensor
    discriminator_input: Tensor | None = None
    labels: Tensor | None = None
    logits: Tensor | None = None
    notebook: c.Notebook | None = None
    regeneration_input: Tensor | None = None
    rediscrimination_input: Tensor | None = None


@dataclass
class MclForPreTrainingOutput(ModelOutput):
    """Output of [`MclForPreTraining`].

    Attributes:
        loss: the weighted sum of the losses, a scalar with gradient.
        losses: the losses by name, scalars without gradient and without weight.
        metrics: sums without gradient that add up across batches; see `transformers_mcl.method.metrics`.
        records: what happened in each course, with `output_records=True`.
    """

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    metrics: dict[str, Tensor] | None = None
    records: dict[str, CourseRecord] | None = None


@dataclass
class _Sums:
    """What the courses of one call add up to, and what is done with each loss: see `MclForPreTraining.forward`."""

    loss: Tensor
    weights: Mapping[str, float]
    to_come: int
    items: Mapping[str, Tensor]
    backward: Callable[[Tensor], Any] | None
    losses: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, values: Tensor, averaged_over: Tensor, cell: Tensor | None = None) -> None:
        """Adds the loss `name`: the sum of `values`, where `averaged_over` or in a correction where `cell`, as a mean.

        A correction's mean is over its `cell` where that is `averaged_over`.
        """
        if name not in self.weights:
            return
        total = values.masked_fill(~(averaged_over if cell is None else cell), 0.0).sum()
        count = averaged_over.sum()
        over: Tensor | int = self.items.get(name, count.clamp(min=1))
        if name in self.items and averaged_over is cell:
            over = count.clamp(min=1) * over
        loss = total / over
        weighted = self.weights[name] * loss
        self.to_come -= 1
        if self.backward is not None and self.to_come and weighted.requires_grad:
            self.backward(weighted)
            weighted = weighted.detach()
        self.loss = self.loss + weighted
        self.losses[name] = loss.detach()
        self.metrics[name] = torch.stack([total.detach(), count.to(total.dtype)])


class MclForPreTraining(MclWithGenerator):
    """A discriminator and a generator that share embeddings, and the courses that train them.

    The discriminator's encoder lies under `electra.`, as in every task head, so that a checkpoint of the pair opens as
    any of them; the generator lies under `generator.`. Takes clean token ids and does all the courses itself, on the
    device.
    """

    _keys_to_ignore_on_load_unexpected: Any = None
    # The loss is a mean over this batch: a plain Trainer has to divide it by its accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: MclConfig):
        super().__init__(config)
        self.electra = MclModel(config)
        # The head for replaced tokens, and with shared heads the one for every course.
        self.discriminator_predictions = detection_head(config)
        own_heads = [k for k in config.active_courses if k != "rtd" and config.detection_heads == "per_course"]
        self.course_predictions = nn.ModuleDict({k: detection_head(config) for k in own_heads})
        self.generator = MclGenerator(config.generator_config())
        shared = [n for n, _ in self.electra.embeddings.named_parameters()]
        if config.generator_shares == "token":
            shared = ["word_embeddings.weight"]
        self._tied_weights_keys = {f"generator.electra.embeddings.{n}": f"electra.embeddings.{n}" for n in shared}
        self.loss_weights = dict(config.weights)
        self.post_init()
        # The halves ignore each other's keys; the pair must miss none and have none left over.
        self._keys_to_ignore_on_load_unexpected = None
        # Embeddings that both halves share must not be sharded with each: FSDP keeps them with the rest.
        self._no_split_modules = {"ElectraLayer"}

    def share_modules(self) -> None:
        """Makes the modules that hold shared parameters the same in both halves, as FSDP asks; no number changes."""
        ours, its = self.electra.embeddings, self.generator.electra.embeddings
        for name, module in list(ours.named_children()):
            if any(key.startswith(f"electra.embeddings.{name}.") for key in self._tied_weights_keys.values()):
                setattr(its, name, module)

    @property
    def _reads_documents(self) -> bool:
        return self.config.document_attention

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The weights in use. May be replaced in training, to start a course later; a loss must not gain a weight that
        the configuration lacks."""
        return MappingProxyType(self._loss_weights)

    @loss_weights.setter
    def loss_weights(self, weights: Mapping[str, float]) -> None:
        self._loss_weights = dict(weights)
        # Which are in use decides what is computed: known outside of a compiled graph, to which a weight is a number.
        self._weights_in_use = {name: weight for name, weight in weights.items() if weight}

    @property
    def active_courses(self) -> tuple[str, ...]:
        """The self-supervision courses that `loss_weights` asks for now, in the order they are run."""
        return tuple(k for k, names in COURSES.items() if any(self._is_on(name) for name in names))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        courses: Collection[str] | None = None,
        generator: torch.Generator | None = None,
        output_records: bool = False,
        num_items_in_batch: Mapping[str, Tensor] | None = None,
        backward: Callable[[Tensor], Any] | None = None,
        return_loss: bool = True,
    ) -> MclForPreTrainingOutput:
        """Runs the courses on clean rows.

        Args:
            input_ids (`LongTensor` of shape `(batch, length)`): clean rows; special tokens are never operated on. With
                `document_attention` each `[CLS]` begins a document, and all passes keep it apart from the others.
            attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding. Leave it out for packed
                rows, which have none: attention is faster without.
            token_type_ids: accepted, since tokenizers give it, and not used: pre-training has one segment.
            courses (`Collection[str]`, *optional*): the self-supervision courses to run, each with its correction; all
                active ones by default. The losses of `["rtd"]`, `["std"]`, `["itd"]`, called in this order, add up to
                that of one call for all, and a backward after each needs half the memory or less.
            generator (`torch.Generator`, *optional*): source of every draw but dropout's, on the device of the rows.
            output_records (`bool`): also return what happened in each course.
            num_items_in_batch (`Mapping[str, Tensor]`, *optional*): what each loss is divided by, where an optimizer
                step sees several batches: the sums of what `count_items` says of each. This batch's own by default.
            backward (`Callable`, *optional*): called with each weighted loss but the last as soon as it is known, as
                `torch.Tensor.backward` or an accelerator's, so that one pass's activations are all there is to keep.
                The returned loss has the value of all and the gradient of the last: its backward is the caller's.
            return_loss: accepted for [`~transformers.Trainer`], whose evaluation looks for the name; always on.

        Raises:
            UserError: an unknown course in `courses`, or rows longer than the model has positions for.
        """
        check_length(self.config, input_ids.shape[1])
        chosen = self._chosen(courses)
        joint = self.config.course_schedule == "joint" and self.training and len(chosen) > 1
        losses = sum(self._is_on(name) for course in chosen for name in COURSES[course])
        zero, items = torch.zeros((), device=input_ids.device), num_items_in_batch or {}
        sums = _Sums(zero, self._weights_in_use, losses, items, None if joint else backward)
        records = self._joint_courses(chosen, input_ids, attention_mask, generator, sums) if joint else {}
        for course in () if joint else chosen:
            clean, mask = (
                self._rows(course, input_ids, attention_mask) if self.training else (input_ids, attention_mask)
            )
            corruption = self.corrupt(course, clean, mask, generator)
            if self._reads_documents:  # of what no sample is in yet: one may be a [CLS]
                corruption.document_ids = find_documents(corruption.input_ids, self.config.cls_token_id)
            record = self._course(course, clean, corruption, generator, sums)
            if output_records:
                records[course] = record
        return MclForPreTrainingOutput(sums.loss, sums.losses, sums.metrics, records if output_records else None)

    @torch.no_grad()
    def count_items(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        """What each active loss of these rows is divided by in training, known before any of them is corrupted.

        An optimizer step over several batches, on one process or many, has the gradient of one large batch if each is
        given the sum over all (`num_items_in_batch`). A correction averaged over its own cell
        (`correction_average="own"`) has no such number; it counts 1 a batch, which makes it a mean of means.

        Args:
            input_ids, attention_mask: as in `forward`.

        Returns:
            By the name of the loss, scalars on the device of `input_ids`.
        """
        config = self.config
        counts: dict[str | None, Tensor] = {}
        own = torch.ones((), dtype=torch.long, device=input_ids.device)
        if config.course_schedule == "joint" and len(self.active_courses) > 1:
            operable = self.operable(input_ids, attention_mask).sum(1)
            present = (
                torch.full_like(operable, input_ids.shape[1]) if attention_mask is None else attention_mask.sum(1)
            )
            joint = count_joint_items(config, self.active_courses, operable, present)
            return {name: count for name, count in joint.items() if self._is_on(name)}
        for course in self.active_courses:
            clean, mask = self._rows(course, input_ids, attention_mask)
            ratio, least = {"rtd": (config.mask_ratio, 1), "std": (config.swap_ratio, 2)}.get(
                course, (config.insert_ratio, 1)
            )
            operated = c.operated_count(self.operable(clean, mask).sum(1), ratio, least)
            present = torch.full_like(operated, clean.shape[1]) if mask is None else mask.sum(1)
            if course == "itd":
                present = (present + operated).clamp(max=config.max_position_embeddings)
            again = slice(c.operated_count(len(clean), config.correction_rows))
            sums = [operated.sum(), present.sum(), operated[again].sum(), present[again].sum()]
            if config.correction_average == "own":
                sums[2:] = own, own
            counts |= dict(zip(COURSES[course], sums, strict=True))
        return {name: count for name, count in counts.items() if name is not None and self._is_on(name)}

    def _chosen(self, courses: Collection[str] | None) -> tuple[str, ...]:
        if courses is None:
            return self.active_courses
        if unknown := set(courses) - set(COURSES):
            raise UserError(f"courses: unknown {', '.join(sorted(unknown))}; choose from {', '.join(COURSES)}")
        return tuple(k for k in self.active_courses if k in courses)

    def _rows(self, course: str, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The rows of a training batch that a course takes: with `course_schedule="sampled"` its share of them."""
        courses, batch_size = self.active_courses, len(input_ids)
        if self.config.course_schedule != "sampled" or len(courses) == 1:
            return input_ids, attention_mask
        if batch_size < len(courses):
            raise UserError(
                f"course_schedule='sampled' gives each of {', '.join(courses)} a share of a batch's rows, and there "
                f"are {batch_size}: give at least {len(courses)} on each device"
            )
        rows = slice(courses.index(course), None, len(courses))
        return input_ids[rows], None if attention_mask is None else attention_mask[rows]

    def _is_on(self, name: str | None) -> bool:
        return name in self._weights_in_use

    def operable(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """True at ordinary tokens: not special, not padding."""
        config = self.config
        operable = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        for special in (config.pad_token_id, config.cls_token_id, config.sep_token_id, config.mask_token_id):
            operable = operable & (input_ids != special)
        return operable

    def corrupt(
        self,
        course: str,
        clean: Tensor,
        attention_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        operable: Tensor | None = None,
    ) -> c.Corruption:
        """What a course makes of rows; arguments as `forward`'s, and where it may operate, by default `operable`."""
        config, operable = self.config, self.operable(clean, attention_mask) if operable is None else operable
        if course == "itd":
            return c.insert_masks(
                clean,
                operable,
                config.insert_ratio,
                config.mask_token_id,
                max_length=config.max_position_embeddings,
                attention_mask=attention_mask,
                pad_token_id=config.pad_token_id or 0,
                generator=generator,
            )
        if course == "std":
            corruption = c.swap_tokens(clean, operable, config.swap_ratio, generator=generator)
        else:
            corruption = c.mask_tokens(clean, operable, config.mask_ratio, config.mask_token_id, generator=generator)
        corruption.attention_mask = attention_mask
        return corruption

    def _course(
        self, course: str, clean: Tensor, corruption: c.Corruption, generator: torch.Generator | None, sums: _Sums
    ) -> CourseRecord:
        """One self-supervision course and its correction; their losses and metrics go into `sums`."""
        generate, detect, *corrections = COURSES[course]
        mask, positions, valid = corruption.attention_mask, corruption.positions, corruption.valid

        with torch.set_grad_enabled(torch.is_grad_enabled() and self._is_on(generate)):
            logits = self.generator.logits_at(corruption.input_ids, mask, positions, corruption.document_ids)
        samples = c.sample_tokens(logits, generator)
        if generate is not None:
            sums.metrics[f"{course}_generator"] = generator_counts(logits, samples, corruption.labels, valid)
            sums.add(generate, _cross_entropy(logits, corruption.labels), valid)
        del logits  # the largest tensor of a course: gone before the discriminator's pass, if it went back already
        if not any(self._is_on(name) for name in (detect, *corrections)):
            return CourseRecord(corruption, samples)

        read = c.substitute(corruption.input_ids, positions, samples, valid)
        if course == "itd":
            labels = c.substitute(torch.zeros_like(read), positions, valid.long(), valid).bool()
        else:
            labels = read != clean
        present = torch.ones_like(labels) if mask is None else mask.bool()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._is_on(detect)):
            verdict = self.detect(course, read, mask, corruption.document_ids)
        sums.metrics[f"{course}_detection"] = detection_histogram(verdict.detach(), labels, present)
        sums.add(detect, _binary_cross_entropy(verdict, labels), present)
        record = CourseRecord(corruption, samples, read, labels, verdict.detach())
        if corrections[0] is not None:
            notebook = record.notebook = c.correction_notebook(labels, verdict, mask)
            sums.metrics[f"{course}_notebook"] = torch.stack([cell.sum() for cell in vars(notebook).values()])
            rows = c.operated_count(len(clean), self.config.correction_rows) if self.training else len(clean)
            again, first = slice(rows), (c.first_rows(corruption, rows), c.first_rows(notebook, rows))
            self._regenerate(course, clean[again], record, *first, sums)
            self._rediscriminate(course, clean[again], read[again], labels[again], record, *first, sums)
        return record

    def _joint_courses(
        self,
        courses: Sequence[str],
        clean: Tensor,
        attention_mask: Tensor | None,
        generator: torch.Generator | None,
        sums: _Sums,
    ) -> dict[str, CourseRecord]:
        """The courses on one row at once, each at its own places: one pass of each network, and no correction."""
        joint = corrupt_jointly(self, courses, clean, attention_mask, generator)
        read, mask, documents = joint.last.input_ids, joint.last.attention_mask, joint.last.document_ids
        slots = torch.cat([corruption.positions for corruption in joint.courses.values()], 1)
        widths = [corruption.positions.shape[1] for corruption in joint.courses.values()]
        all_logits = self.generator.logits_at(read, mask, slots, documents).split(widths, 1)
        records = {}
        for (course, corruption), logits in zip(joint.courses.items(), all_logits, strict=True):
            samples = c.sample_tokens(logits, generator)
            records[course] = CourseRecord(corruption, samples)
            read = c.substitute(read, corruption.positions, samples, corruption.valid)
            if (generate := COURSES[course][0]) is not None:
                counts = generator_counts(logits, samples, corruption.labels, corruption.valid)
                sums.metrics[f"{course}_generator"] = counts
                sums.add(generate, _cross_entropy(logits, corruption.labels), corruption.valid)
        hidden = self.electra(read, mask, document_ids=documents).last_hidden_state
        for course, record in records.items():
            record.discriminator_input, record.labels = read, joint.places(course) & (read != joint.original)
            if course == "itd":
                record.labels = joint.places(course)
            verdict, known = self._head(course)(hidden), joint.known_to(course)
            record.logits = verdict.detach()
            sums.metrics[f"{course}_detection"] = detection_histogram(record.logits, record.labels, known)
            sums.add(COURSES[course][1], _binary_cross_entropy(verdict, record.labels), known)
        return records

    def _regenerate(
        self,
        course: str,
        clean: Tensor,
        record: CourseRecord,
        corruption: c.Corruption,
        notebook: c.Notebook,
        sums: _Sums,
    ) -> None:
        """The generator's correction: where it was caught it tries again, in the original row."""
        name = COURSES[course][2] or ""
        if self._is_on(name):
            again = record.regeneration_input = c.regeneration_input(clean, corruption.input_ids, notebook)
            caught = notebook.pos4.gather(1, corruption.positions) & corruption.valid
            logits = self.generator.logits_at(
                again, corruption.attention_mask, corruption.positions, corruption.document_ids
            )
            averaged_over = caught if self.config.correction_average == "own" else corruption.valid
            sums.add(name, _cross_entropy(logits, corruption.labels), averaged_over, caught)

    def _rediscriminate(
        self,
        course: str,
        clean: Tensor,
        read: Tensor,
        labels: Tensor,
        record: CourseRecord,
        corruption: c.Corruption,
        notebook: c.Notebook,
        sums: _Sums,
    ) -> None:
        """The discriminator's correction: where it was wrong it judges again, the caught tokens put right."""
        name = COURSES[course][3] or ""
        if self._is_on(name):
            again = record.rediscrimination_input = c.rediscrimination_input(clean, read, notebook)
            wrong = notebook.pos2 | notebook.pos3
            averaged_over = wrong if self.config.correction_average == "own" else wrong | notebook.pos1 | notebook.pos4
            verdict = self.detect(course, again, corruption.attention_mask, corruption.document_ids)
            sums.add(name, _binary_cross_entropy(verdict, labels), averaged_over, wrong)

    def export(
        self,
        output_dir: str | os.PathLike[str],
        half: str = "discriminator",
        format: str = "mcl",
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> PreTrainedModel:
        """Writes one half into a folder of its own; see [`~transformers_mcl.hub.export.export_model`]."""
        return hooks.export_model(self, output_dir, half=half, format=format, tokenizer=tokenizer)

    def detect(
        self,
        course: str,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """Detection logits `(batch, length)` of the course's head, positive = replaced; arguments as [`MclModel`]'s.

        Raises:
            UserError: the pair was configured without the course.
        """
        hidden = self.electra(input_ids, attention_mask, document_ids=document_ids).last_hidden_state
        return self._head(course)(hidden)

    def _head(self, course: str) -> Any:
        if course == "rtd" or self.config.detection_heads == "shared":
            return self.discriminator_predictions
        if course not in self.course_predictions:
            raise UserError(f"{course}: this pair was configured without the course, and has no detection head for it")
        return self.course_predictions[course]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, slots, vocabulary)` in float32, by slot; 0 where the label is -100."""
    losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, length)` in float32, by token."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
