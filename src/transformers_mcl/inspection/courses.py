"""What each course does to one sentence, as the paper's figure shows it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..data.tokenizer import check_tokenizer
from ..errors import UserError, check_name
from ..method.corruptions import Corruption
from ..method.courses import COURSES, CourseRecord
from ..method.notebook import correction_notebook, rediscrimination_input, regeneration_input
from ..models.pretraining import MclForPreTraining, MclForPreTrainingOutput

__all__ = [
    "Correction",
    "CourseInspection",
    "Inspection",
    "LossInspection",
    "Prediction",
    "check_text",
    "check_threshold",
    "describe_course",
    "inspect_text",
    "only",
]

T = TypeVar("T")

_LIKELIEST = 5  # tokens that are named of a prediction
_ROWS = 8  # that go through a network at a time


@dataclass
class Prediction:
    """What the generator says of one place.

    Attributes:
        likeliest: tokens and their probabilities, as they are sampled from, the highest first.
        drawn: the probability of the token that it drew; `None` in a second answer, of which nothing is drawn.
        loss: of the original token, in nats; `None` at inserted slots, which have none.
    """

    likeliest: dict[str, float]
    drawn: float | None
    loss: float | None


@dataclass
class Correction:
    """The second answers of both networks at the thresholds at which so many replaced tokens are caught: their inputs
    depend on nothing else.

    Attributes:
        caught: how many tokens are in pos4.
        predictions: the generator's, at pos4, `None` elsewhere; `None` where the pair does not take this course.
        logits: the discriminator's, of each token that it reads; `None` where the pair does not take this course.
    """

    caught: int
    predictions: list[Prediction | None] | None = None
    logits: list[float] | None = None


@dataclass
class LossInspection:
    """One loss on this sentence.

    Attributes:
        value: its mean, in nats.
        weight: in the sum of all losses.
        places: what its sum is divided by; `None` where that is the number of tokens in its cells.
    """

    value: float
    weight: float
    places: float | None


@dataclass
class CourseInspection:
    """One course on one sentence. Lists have one item for each token that the discriminator read, `[CLS]` and `[SEP]`
    included; for insertion that is more than the sentence has. What did not happen is `None`.

    Attributes:
        original: the sentence; `None` at inserted slots.
        operated: whether the course masked, swapped or inserted here.
        generator_reads: the corrupted sentence.
        generator_fills: the generator's sample where operated, `None` elsewhere.
        discriminator_reads: the corrupted sentence with the samples in place.
        replaced: the truth (for insertion: inserted).
        probability: the discriminator's probability of `replaced`, 0 to 1.
        judged_replaced: the discriminator's verdict, which decides the cell.
        cells: the correction notebook, `"pos1"` to `"pos4"`; `None` for insertion.
        generator_reads_again, generator_says_again: the generator's second input, and its most likely token at pos4.
            `None` where the pair does not take this correction course.
        discriminator_reads_again, probability_again: the discriminator's second input, and its probability of
            `replaced` at pos2 and pos3. `None` where the pair does not take this correction course.
        dropped: how many of the sentence's last tokens gave way to inserted slots, at the model's longest length.
        predictions: the generator's, where operated.
        logits: the discriminator's: `probability` is their sigmoid.
        corrections: the second answers at every threshold, those at which fewest tokens are caught first; or at one
            threshold alone.
        losses: those that the pair takes, by name, at the threshold of training, 0.5.
    """

    original: list[str | None]
    operated: list[bool]
    generator_reads: list[str]
    generator_fills: list[str | None]
    discriminator_reads: list[str] | None = None
    replaced: list[bool] | None = None
    probability: list[float] | None = None
    judged_replaced: list[bool] | None = None
    cells: list[str] | None = None
    generator_reads_again: list[str] | None = None
    generator_says_again: list[str | None] | None = None
    discriminator_reads_again: list[str] | None = None
    probability_again: list[float | None] | None = None
    dropped: int = 0
    predictions: list[Prediction | None] = field(default_factory=list)
    logits: list[float] | None = None
    corrections: list[Correction] = field(default_factory=list)
    losses: dict[str, LossInspection] = field(default_factory=dict)


@dataclass
class Inspection:
    """What [`inspect_text`] found: plain lists, numbers and strings.

    Attributes:
        text: the sentence as given.
        tokens: its tokens, with `[CLS]` and `[SEP]`.
        seed: seed of all draws.
        courses: by name (`"rtd"`, `"std"`, ...), in the order they are run, those shown.
        notes: what the reader has to know besides, a sentence each.
        threshold: the probability above which the discriminator's verdict is `replaced`; in training 0.5.
    """

    text: str
    tokens: list[str]
    seed: int
    courses: dict[str, CourseInspection]
    notes: list[str] = field(default_factory=list)
    threshold: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, ready for `json.dumps`."""
        return asdict(self)


def inspect_text(
    model: MclForPreTraining,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    seed: int = 42,
    courses: Collection[str] | None = None,
    threshold: float = 0.5,
    thresholds: bool = False,
) -> Inspection:
    """Runs the courses on one sentence, without dropout, and keeps what happened.

    A course shows the same whichever others are shown. Text beyond the model's positions is cut off, with a note.

    Args:
        model: the pair; left in the mode (training or evaluation) it came in.
        tokenizer: its tokenizer.
        text: the sentence.
        seed: of all draws: the positions, and the generator's samples.
        courses: their names (`"rtd"`, `"std"`, ...); all that the pair takes by default.
        threshold: the probability above which the discriminator's verdict is `replaced`; it decides the notebook.
        thresholds: whether to ask for the second answers at all other thresholds as well, a pass more of each network
            for each replaced token.

    Raises:
        UserError: text without a token, a course that the pair does not take, a tokenizer that is not the pair's, a
            threshold that is not between 0 and 1.
    """
    check_text(text)
    check_threshold(threshold)
    if seed not in range(2**63):
        raise UserError(f"seed={seed} must be a whole number from 0 to 2**63 - 1")
    check_tokenizer(tokenizer, model.config.vocab_size)
    for name in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        ours, theirs = getattr(tokenizer, name), getattr(model.config, name)
        if ours != theirs:
            raise UserError(f"tokenizer: its {name} is {ours}, the model's is {theirs}: use the pair's own tokenizer")
    shown = _shown_courses(model, courses)
    input_ids, notes = _encode(text, tokenizer, model.config.max_position_embeddings)
    if threshold != 0.5:
        notes.append(f"D calls a token replaced above a probability of {threshold:g}; in training it is 0.5.")

    with _at_rest(model), torch.no_grad():
        clean = torch.tensor([input_ids], device=model.device)
        draws = torch.Generator(model.device).manual_seed(seed)
        # All courses run, also those not shown, so that each draws the same whatever is shown.
        output = model(clean, generator=draws, output_records=True)
        looker = _Looker(model, tokenizer, clean, threshold, thresholds)
        described = {name: looker.look(name, output.records[name]) for name in shown}
    for name, course in described.items():
        course.losses = _losses(model, name, output)
    return Inspection(text, _tokens(tokenizer, input_ids), seed, described, notes, threshold)


@contextmanager
def _at_rest(model: MclForPreTraining) -> Iterator[None]:
    """The pair as in use, and its passes not compiled, which would take minutes for every new shape."""
    was_training, own = model.training, vars(model)
    compiled: dict[str, Any] = {name: own.pop(name) for name in ("_encode", "_predict_at") if name in own}
    model.eval()
    try:
        yield
    finally:
        own.update(compiled)
        model.train(was_training)


def check_text(text: str) -> None:
    """That there is something to inspect.

    Raises:
        UserError: nothing but white space, or what is not text.
    """
    if not text.strip():
        raise UserError(f"text {text!r} is empty: give a sentence")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"text {text!r} is not valid Unicode at character {error.start}") from error


def check_threshold(threshold: float) -> None:
    """That a probability can be above it, and another not.

    Raises:
        UserError: it is not between 0 and 1.
    """
    if not 0.0 < threshold < 1.0:
        raise UserError(f"threshold={threshold} must lie between 0 and 1, both excluded; in training it is 0.5")


def _shown_courses(model: MclForPreTraining, courses: Collection[str] | None) -> tuple[str, ...]:
    active = model.active_courses
    for name in courses or ():
        check_name("courses", name, COURSES)
        if name not in active:
            raise UserError(f"courses: this pair does not take {name!r} (weight 0), only {', '.join(active)}")
    return tuple(name for name in active if courses is None or name in courses)


def _encode(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[list[int], list[str]]:
    """A row as in pre-training, `[CLS] text [SEP]`, and what there is to note about it."""
    # As in pre-training: "[MASK]" in a text is text.
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids: list[int] = encoded["input_ids"]
    if not ids:
        raise UserError(f"text {text!r} has no token in this tokenizer's vocabulary")
    kept = ids[: max_length - 2]
    notes = []
    if len(kept) < len(ids):
        notes.append(
            f"The text has {len(ids)} tokens, the model positions for {len(kept)} beside "
            f"{tokenizer.cls_token} and {tokenizer.sep_token}: {len(ids) - len(kept)} were cut off at the end."
        )
    return [tokenizer.cls_token_id, *kept, tokenizer.sep_token_id], notes


@dataclass
class _Looker:
    """Finds what there is to say of the courses on one sentence, `clean` of shape `(1, length)`."""

    model: MclForPreTraining
    tokenizer: PreTrainedTokenizerBase
    clean: Tensor
    threshold: float
    thresholds: bool

    def look(self, course: str, record: CourseRecord) -> CourseInspection:
        """Describes the course, with all that the generator may draw, and what both networks say to the second inputs
        that they are trained on."""
        corruption, row = record.corruption, _Row(self.tokenizer, record.corruption)
        cut = math.log(self.threshold / (1 - self.threshold))
        own = record if record.notebook is None else _at_cuts(record, self.clean.new_tensor([cut], dtype=torch.float))
        shown = describe_course(course, self.clean, own, self.tokenizer, self.threshold)
        logits = self.model.predict_at(corruption.input_ids, corruption.attention_mask, corruption.positions)
        shown.predictions = row.predictions(logits, record.samples, self.model.temperature)
        if record.notebook is None or record.logits is None or record.labels is None:
            return shown
        if self.thresholds:  # a token more is caught just below its logit
            caught = record.logits[record.labels].float().unique().flip(0)
            parts = torch.cat([caught, caught.new_tensor([-torch.inf])]).split(_ROWS)
            shown.corrections = [c for cuts in parts for c in self._correct(course, _at_cuts(record, cuts), row)]
        else:
            shown.corrections = list(self._correct(course, own, row))
        assert shown.cells is not None
        now = next(c for c in shown.corrections if c.caught == shown.cells.count("pos4"))
        if now.predictions is not None:
            shown.generator_says_again = [None if p is None else next(iter(p.likeliest)) for p in now.predictions]
        if now.logits is not None:
            probability = torch.tensor(now.logits).sigmoid().tolist()
            shown.probability_again = only(probability, shown.cells, "pos2", "pos3")
        return shown

    def _correct(self, course: str, record: CourseRecord, row: _Row) -> Iterator[Correction]:
        """The answers to a record's second inputs, of several rows, a row each."""
        assert record.notebook is not None
        caught = record.notebook.pos4
        mask = record.corruption.attention_mask
        mask = None if mask is None else mask.expand(len(caught), -1)
        says = judged = None
        if record.regeneration_input is not None:
            slots = record.corruption.positions.expand(len(caught), -1)
            says = self.model.predict_at(record.regeneration_input, mask, slots)
        if record.rediscrimination_input is not None:
            judged = self.model.detect(course, record.rediscrimination_input, mask)
        for i in range(len(caught)):
            pos4 = row.values(caught[i : i + 1])
            correction = Correction(pos4.count(True))
            if says is not None:
                predictions = row.predictions(says[i : i + 1])
                correction.predictions = [p if c else None for p, c in zip(predictions, pos4, strict=True)]
            if judged is not None:
                correction.logits = row.values(judged[i : i + 1].float())
            yield correction


def _at_cuts(record: CourseRecord, cuts: Tensor) -> CourseRecord:
    """The record of one row with a notebook and second inputs of several, one for each logit in `cuts`, above which a
    token is called replaced."""
    assert record.labels is not None and record.logits is not None and record.discriminator_input is not None
    read = record.corruption
    notebook = correction_notebook(record.labels, record.logits.float() - cuts[:, None], read.attention_mask)
    again: dict[str, Any] = {}
    if record.regeneration_input is not None:
        again["regeneration_input"] = regeneration_input(record.original, read.input_ids, notebook)
    if record.rediscrimination_input is not None:
        first = record.discriminator_input
        again["rediscrimination_input"] = rediscrimination_input(record.original, first, notebook)
    return replace(record, notebook=notebook, **again)


def _losses(model: MclForPreTraining, course: str, output: MclForPreTrainingOutput) -> dict[str, LossInspection]:
    """A course's losses on a sentence, as the pair computed them."""
    assert output.losses is not None and output.metrics is not None
    own_cells = model.config.curriculum().own_cells
    return {
        loss.name: LossInspection(
            value=output.losses[loss.name].item(),
            weight=model.loss_weights[loss.name],
            places=None if loss.corrects and own_cells else output.metrics[loss.name][1].item(),
        )
        for loss in COURSES[course].losses
        if loss.name in output.losses
    }


def describe_course(
    course: str, clean: Tensor, record: CourseRecord, tokenizer: PreTrainedTokenizerBase, threshold: float = 0.5
) -> CourseInspection:
    """The first row of a course's record in words, but for what both networks say again.

    Args:
        course: its name.
        clean (`LongTensor` of shape `(batch, length)`): the ids before the course.
        record: what happened in the course.
        tokenizer: turns ids into tokens.
        threshold: the probability above which the discriminator's verdict is `replaced`.
    """
    row = _Row(tokenizer, record.corruption)
    fills = row.spread(record.samples)
    operated = [fill is not None for fill in fills]
    reads = row.tokens(record.corruption.input_ids)
    original: list[str | None] = [*row.tokens(clean)]
    dropped = 0
    if COURSES[course].inserts:  # the other tokens keep their order, but not their places
        original = [None if inserted else token for token, inserted in zip(reads, operated, strict=True)]
        dropped = clean.shape[1] - operated.count(False)
    shown = CourseInspection(original, operated, reads, fills, dropped=dropped)
    if record.discriminator_input is not None and record.labels is not None and record.logits is not None:
        shown.discriminator_reads = row.tokens(record.discriminator_input)
        shown.replaced = row.values(record.labels.bool())
        shown.logits = row.values(record.logits.float())
        shown.probability = row.values(record.logits.float().sigmoid())
        shown.judged_replaced = row.values(record.logits.float() > math.log(threshold / (1 - threshold)))
    if record.notebook is not None:
        cells = {name: row.values(cell) for name, cell in vars(record.notebook).items()}
        shown.cells = [next(name for name in cells if cells[name][i]) for i in range(len(reads))]
    if record.regeneration_input is not None:
        shown.generator_reads_again = row.tokens(record.regeneration_input)
    if record.rediscrimination_input is not None:
        shown.discriminator_reads_again = row.tokens(record.rediscrimination_input)
    return shown


def only(values: Sequence[Any], cells: Sequence[str | None] | None, *wanted: str) -> list[Any]:
    """`values` in the wanted cells, `None` in others."""
    return [value if cell in wanted else None for value, cell in zip(values, cells or (), strict=True)]


class _Row:
    """Reads the first row of a batch: lists without its padding."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, corruption: Corruption):
        mask, used = corruption.attention_mask, corruption.valid[0]
        self.tokenizer, self.labels = tokenizer, corruption.labels
        self.length = corruption.input_ids.shape[1] if mask is None else int(mask[0].sum())
        self.used = used
        self.positions: list[int] = corruption.positions[0][used].tolist()

    def values(self, tensor: Tensor) -> list[Any]:
        return tensor[0, : self.length].tolist()

    def tokens(self, ids: Tensor) -> list[str]:
        return _tokens(self.tokenizer, self.values(ids))

    def spread(self, slots: Tensor) -> list[str | None]:
        """The tokens of the slots in use, at their positions."""
        return self._place(_tokens(self.tokenizer, slots[0][self.used].tolist()))

    def predictions(
        self, logits: Tensor, samples: Tensor | None = None, temperature: float = 1.0
    ) -> list[Prediction | None]:
        """What vocabulary logits `(1, slots, vocabulary)` say of the slots in use, at their positions.

        Args:
            samples (`LongTensor` of shape `(1, slots)`, *optional*): what was drawn, at `temperature`.
        """
        logits, labels = logits[0][self.used].float(), self.labels[0][self.used]
        probabilities = (logits / temperature).softmax(-1)
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
        values, ids = probabilities.topk(min(_LIKELIEST, probabilities.shape[-1]))
        drawn = None if samples is None else probabilities.gather(1, samples[0][self.used][:, None])[:, 0].tolist()
        return self._place(
            Prediction(
                likeliest=dict(zip(_tokens(self.tokenizer, ids[i].tolist()), values[i].tolist(), strict=True)),
                drawn=None if drawn is None else drawn[i],
                loss=None if labels[i] < 0 else losses[i],
            )
            for i in range(len(losses))
        )

    def _place(self, values: Iterable[T]) -> list[T | None]:
        found = dict(zip(self.positions, values, strict=True))
        return [found.get(position) for position in range(self.length)]


def _tokens(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    # A vocabulary may be padded to a round number: the generator can draw an id that stands for no token.
    tokens = tokenizer.convert_ids_to_tokens(ids)
    decoder = tokenizer.backend_tokenizer.decoder if tokenizer.is_fast else None
    shown = _text if isinstance(decoder, ByteLevel) else str
    return [f"[{number}]" if token is None else shown(token) for number, token in zip(ids, tokens, strict=True)]


def _text(piece: str) -> str:
    """A piece of a byte-level vocabulary as the text it stands for, with SentencePiece's sign for a space; bytes that
    are no whole character stay as they are."""
    text: str = ByteLevel().decode([piece])
    return piece if "\N{REPLACEMENT CHARACTER}" in text else text.replace(" ", "\N{LOWER ONE EIGHTH BLOCK}")
