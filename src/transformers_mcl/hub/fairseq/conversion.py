"""From a fairseq checkpoint to a folder of this package: `convert_fairseq_checkpoint`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelCardData
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

from ...errors import UserError, check_name
from ...io import atomic_folder, check_empty_folder, local_name, markdown_text, one_line
from ...method.courses import COURSES, MAIN_COURSE, OBJECTIVES
from ...models.configuration_mcl import MclConfig
from ...models.loading import loading_in_silence
from ...models.modeling_mcl import (
    MclDiscriminator,
    MclForMaskedLM,
    MclForQuestionAnswering,
    MclForSequenceClassification,
    MclModel,
)
from ...models.pretraining import MclForPreTraining
from ..citation import INSTALL, citation
from .families import check_settings, find_family
from .mapping import TensorMap
from .reading import Checkpoint, Sources, find_sources, read_checkpoint
from .report import REPORT_NAME, ConversionReport
from .sizes import Encoder, Sizes

__all__ = ["EXTRA_WEIGHTS", "convert_fairseq_checkpoint"]

EXTRA_WEIGHTS = "extra_weights.safetensors"
# Words in the name of a detection head that say that it is of a correction.
_CORRECTION_WORDS = {"re", "redisc", "rediscrimination", "correct", "correction", "corrected"}


def convert_fairseq_checkpoint(
    path_or_repo: str | Path,
    output_dir: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    num_attention_heads: int | None = None,
    mask_token_id: int | None = None,
    course_heads: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> ConversionReport:
    """Writes what a fairseq checkpoint holds as a checkpoint of this package.

    Which code wrote it, and every size, is read from the names and shapes of its tensors (`docs/converting.md`).

    Args:
        path_or_repo: the checkpoint, a folder with it and perhaps `dict.txt` and a SentencePiece model, or the name of
            such a repository on the Hub.
        output_dir: a folder that is empty or does not exist; it appears when it is complete.
        revision: for a name on the Hub, as are `token`, `cache_dir` and `local_files_only`; of `from_pretrained`.
        num_attention_heads: where no relative position bias tells.
        mask_token_id: where no `dict.txt` lies beside the checkpoint.
        course_heads: which of its detection heads is which course's: `{"rtd": name, "std": name, "itd": name}`. By
            default their names say so; one that is no course's is kept in `extra_weights.safetensors`.
        overwrite: whether an earlier conversion in `output_dir` may be replaced.

    Returns:
        What was found and done; the same is in the folder's `conversion_report.json`.

    Raises:
        UserError: `output_dir` holds something; there is no checkpoint, it is damaged, opening it would run code, its
            layout is not known, or it was trained with an option that has no counterpart here.
    """
    folder = Path(output_dir).expanduser()
    _check_output_dir(folder, overwrite)
    sources = find_sources(
        path_or_repo, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
    )
    given = {"num_attention_heads": num_attention_heads, "mask_token_id": mask_token_id}
    checkpoint = read_checkpoint(sources.checkpoint)
    try:
        conversion = _Conversion(sources, checkpoint, given, course_heads or {})
        model = conversion.model()
        tokenizer = conversion.tokenizer()
        report = conversion.report(folder, type(model).__name__)
    except UserError:
        raise
    except Exception as error:  # whatever tensors and settings that fit nothing lead to
        raise UserError(f"{sources.checkpoint} is damaged, or its layout is not known: {one_line(error)}") from error
    with loading_in_silence(), atomic_folder(folder, replace=True) as temporary:
        model.save_pretrained(temporary)
        if conversion.extra:
            save_file(conversion.extra, temporary / EXTRA_WEIGHTS)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        report.save(temporary)
        _card(report, folder.name).save(temporary / "README.md")
    return report


class _Conversion:
    """One checkpoint on its way."""

    def __init__(
        self,
        sources: Sources,
        checkpoint: Checkpoint,
        given: Mapping[str, int | None],
        course_heads: Mapping[str, str],
    ) -> None:
        self.sources, self.checkpoint, self.course_heads = sources, checkpoint, course_heads
        self.name = str(sources.checkpoint)
        self.family = find_family(checkpoint.tensors, self.name)
        check_settings(checkpoint.settings, self.name)
        self.sizes = Sizes(self.family, checkpoint.tensors, checkpoint.settings, given, self.name)
        self.map = TensorMap(self.family, checkpoint.tensors)
        self.buffers = self.map.drop_buffers()
        self.extra: dict[str, Tensor] = {}

    def model(self) -> PreTrainedModel:
        """The converted model, its weights on the disk still where nothing had to be done to them."""
        discriminator, generator = self.sizes.encoders()
        task = self._task() if generator is None else None
        if discriminator:
            self.map.encoder(discriminator.prefix, "electra.", discriminator.layers, self.sizes.shifted_bias)
        self.sizes.training(generator is not None)
        self.sizes.special_tokens(self._dictionary_lines())
        heads = self._detection_heads(discriminator) if discriminator else {}
        if task:
            kind: Any = self._move_task(task)
        elif generator:
            self._move_generator(generator, discriminator)
            kind = MclForPreTraining if discriminator else MclForMaskedLM
        else:
            kind = MclDiscriminator if heads else MclModel
        if kind in (MclForPreTraining, MclDiscriminator):
            self._move_detection_heads(heads, pair=kind is MclForPreTraining)
        self.map.check(self.name)
        self._keep_the_rest()
        return self._fill(kind)

    def _dictionary_lines(self) -> int | None:
        if self.sources.dictionary is None:
            return None
        try:
            with self.sources.dictionary.open(encoding="utf-8") as lines:
                return sum(1 for line in lines if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.sources.dictionary} cannot be read: {one_line(error)}") from error

    def _task(self) -> str | None:
        """The name of the fine-tuned head, if there is one; of several, the usual one."""
        names = (re.match(r"(classification_heads\.[^.]+)\.", name) for name in self.map.left)
        heads = list(dict.fromkeys(match[1] for match in names if match))
        usual = [name for name in heads if name.endswith(("sentence_classification_head", "question_answering_head"))]
        return next(iter(usual + heads), None)

    def _move_task(self, task: str) -> type[PreTrainedModel]:
        out = self.map.left.get(f"{task}.out_proj.weight")
        self.map.task_head(task)
        if out is None:
            return MclForQuestionAnswering
        self.sizes.put("num_labels", out.shape[0], f"rows of {task}.out_proj.weight")
        self.sizes.setting("pooler_activation_fn", "classifier_activation", "tanh", "the code's default")
        return MclForSequenceClassification

    def _move_generator(self, generator: Encoder, discriminator: Encoder | None) -> None:
        head = self._language_head()
        table, left = f"{generator.prefix}embed_tokens.weight", self.checkpoint.tensors
        tied = [f"{head}.weight", *([f"{discriminator.prefix}embed_tokens.weight"] if discriminator else [])]
        for name in tied:
            if name in left and table in left and not torch.equal(left[name], left[table]):
                raise UserError(
                    f"{self.name}: {name} and {table} differ, which our models share: it cannot be converted"
                )
        if discriminator:
            self.sizes.put("generator_shares", *self._shares(discriminator, generator))
        self.sizes.prediction_layers(head, generator.layers)
        self.map.encoder(generator.prefix, "generator.electra.", generator.layers, self.sizes.shifted_bias)
        self.map.language_head(head)

    def _language_head(self) -> str:
        usual, size = self.family.language_head, self.sizes.config()
        suffixes = ("bias", "dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias")
        found = self.map.find_heads(size["vocab_size"], size["embedding_size"], suffixes)
        if usual in found or not found:
            return usual  # one that is missing is named with all that is
        self.sizes.notes.append(f"{found[0]} is taken for the generator's head: there is no {usual}")
        return found[0]

    def _shares(self, discriminator: Encoder, generator: Encoder) -> tuple[str, str]:
        norm, tensors = self.family.embedding_norm, self.checkpoint.tensors
        for name in ("embed_positions.weight", f"{norm}.weight", f"{norm}.bias"):
            pair = [tensors.get(f"{encoder.prefix}{name}") for encoder in (discriminator, generator)]
            if pair[0] is None or pair[1] is None or not torch.equal(pair[0], pair[1]):
                return "token", f"{name} differs between the two"
        return "all", "positions and the embeddings' normalisation are equal in both"

    def _detection_heads(self, discriminator: Encoder) -> dict[str, str]:
        """By course, the names of the detection heads that are known; what others there are is noted."""
        family, notes = self.family, self.sizes.notes
        found = self.map.find_heads(family.detection_rows, discriminator.width, family.detection_suffixes)
        self._check_course_heads(found)
        heads = dict(self.course_heads)
        if not heads:
            for name in found:
                if (course := _course_of(name)) and course not in heads:
                    heads[course] = name
                    notes.append(f"{name} is taken for the detection head of {course}, by its name")
        if family.detection_head in found and MAIN_COURSE not in self.course_heads:
            heads[MAIN_COURSE] = family.detection_head
        if found and MAIN_COURSE not in heads:
            main = next((name for name in found if name not in heads.values()), found[0])
            heads = {course: name for course, name in heads.items() if name != main} | {MAIN_COURSE: main}
            notes.append(
                f"{main} is taken for the detection head of {MAIN_COURSE}, a guess: give course_heads if it is wrong"
            )
        if others := [name for name in found if name not in heads.values()]:
            notes.append(f"detection heads of no course that is known, kept: {', '.join(others)}; see course_heads")
        return heads

    def _check_course_heads(self, found: list[str]) -> None:
        for course, name in self.course_heads.items():
            check_name("course_heads", course, COURSES)
            if name not in found:
                raise UserError(
                    f"course_heads: no course {course!r}, or no detection head {name!r}; the courses are "
                    f"{', '.join(COURSES)}, the heads of {self.name} are {', '.join(found) or 'none'}"
                )

    def _move_detection_heads(self, heads: dict[str, str], pair: bool) -> None:
        """Moves the heads, and says which losses the pair goes on with: those that it has heads for."""
        self.sizes.put("detection_head_type", self.family.detection_head_type, "the family's")
        self.map.detection_head(heads.get(MAIN_COURSE, self.family.detection_head), "discriminator_predictions")
        if not pair:
            return
        for course in COURSES:
            if course in heads and course != MAIN_COURSE:
                self.map.detection_head(heads[course], f"course_predictions.{course}")
        argument = "weight" if self.family.bias_type == "t5" else "binary_loss_weight"
        value, origin = self.checkpoint.settings.get(argument)
        # A pair without a head for each of MCL's courses was not trained by all of MCL.
        whole = all(name in heads for name, course in COURSES.items() if course.is_on(OBJECTIVES["mcl"]))
        losses = [loss for course in heads for loss in COURSES[course].losses if whole or not loss.corrects]
        weights = {
            loss.name: float(value) if loss.detects and origin else loss.weight
            for loss in sorted(losses, key=lambda loss: loss.name)
        }
        self.sizes.put("loss_weights", weights, f"the heads there are, and {origin or 'the usual 50'}")

    def _keep_the_rest(self) -> None:
        """What no model of ours has a place for is kept as it is, but for copies of the embeddings."""
        prefix = self.family.discriminator or self.family.generator
        table = self.checkpoint.tensors[f"{prefix}embed_tokens.weight"]
        for name, tensor in self.map.left.items():
            if tensor.shape == table.shape and torch.equal(tensor, table):
                self.map.destinations[name] = (list(tensor.shape), f"nowhere: equal to {prefix}embed_tokens.weight")
            else:
                self.extra[name] = tensor.contiguous()
                self.map.destinations[name] = (list(tensor.shape), EXTRA_WEIGHTS)

    def _fill(self, kind: Any) -> PreTrainedModel:
        """The model of class `kind` with the weights that were moved; none is missing, none has another shape."""
        with no_init_weights(), torch.device("meta"):
            model: PreTrainedModel = kind(MclConfig(**self.sizes.config()))
        expected = model.state_dict()
        wrong = [
            f"{name} ({tuple(weight.shape)}, expected {tuple(expected[name].shape) if name in expected else 'none'})"
            for name, weight in self.map.weights.items()
            if name not in expected or weight.shape != expected[name].shape
        ]
        if wrong or (missing := sorted(set(expected) - set(self.map.weights))):
            raise UserError(
                f"{self.name} does not fit the {kind.__name__} of its own sizes; of another shape: "
                f"{', '.join(wrong) or 'none'}" + ("" if wrong else f"; missing: {', '.join(missing)}")
            )
        model.load_state_dict(self.map.weights, assign=True)
        model.tie_weights()
        return model

    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer, if its files lie beside and its way of cutting is known."""
        dictionary, sentencepiece = self.sources.dictionary, self.sources.sentencepiece
        notes = self.sizes.notes
        if dictionary is None or sentencepiece is None:
            notes.append("no tokenizer: dict.txt and one *.model beside the checkpoint are what it is made of")
            return None
        if self.family.bias_type == "coco_lm":
            notes.append(
                "no tokenizer: COCO-LM's cuts text before SentencePiece does, in a way that is not built here"
            )
            return None
        from ...models.tokenization_mcl import MclTokenizer

        multiple, _ = self.checkpoint.settings.get("required_batch_size_multiple")
        tokenizer = MclTokenizer.from_fairseq(sentencepiece, dictionary, multiple=int(multiple or 8))
        size = self.sizes.config()
        if len(tokenizer) != size["vocab_size"] or tokenizer.mask_token_id != size["mask_token_id"]:
            raise UserError(
                f"{dictionary} gives {len(tokenizer)} ids and <mask> {tokenizer.mask_token_id}, the checkpoint has "
                f"{size['vocab_size']} and {size['mask_token_id']}: it is another checkpoint's"
            )
        tokenizer.model_max_length = self._trained_length(size["max_position_embeddings"])
        return tokenizer

    def _trained_length(self, positions: int) -> int:
        """The length of rows that the model was trained on: its table of positions may be longer."""
        length, origin = self.checkpoint.settings.get("tokens_per_sample")
        if not origin or int(length) >= positions:
            return positions
        self.sizes.notes.append(
            f"positions beyond {length} were not trained ({origin}): the tokenizer's model_max_length is {length}"
        )
        return int(length)

    def report(self, folder: Path, architecture: str) -> ConversionReport:
        """What was done."""
        dtypes = {str(tensor.dtype) for tensor in self.checkpoint.tensors.values()} - {"torch.float32"}
        if dtypes:
            self.sizes.notes.append(f"tensors of {', '.join(sorted(dtypes))} were widened to float32")
        return ConversionReport(
            source=self.sources.name,
            output_dir=str(folder),
            container=f"{self.sources.checkpoint.name}, {self.checkpoint.container}",
            family=self.family.name,
            reason=f"it has {' and '.join(self.family.evidence)}",
            architecture=architecture,
            sizes=self.sizes.values,
            tensors={
                name: self.map.destinations[name] for name in self.checkpoint.tensors if name not in self.buffers
            },
            extra=list(self.extra),
            unused=[*self.buffers, *self.checkpoint.rest],
            notes=self.sizes.notes,
        )


def _course_of(head: str) -> str | None:
    """The course that a detection head's name speaks of; `replaced` says least, since it may be said of any."""
    words = set(re.split(r"[^a-z]+", head.lower()))
    if words & _CORRECTION_WORDS:
        return None
    named = [name for name, course in COURSES.items() if words & {name, course.operation, *course.also_called}]
    return max(named, key=lambda name: name != MAIN_COURSE, default=None)


def _check_output_dir(folder: Path, overwrite: bool) -> None:
    if not (folder / REPORT_NAME).is_file():
        check_empty_folder(folder)
    elif not overwrite:
        raise UserError(f"output_dir {str(folder)!r} holds a conversion already: give another, or overwrite it")


def _card(report: ConversionReport, name: str) -> ModelCard:
    opener = {
        "MclForPreTraining": "AutoModelForPreTraining",
        "MclForMaskedLM": "AutoModelForMaskedLM",
        "MclForSequenceClassification": "AutoModelForSequenceClassification",
        "MclForQuestionAnswering": "AutoModelForQuestionAnswering",
    }.get(report.architecture, "AutoModel")
    source = markdown_text(local_name(report.source))
    data = ModelCardData(tags=["mcl", "electra", "fairseq"], library_name="transformers")
    return ModelCard(
        f"---\n{data}\n---\n\n# {markdown_text(name)}\n\n"
        f"Converted from the fairseq checkpoint {source} ({report.family}); "
        f"`{REPORT_NAME}` says what became of\neach of its tensors. Its licence is that of the original.\n\n"
        f"## How to use it\n\n{INSTALL}\n\n"
        f"```python\nimport transformers_mcl\nfrom transformers import {opener}\n\n"
        f"model = {opener}.from_pretrained({json.dumps(name, ensure_ascii=False)})\n```\n\n{citation()}\n"
    )
