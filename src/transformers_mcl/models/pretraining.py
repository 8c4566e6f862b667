"""The pair that is pre-trained, and the courses that it takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from types import MappingProxyType
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from ..errors import UserError, check_name, check_names
from ..method.corruptions import sample_tokens, substitute
from ..method.counts import RowCounts, correction_rows, count_losses, group_rows
from ..method.courses import (
    COURSES,
    MAIN_COURSE,
    CorruptedRows,
    Course,
    CourseRecord,
    Loss,
    Rows,
    SpecialTokens,
    check_words,
    corrupt_rows,
    in_order,
    known_weights,
)
from ..method.metrics import detection_sums, generator_counts
from ..method.notebook import correction_notebook, rediscrimination_input, regeneration_input
from ..method.schedules import Curriculum
from . import hooks
from .backbones import encode, new_discriminator, new_generator, predict_at, predicts_at
from .configuration_mcl import MclConfig
from .dropout import cheapen_dropout
from .heads import detection_head
from .modeling_mcl import MclGenerator, MclModel, MclPreTrainedModel, check_length
from .sharing import SHARING, DisentangledEmbedding, new_size, resize, tie

__all__ = ["CourseRecord", "CoursesMixin", "MclForPreTraining", "MclForPreTrainingOutput"]

_GRAPHS = 32  # of a compiled pass: with padding or without, in training and evaluation, of few lengths


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
class _Losses:
    """The losses of one call, as they become known: see `MclForPreTraining.forward`."""

    loss: Tensor
    weights: Mapping[str, float]
    counts: Mapping[str, Tensor]  # places of this batch, by name of the loss
    items: Mapping[str, Tensor]  # places of the whole optimizer step, where it is more than this batch
    own_cells: bool  # whether a correction is averaged over its own cells
    to_come: int
    backward: Callable[[Tensor], Any] | None
    losses: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)

    def add(self, loss: Loss, values: Tensor, where: Tensor) -> None:
        """Adds the sum of `values` at `where`, divided by the places counted for the loss."""
        name, total = loss.name, values.masked_fill(~where, 0.0).sum()
        if loss.corrects and self.own_cells:
            count = where.sum()
            over = count.clamp(min=1) * self.items.get(name, 1)
        else:
            count = self.counts[name]
            over = self.items.get(name, count.clamp(min=1))
        mean = total / over
        weighted = self.weights[name] * mean
        self.to_come -= 1
        if self.backward is not None and self.to_come and weighted.requires_grad:
            self.backward(weighted)
            weighted = weighted.detach()
        self.loss = self.loss + weighted
        self.losses[name] = mean.detach()
        self.metrics[name] = torch.stack([total.detach(), count.to(total.dtype)])


class CoursesMixin:
    """The courses, on any two networks: clean token ids in, the weighted sum of all losses out.

    A pair gives it `config` (an [`MclConfig`]), `loss_weights` and `turn` in its `__init__`, and three methods:
    `encode`, `predict_at` and `detection_head`. [`MclForPreTraining`] is such a pair; `docs/add_an_encoder.md` shows
    another.

    Attributes:
        turn: rows that came before the next training batch, where courses take rows in turn
            (`course_schedule="sampled"`). A training call moves it on, of several for the same rows the one for the
            last course; checkpoints of [`MclTrainer`] keep it, so that resuming is exact.
    """

    config: Any  # an MclConfig, which transformers' own classes declare otherwise
    training: bool
    turn: int = 0
    _temperature: Tensor | None = None
    # The loss is a mean over this batch: a plain Trainer has to divide it by its accumulation steps.
    accepts_loss_kwargs = False

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None = None) -> Tensor:
        """The discriminator's hidden states, `(batch, length, hidden)`.

        Args:
            input_ids (`LongTensor` of shape `(batch, length)`): tokens.
            attention_mask (`Tensor` of shape `(batch, length)`, *optional*): 0 at padding; `None` if there is none.
            document_ids (`LongTensor` of shape `(batch, length)`, *optional*): which document each token belongs to,
                where documents are kept apart.
        """
        raise NotImplementedError

    def predict_at(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        positions: Tensor,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """The generator's vocabulary logits `(batch, slots, vocabulary)`, at `positions` `(batch, slots)` alone.

        The other arguments are those of `encode`.
        """
        raise NotImplementedError

    def detection_head(self, course: str) -> Any:
        """The head that makes a course's logits `(batch, length)` of hidden states, positive = replaced.

        Raises:
            UserError: the pair was configured without the course.
        """
        raise NotImplementedError

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The weights in use. May be replaced in training, to start a course later; a loss must not gain a weight that
        the configuration lacks.

        Raises:
            UserError: set with an unknown loss, or a weight that is no finite number of 0 or more.
        """
        return MappingProxyType(self._loss_weights)

    @loss_weights.setter
    def loss_weights(self, weights: Mapping[str, float]) -> None:
        self._loss_weights = known_weights(weights)
        # Which are in use decides what is computed: known outside of a compiled graph, to which a weight is a number.
        self._weights_in_use = {name: weight for name, weight in self._loss_weights.items() if weight}

    @property
    def temperature(self) -> float:
        """What the generator's logits are divided by before a token is sampled; may be changed in training."""
        return 1.0 if self._temperature is None else self._temperature.item()

    @temperature.setter
    def temperature(self, value: float) -> None:
        # A tensor, so that a compiled step is not compiled anew whenever it changes; on the CPU, since checkpoints are
        # opened where a new one would have no value.
        self._temperature = None if value == 1.0 else torch.tensor(float(value), device="cpu")

    @property
    def active_courses(self) -> tuple[str, ...]:
        """The self-supervision courses that `loss_weights` asks for now, in the order they are run."""
        return tuple(name for name, course in COURSES.items() if course.is_on(self._weights_in_use))

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
        word_starts: Tensor | None = None,
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
            word_starts (`BoolTensor` of shape `(batch, length)`, *optional*): True where a word begins. Read in
                training alone, and only with `whole_word_mask`, which needs it.

        Raises:
            UserError: an unknown course in `courses`, rows longer than the model has positions for, or no words.
        """
        check_length(self.config, input_ids.shape[1])
        words = check_words(word_starts) if self.training and self.config.whole_word_mask else None
        curriculum, rows = self._curriculum(courses), self._clean_rows(input_ids, attention_mask, words)
        groups = [
            group
            for group in curriculum.groups(self.turn)
            if group_rows(group.rows, len(rows)) and (courses is None or group.courses[0].name in courses)
        ]
        sums = _Losses(
            loss=torch.zeros((), device=input_ids.device),
            weights=curriculum.weights,
            counts=count_losses(curriculum, RowCounts.of(rows), self.turn),
            items=num_items_in_batch or {},
            own_cells=curriculum.own_cells,
            to_come=sum(self._is_on(loss) for group in groups for course in group.courses for loss in course.losses),
            # Courses that share their passes share a graph, too: their losses go back together.
            backward=None if any(len(group.courses) > 1 for group in groups) else backward,
        )
        records: dict[str, CourseRecord] = {}
        for group in groups:
            records |= self._take(group.courses, rows[group.rows], curriculum, generator, sums)
        if curriculum.schedule.in_turn and (courses is None or curriculum.courses[-1].name in courses):
            self.turn = (self.turn + len(rows)) % len(curriculum.courses)
        return MclForPreTrainingOutput(sums.loss, sums.losses, sums.metrics, records if output_records else None)

    def _take(
        self,
        courses: Sequence[Course],
        rows: Rows,
        curriculum: Curriculum,
        draws: torch.Generator | None,
        sums: _Losses,
    ) -> dict[str, CourseRecord]:
        """Courses on the same rows, with one pass of each network; and if it is one course alone, its corrections."""
        documents_begin = self.config.cls_token_id if self.config.document_attention else None
        corrupted = corrupt_rows(courses, rows, curriculum.ratios, draws, documents_begin)
        records = self._generate(courses, corrupted, draws, sums)
        if any(self._is_on(loss) for course in courses for loss in course.losses if loss is not course.generate):
            self._discriminate(courses, corrupted, records, sums)
            if len(courses) == 1 and courses[0].corrects:
                again = correction_rows(curriculum, len(rows))
                self._correct(courses[0], records[courses[0].name], again, sums)
        return records

    def _generate(
        self, courses: Sequence[Course], corrupted: CorruptedRows, draws: torch.Generator | None, sums: _Losses
    ) -> dict[str, CourseRecord]:
        """The generator's pass: its losses, and its samples at the places of every course."""
        courses = in_order(courses)
        read, corruptions = corrupted.read, [corrupted.corruptions[course.name] for course in courses]
        slots = torch.cat([corruption.positions for corruption in corruptions], 1)
        with self._gradient(*(course.generate for course in courses)):
            logits = self.predict_at(read.input_ids, read.attention_mask, slots, read.document_ids).float()
        widths = [corruption.positions.shape[1] for corruption in corruptions]
        parts = logits.split(widths, 1) if len(courses) > 1 else (logits,)  # which costs a copy, going back
        records = {}
        for course, corruption, its in zip(courses, corruptions, parts, strict=True):
            samples = sample_tokens(its if self._temperature is None else its / self._temperature, draws)
            records[course.name] = CourseRecord(corruption, corrupted.original, samples)
            if course.generate is not None:
                counts = generator_counts(its, samples, corruption.labels, corruption.valid)
                sums.metrics[f"{course.name}_generator"] = counts
                if self._is_on(course.generate):
                    sums.add(course.generate, _cross_entropy(its, corruption.labels), corruption.valid)
        return records

    def _discriminate(
        self, courses: Sequence[Course], corrupted: CorruptedRows, records: dict[str, CourseRecord], sums: _Losses
    ) -> None:
        """The discriminator's pass over the samples: its losses, and its verdicts for the corrections."""
        read, filled = corrupted.read, corrupted.read.input_ids
        for record in records.values():
            filled = substitute(filled, record.corruption.positions, record.samples, record.corruption.valid)
        with self._gradient(*(course.detect for course in courses)):
            hidden = self.encode(filled, read.attention_mask, read.document_ids)
            verdicts = [self.detection_head(course.name)(hidden) for course in courses]
        for course, verdict in zip(courses, verdicts, strict=True):
            record, judged = records[course.name], corrupted.judged(course.name)
            record.discriminator_input, record.logits = filled, verdict.detach()
            record.labels = course.labels(corrupted.operated(course.name), filled, corrupted.original)
            sums.metrics[f"{course.name}_detection"] = detection_sums(record.logits, record.labels, judged)
            if self._is_on(course.detect):
                sums.add(course.detect, _binary_cross_entropy(verdict, record.labels), judged)

    def _correct(self, course: Course, record: CourseRecord, rows: int, sums: _Losses) -> None:
        """Both networks go over the mistakes in the notebook, on the first `rows` rows."""
        assert record.labels is not None and record.logits is not None
        record.notebook = correction_notebook(record.labels, record.logits, record.corruption.attention_mask)
        sums.metrics[f"{course.name}_notebook"] = torch.stack([cell.sum() for cell in record.notebook.cells])
        part = record.first_rows(rows)
        corruption, mask, notebook = part.corruption, part.corruption.attention_mask, part.notebook
        assert notebook is not None and part.labels is not None and part.discriminator_input is not None
        if self._is_on(course.regenerate):  # where G was caught it tries again, in the original row
            again = record.regeneration_input = regeneration_input(part.original, corruption.input_ids, notebook)
            caught = notebook.pos4.gather(1, corruption.positions) & corruption.valid
            logits = self.predict_at(again, mask, corruption.positions, corruption.document_ids)
            sums.add(course.regenerate, _cross_entropy(logits, corruption.labels), caught)
            del logits
        if self._is_on(course.rediscriminate):  # where D was wrong it judges again, the caught tokens put right
            again = rediscrimination_input(part.original, part.discriminator_input, notebook)
            record.rediscrimination_input = again
            verdict = self.detect(course.name, again, mask, corruption.document_ids)
            wrong = notebook.pos2 | notebook.pos3
            sums.add(course.rediscriminate, _binary_cross_entropy(verdict, part.labels), wrong)

    @torch.no_grad()
    def count_items(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        training: bool = True,
        turn: int | None = None,
    ) -> dict[str, Tensor]:
        """What each active loss of these rows is divided by, known before any of them is corrupted.

        An optimizer step over several batches, on one process or many, has the gradient of one large batch if each is
        given the sum over all (`num_items_in_batch`). A correction averaged over its own cell
        (`correction_average="own"`) has no such number; it counts 1 a batch, which makes it a mean of means.

        Args:
            input_ids, attention_mask: as in `forward`.
            training: in training, where a course may take a share of the rows; False for an evaluation.
            turn: as the attribute, by default its value.

        Returns:
            By the name of the loss, scalars on the device of `input_ids`.
        """
        rows = RowCounts.of(self._clean_rows(input_ids, attention_mask))
        return count_losses(self._curriculum(training=training), rows, self.turn if turn is None else turn)

    def _curriculum(self, courses: Collection[str] | None = None, training: bool | None = None) -> Curriculum:
        """What the configuration and the weights in use say; of courses that share a pass, only those asked for."""
        curriculum = self.config.curriculum(self._weights_in_use, self.training if training is None else training)
        check_names("courses", courses or (), COURSES)
        if courses is None or not curriculum.schedule.together:
            return curriculum
        return replace(curriculum, courses=tuple(c for c in curriculum.courses if c.name in courses))

    def _clean_rows(self, input_ids: Tensor, attention_mask: Tensor | None, words: Tensor | None = None) -> Rows:
        config = self.config
        special = SpecialTokens(config.pad_token_id, config.cls_token_id, config.sep_token_id, config.mask_token_id)
        return Rows.of(input_ids, attention_mask, special, config.max_position_embeddings, words)

    def _is_on(self, loss: Loss | None) -> TypeGuard[Loss]:
        return loss is not None and loss.name in self._weights_in_use

    def _gradient(self, *losses: Loss | None) -> torch.set_grad_enabled:
        """A pass that no loss in use comes out of needs no graph."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and any(self._is_on(loss) for loss in losses))

    def detect(
        self,
        course: str,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """Detection logits `(batch, length)` of the course's head, positive = replaced; other arguments and what is
        raised as of `encode` and `detection_head`."""
        return self.detection_head(course)(self.encode(input_ids, attention_mask, document_ids))


def _predict_at(generator: Any, *given: Any) -> Tensor:
    """As `CoursesMixin.predict_at`."""
    own = isinstance(generator, MclGenerator)
    logits: Tensor = generator.logits_at(*given) if own else predict_at(generator, *given)
    return logits


class MclForPreTraining(CoursesMixin, MclPreTrainedModel):
    """A discriminator, a generator, and the courses that train them.

    By default both are ELECTRA's encoder with a relative position bias; with `backbone_config` they are transformers'
    own models of another family, as they are. The discriminator lies under the prefix that its task heads give it
    (`electra.`, `bert.`, `model.`, …), so that a checkpoint of the pair opens as any of them; the generator lies under
    `generator.`. Takes clean token ids and does all the courses itself, on the device.
    """

    electra: Any  # the discriminator by default, as any other has the name of its family

    _is_pair = True
    _encode: Callable[..., Tensor] = staticmethod(encode)
    _predict_at: Callable[..., Tensor] = staticmethod(_predict_at)
    _keys_to_ignore_on_load_unexpected: Any = None

    def __init__(self, config: MclConfig):
        asked, native = config._attn_implementation, config.backbone_config is not None
        super().__init__(config)
        discriminator = new_discriminator(config.backbone_config, asked) if native else MclModel(config)
        self.base_model_prefix = discriminator.base_model_prefix
        setattr(self, self.base_model_prefix, discriminator)
        # The head for replaced tokens, and with shared heads the one for every course.
        self.discriminator_predictions = detection_head(config)
        own_heads = [k for k in config.active_courses if k != MAIN_COURSE and config.detection_heads == "per_course"]
        self.course_predictions = nn.ModuleDict({k: detection_head(config) for k in own_heads})
        its = config.generator_backbone_config
        self.generator: Any = new_generator(its, asked) if native else MclGenerator(config.generator_config())
        self.sharing = SHARING[str(config.generator_shares)]
        base: Any = self.generator.base_model
        self.sharing.prepare(self.discriminator, base)
        self._tied_weights_keys = tie(self.sharing, self.discriminator, self.generator)
        self.generator.requires_grad_(config.generator_trainable)
        cheapen_dropout(self)
        self.loss_weights = dict(config.weights)
        self.turn, self.temperature = 0, config.generator_temperature
        self.post_init()
        config._attn_implementation = self.discriminator.config._attn_implementation
        # The halves ignore each other's keys; the pair must miss none and have none left over.
        self._keys_to_ignore_on_load_unexpected = self.sharing.ignored(self)
        # Embeddings that both halves share must not be sharded with each: FSDP keeps them with the rest, and asks for
        # every kind of layer that it is told of.
        present = {type(module).__name__ for module in self.modules()}
        self._no_split_modules = {name for name in self._no_split_modules or () if "Embedding" not in name} & present

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and isinstance(table := self.get_input_embeddings(), DisentangledEmbedding):
            init.zeros_(table.delta)  # the encoder, in whose charge it is, does not know it

    @property
    def discriminator(self) -> PreTrainedModel:
        """The discriminator's encoder, without its heads."""
        encoder: PreTrainedModel = getattr(self, self.base_model_prefix)
        return encoder

    @property
    def predicts_everywhere(self) -> bool:
        """Whether the generator's head cannot be had at chosen positions alone, which costs time and memory.

        Of a family without an adapter it is found out once; ask before you compile, or the first step does it, and is
        compiled anew.
        """
        return self.config.backbone_config is not None and not predicts_at(self.generator)

    def train(self, mode: bool = True) -> MclForPreTraining:
        """As any module's; a generator that is not trained stays as it is in use."""
        super().train(mode)
        if not self.config.generator_trainable:
            self.generator.eval()
        return self

    def share_modules(self) -> None:
        """Makes the modules that hold shared parameters the same in both halves, as FSDP asks; no number changes.

        accelerate shards the tables that it is told of by themselves, away from what else is tied to them, such as the
        bias of BERT's head and the other network's table: it is told of none, and they stay with the rest.
        """
        for target, source in self._tied_weights_keys.items():
            self.set_submodule(target.rpartition(".")[0], self.get_submodule(source.rpartition(".")[0]))
        self.get_input_embeddings = self.get_output_embeddings = _no_table  # type: ignore[method-assign]

    def get_input_embeddings(self) -> nn.Module:
        return self.discriminator.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.discriminator.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.generator.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.generator.set_output_embeddings(value)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """As any model's, of both networks, with what they share and all that says how many tokens there are."""
        tokens = new_size(self.config.vocab_size, new_num_tokens, pad_to_multiple_of)
        for half in (self.generator, self.discriminator):
            resize(half, tokens, mean_resizing=mean_resizing)
        self.config.vocab_size = tokens
        self.tie_weights()
        embeddings: Any = self.get_input_embeddings()
        return embeddings

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """As any model's, but that names are those of the models, never of an older format; the discriminator's
        embeddings are there as they are used, whatever they are made of."""
        state = kwargs.pop("state_dict", None)
        kwargs.setdefault("save_original_format", False)
        kwargs["state_dict"] = self.sharing.fold(self, self.state_dict() if state is None else state)
        super().save_pretrained(save_directory, *args, **kwargs)

    @property
    def _reads_documents(self) -> bool:
        return self.config.document_attention

    def compile_passes(self, backend: str = "inductor", mode: str | None = None) -> None:
        """Compiles the pass of each network by itself, not the courses around it as `torch.compile(pair)` does: a
        `backward` after each pass still frees its activations, in a fifth of the memory. [`MclTrainer`] does it for
        `torch_compile`. What is called, saved and loaded stays the same.

        Each pass is one graph, for any number of rows, but under FSDP, whose shards break it. One more is made for
        rows with padding, for those of a second length, which is then for any, for a single row, and for each of these
        in evaluation.

        Args:
            backend, mode: as [`torch.compile`] takes them.
        """
        _ = self.predicts_everywhere  # of some families found out by trying, which must not be compiled
        kwargs: dict[str, Any] = {"backend": backend, "mode": mode}
        if backend == "inductor" and self.device.type == "cpu":  # whose own random numbers are drawn one by one there
            kwargs = {"options": {**torch._inductor.list_mode_options(mode or "default"), "fallback_random": True}}
        self._encode, self._predict_at = (_Compiled(run, **kwargs) for run in (encode, _predict_at))

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None, document_ids: Tensor | None = None) -> Tensor:
        return self._encode(self.discriminator, input_ids, attention_mask, document_ids)

    def predict_at(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        positions: Tensor,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        return self._predict_at(self.generator, input_ids, attention_mask, positions, document_ids)

    def detection_head(self, course: str) -> Any:
        if course == MAIN_COURSE or self.config.detection_heads == "shared":
            return self.discriminator_predictions
        check_name("courses", course, COURSES)
        if course not in self.course_predictions:
            raise UserError(f"{course}: this pair was configured without the course, and has no detection head for it")
        return self.course_predictions[course]

    def export(
        self,
        output_dir: str | os.PathLike[str],
        half: str = "discriminator",
        format: str = "mcl",
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> PreTrainedModel:
        """Writes one half into a folder of its own; see [`~transformers_mcl.hub.export.export_model`]."""
        return hooks.export_model(self, output_dir, half=half, format=format, tokenizer=tokenizer)


class _Compiled:
    """A pass of a network, compiled once for any number of rows: steps have many, of courses in turn and of an
    epoch's end. A pickled one is not compiled."""

    def __init__(self, run: Callable[..., Tensor], **kwargs: Any):
        # Another pair's graphs, of the same code, are none of this one's. Older versions of torch count them together.
        ours = {"isolate_recompiles": True, "recompile_limit": _GRAPHS}
        kwargs |= {name: value for name, value in ours.items() if name in signature(torch.compile).parameters}
        self.run, self.compiled = run, torch.compile(run, **kwargs)

    def __call__(self, network: nn.Module, *given: Tensor | None) -> Tensor:
        for tensor in given:
            if tensor is not None:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return self.compiled(network, *given)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Compiled:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.run,)


def _itself(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return run


def _no_table() -> Any:
    return None


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, slots, vocabulary)` in float32, by slot; 0 where the label is -100."""
    losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of `logits` `(batch, length)` in float32, by token."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
