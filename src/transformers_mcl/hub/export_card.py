"""The model card of an exported half: the pair's, with another way to open it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.hub import cached_file, hf_api

from ..data.tokenizer import fit_tokenizer, load_tokenizer
from ..errors import UserError
from ..io import markdown_text
from ..models.loading import open_model
from ..models.structure import longest_row
from .citation import INSTALL, citation
from .remote_code import OLDEST

__all__ = ["PIPELINES", "auto_class", "bring_card", "export_card", "family_tags", "file_of"]

# The Hub's tasks, by the end of the class's name; the vectors of an encoder are what is left.
PIPELINES = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
}
_SECTION = re.compile(r"^## How to use it\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^# .*\n", re.MULTILINE)
_NAME = re.compile(r'^checkpoint = ".*"$', re.MULTILINE)
_PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+)\)")
_HEAD = re.compile(r"For[A-Z]\w*")  # not the "Former" of some families


def family_tags(config: PreTrainedConfig) -> list[str]:
    """What the Hub finds a model of this configuration by: a pair, one half of it, or a transformers' own encoder."""
    family = getattr(config, "backbone_config", None) or config
    if family.model_type in ("mcl", "electra"):
        return ["mcl", "electra"]
    return ["mcl", "replaced-token-detection", family.model_type]


def auto_class(model: PreTrainedModel) -> str:
    """The Auto class that opens an export of `model`, one half."""
    kind = type(model).__name__
    if kind.endswith(("Discriminator", "ForPreTraining")):
        return "AutoModelForPreTraining"
    head = _HEAD.search(kind)
    return f"AutoModel{head[0] if head else ''}"


def export_card(model: PreTrainedModel, folder: Path, format: str, source: str = "", name: str = "") -> ModelCard:
    """The card of an export, to be saved into `folder`.

    Args:
        model: what was exported.
        folder: where it was written.
        format: as `export_model`'s.
        source: the checkpoint it was taken from, a folder or a name on the Hub. If that has a card, what it says of
            the training is kept, its pictures are copied, and only the way to open the model is another.
        name: what the model is called; by default as `folder`.
    """
    name = name or folder.name
    card = _take_card(source, folder)
    if card is None:
        card = ModelCard(f"---\n{ModelCardData(tags=family_tags(model.config))}\n---\n\n# {markdown_text(name)}\n")
    kind = type(model).__name__
    task = next((task for end, task in PIPELINES.items() if kind.endswith(end)), "feature-extraction")
    data: Any = card.data
    data.library_name, data.pipeline_tag = "onnx" if format == "onnx" else "transformers", task
    usage = f"## How to use it\n\n{_usage(model, name, format)}\n\n"
    text = card.content.replace("\nIt is a pair: ", "\nIt was part of a pair: ", 1)
    text, told = _SECTION.subn(lambda _: usage, text, count=1)
    if not told:  # a card of another make: before its sections, or at its end
        start = re.search(r"^## |\Z", text, re.MULTILINE)
        assert start is not None
        text = f"{text[: start.start()].rstrip()}\n\n{usage}{text[start.start() :]}"
    if "\n## Citation\n" not in text:
        text = f"{text.rstrip()}\n\n{citation(paper=_is_ours(model, data.tags))}\n"
    return _renamed(text, name)


def bring_card(model: PreTrainedModel, folder: str | Path, name: str, token: str | bool | None = None) -> None:
    """Writes the card of the checkpoint that `model` was opened from, its pictures and tokenizer into `folder`.

    Nothing is written if `model` is not what the card speaks of, as its weights are no longer the checkpoint's, and no
    file that the repository `name` has already.

    Args:
        folder: what is about to be uploaded; the tags of the card that is there are kept.
        name: of the repository.
    """
    source = str(model.name_or_path or "")
    if file_of(source, "README.md") is None or not _is_as_opened(model, source):
        return
    there = [file for file in ("README.md", "tokenizer_config.json") if hf_api().file_exists(name, file, token=token)]
    if "tokenizer_config.json" not in there:
        try:
            fit_tokenizer(tokenizer := load_tokenizer(source), model)
            tokenizer.save_pretrained(folder)
        except UserError:  # it has none
            pass
    if "README.md" in there:
        return
    made: Any = ModelCard.load(Path(folder, "README.md")).data
    if type(model).__name__ == "MclForPreTraining":
        taken = _take_card(source, Path(folder))
        assert taken is not None
        card = _renamed(
            _NAME.sub(lambda _: f"checkpoint = {json.dumps(name, ensure_ascii=False)}", taken.content), name
        )
    else:
        card = export_card(model, Path(folder), "mcl", source, name)
    data: Any = card.data
    data.tags = list(dict.fromkeys([*(data.tags or []), *(made.tags or [])]))
    card.save(Path(folder, "README.md"))


def _is_as_opened(model: PreTrainedModel, source: str) -> bool:
    opened = open_model(type(model), source, f"{source!r}", dtype=model.dtype).model.state_dict()
    weights = model.state_dict()
    return weights.keys() == opened.keys() and all(
        weight.cpu().equal(opened[name]) for name, weight in weights.items()
    )


def _take_card(source: str, folder: Path) -> ModelCard | None:
    """The card of a checkpoint, if it has one; its pictures are copied into `folder`."""
    path = file_of(source, "README.md")
    if path is None:
        return None
    card = ModelCard.load(path)
    for picture in filter(None, [file_of(source, file) for file in _PICTURE.findall(card.text)]):
        shutil.copy(picture, folder / Path(picture).name)
    return card


def _is_ours(model: PreTrainedModel, tags: list[str] | None) -> bool:
    """Whether it was trained by MCL's method, one half of a pair of another family included."""
    return model.config.model_type == "mcl" or "mcl" in (tags or [])


def _renamed(text: str, name: str) -> ModelCard:
    """A card with another title, under which the Hub lists its figures too."""
    card = ModelCard(_TITLE.sub(lambda _: f"# {markdown_text(name)}\n", text, count=1).rstrip() + "\n")
    data: Any = card.data
    if data.eval_results:
        data.model_name = name
    return card


def file_of(checkpoint: str, file: str) -> str | None:
    """Where a file of a checkpoint lies here, fetched if need be; `None` if it has none."""
    if not checkpoint:
        return None
    try:
        path: str | None = cached_file(checkpoint, file, _raise_exceptions_for_missing_entries=False)
    except OSError:  # no network, or no repository of this name: a card less is no reason to fail
        return None
    return path


def _usage(model: PreTrainedModel, name: str, format: str) -> str:
    kind = type(model).__name__
    if format == "onnx":
        return _onnx_usage(model, name)
    opener, first = auto_class(model), ""
    imports = f"from transformers import {opener}, AutoTokenizer"
    if format == "mcl" and opener == "AutoModelForPreTraining":  # which opens pairs
        opener, imports = kind, f"from transformers import AutoTokenizer\nfrom transformers_mcl import {kind}"
    elif format == "mcl":
        first = "import transformers_mcl\n"
    arguments = json.dumps(name, ensure_ascii=False) + (", trust_remote_code=True" if format == "remote-code" else "")
    needs = {
        "mcl": INSTALL,
        "remote-code": f"It brings the code that it needs, for transformers {OLDEST} or newer.",
        "electra": "It is a plain ELECTRA: Transformers opens it as it is.",
        "native": "It is of Transformers' own class, which opens it as it is.",
    }[format]
    return (
        f"What is here is a `{kind}` alone. {needs}\n\n```python\n{first}{imports}\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})\n"
        f"model = {opener}.from_pretrained({arguments})\n"
        'outputs = model(**tokenizer("The chef cooked the meal.", return_tensors="pt"))\n```'
    )


def _onnx_usage(model: PreTrainedModel, name: str) -> str:
    imports, folder = "from transformers import AutoTokenizer", json.dumps(name, ensure_ascii=False)
    if "/" in name:  # on the Hub
        imports, folder = f"from huggingface_hub import snapshot_download\n{imports}", f"snapshot_download({folder})"
    bound = f" up to {longest}" if (longest := longest_row(model)) else ""
    return (
        f"`model.onnx` computes what a `{type(model).__name__}` computes. It takes what the "
        "tokenizer gives,\n"
        f"all `(batch, length)` of int64, at any batch size and any length{bound}.\n\n"
        f"```python\nimport onnxruntime\n{imports}\n\n"
        f"folder = {folder}\ntokenizer = AutoTokenizer.from_pretrained(folder)\n"
        'session = onnxruntime.InferenceSession(f"{folder}/model.onnx")\n'
        'outputs = session.run(None, dict(tokenizer(["The chef cooked the meal."], return_tensors="np")))\n```'
    )
