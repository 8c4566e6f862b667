"""A half of a pair as an ONNX graph, by torch's own exporter, checked in onnxruntime."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UserError
from ..io import one_line
from ..models.modeling_mcl import RelativePositionBias
from ..models.structure import input_names, longest_row

__all__ = ["check_onnx", "output_names", "save_onnx"]

TOLERANCE = 1e-4
_LARGEST_FILE = 1_900_000_000  # bytes; protobuf ends at 2 GiB, and the graph itself needs some
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class _Positional(nn.Module):
    """The model with its arguments in the order of the graph's inputs, and tensors for outputs."""

    def __init__(self, model: PreTrainedModel, inputs: Sequence[str]):
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, output_names(model)

    def forward(self, *rows: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(**dict(zip(self.inputs, rows, strict=True)))
        return tuple(outputs[name] for name in self.outputs)


class _GatheredBias(RelativePositionBias):
    """The same numbers, looked up for every pair: a window into all distances needs a length known when exporting."""

    def forward(self, length: int) -> Tensor:  # type: ignore[override]
        place = torch.arange(length, device=self.weight.device)
        buckets = self.bucket(place[None, :] - place[:, None])
        return nn.functional.embedding(buckets, self.weight).permute(2, 0, 1).unsqueeze(0)


def output_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the graph's outputs, those of the model's."""
    kind = type(model).__name__
    if kind.endswith("QuestionAnswering"):
        return ("start_logits", "end_logits")
    return ("last_hidden_state",) if kind.endswith("Model") else ("logits",)


def save_onnx(model: PreTrainedModel, folder: Path, inputs: Sequence[str] | None = None) -> None:
    """Writes `model.onnx`, with dynamic batch and length, and the configuration beside it.

    The weights are in it, or in `model.onnx.data` where they are too many for one file.

    The graph is run once in onnxruntime on another batch size and length than it was traced with.

    Args:
        inputs: what it takes, all `(batch, length)` of int64, as the tokenizer gives it; by default what the model
            takes of `input_ids`, `attention_mask` and `token_type_ids` (`models.structure.input_names`).

    Raises:
        UserError: a package of the extra `onnx` is not installed, the model is one for multiple choice or one that
            torch cannot export, or the graph's outputs differ from the model's.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UserError(f"format='onnx' needs {', '.join(missing)}: pip install 'transformers-mcl[onnx]'")
    if type(model).__name__.endswith("MultipleChoice"):
        raise UserError("format='onnx': rows of multiple choice have another shape; export the model with format mcl")
    original = model.float()  # onnxruntime's CPU kernels know no bfloat16
    model = copy.deepcopy(original)
    model.set_attn_implementation("eager")  # the exporter cannot convert SDPA with a bias
    for module in model.modules():
        if isinstance(module, RelativePositionBias):
            module.__class__ = _GatheredBias
    folder.mkdir(parents=True, exist_ok=True)
    path, size = folder / "model.onnx", sum(weight.nbytes for weight in model.state_dict().values())
    axes: dict[int, Any] = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("length", min=2, max=longest_row(model)),
    }
    inputs = inputs or input_names(model)
    rows = _example(model, inputs, 2, 7)
    try:
        with _quiet():
            torch.onnx.export(
                _Positional(model, inputs).eval(),
                tuple(rows.values()),
                path,
                input_names=list(rows),
                output_names=list(output_names(model)),
                dynamic_shapes=(tuple(axes for _ in rows),),
                dynamo=True,
                external_data=size > _LARGEST_FILE,
                verbose=False,
            )
    except Exception as error:  # whatever an operation that it does not know leads to
        raise UserError(f"format='onnx': torch cannot export a {type(model).__name__}: {one_line(error)}") from error
    try:
        check_onnx(original, path, inputs)
    except UserError:
        for file in folder.glob("model.onnx*"):
            file.unlink()
        raise
    model.config.save_pretrained(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself: packages that it could use, and functions that it should not."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _example(model: PreTrainedModel, inputs: Sequence[str], batch: int, length: int) -> dict[str, Tensor]:
    """Rows of random tokens; the first is padded."""
    draws = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=draws)
    mask = torch.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    rows = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return {name: rows[name] for name in inputs}


def check_onnx(model: PreTrainedModel, path: Path, inputs: Sequence[str], batch: int = 3, length: int = 11) -> float:
    """The largest difference between the graph's outputs and the model's on rows of this shape, but for padding.

    Raises:
        UserError: it is above 1e-4.
    """
    import onnxruntime

    rows = _example(model, inputs, batch, min(length, longest_row(model) or length))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: row.numpy() for name, row in rows.items()})
    with torch.no_grad():
        expected = _Positional(model, inputs)(*rows.values())
    difference = max(
        float(_at_tokens(model, rows, (torch.from_numpy(ours) - theirs).abs()).max())
        for ours, theirs in zip(found, expected, strict=True)
    )
    if not difference <= TOLERANCE:
        raise UserError(f"format='onnx': the graph's outputs differ from the model's by {difference:.2g}: not written")
    return difference


def _at_tokens(model: PreTrainedModel, rows: dict[str, Tensor], output: Tensor) -> Tensor:
    """Without what is said of padding, which means nothing: a window of padding alone has no attention."""
    if "attention_mask" not in rows or type(model).__name__.endswith("SequenceClassification"):
        return output
    return output[rows["attention_mask"].bool()]
