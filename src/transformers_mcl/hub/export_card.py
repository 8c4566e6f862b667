"""The model card of an exported half: the pair's, with another way to open it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

__all__ = ["PIPELINES", "auto_class", "export_card"]

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
_PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+)\)")


def auto_class(model: PreTrainedModel) -> str:
    """The Auto class that opens an export of `model`, one half."""
    kind = type(model).__name__
    if kind.endswith(("Discriminator", "ForPreTraining")):
        return "AutoModelForPreTraining"
    return f"AutoModel{kind[kind.index('For') :]}" if "For" in kind else "AutoModel"


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
    old = _file_of(source, "README.md")
    if old is not None:
        card = ModelCard.load(old)
        for picture in filter(None, [_file_of(source, file) for file in _PICTURE.findall(card.text)]):
            shutil.copy(picture, folder / Path(picture).name)
    else:
        data = ModelCardData(tags=["mcl", "electra"])
        card = ModelCard(f"---\n{data}\n---\n\n# {name}\n\n## How to use it\n")
    kind = type(model).__name__
    task = next((task for end, task in PIPELINES.items() if kind.endswith(end)), "feature-extraction")
    card.data.library_name = "onnx" if format == "onnx" else "transformers"
    card.data.pipeline_tag = task
    usage = f"## How to use it\n\n{_usage(model, name, format)}\n\n"
    text = _SECTION.sub(lambda _: usage, card.content, count=1)
    text = _TITLE.sub(lambda _: f"# {name}\n", text, count=1)
    return ModelCard(text.rstrip() + "\n")


def _file_of(checkpoint: str, file: str) -> str | None:
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
        return (
            f"`model.onnx` computes what a `{kind}` of `transformers-mcl` computes; it takes `input_ids`, "
            "`attention_mask` and\n`token_type_ids`, all `(batch, length)` of int64, at any batch size and length.\n\n"
            f"```python\nimport onnxruntime\nfrom transformers import AutoTokenizer\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")\n'
            f'session = onnxruntime.InferenceSession("{name}/model.onnx")\n'
            'rows = tokenizer(["The chef cooked the meal."], return_tensors="np", return_token_type_ids=True)\n'
            "outputs = session.run(None, dict(rows))\n```"
        )
    opener, first = auto_class(model), ""
    imports = f"from transformers import {opener}, AutoTokenizer"
    if format == "mcl" and opener == "AutoModelForPreTraining":  # which opens pairs
        opener, imports = kind, f"from transformers import AutoTokenizer\nfrom transformers_mcl import {kind}"
    elif format == "mcl":
        first = "import transformers_mcl\n"
    arguments = f'"{name}"' + (", trust_remote_code=True" if format == "remote-code" else "")
    needs = {
        "mcl": "It needs `pip install transformers-mcl`.",
        "remote-code": "It brings the code that it needs.",
        "electra": "It is a plain ELECTRA: Transformers opens it as it is.",
    }[format]
    return (
        f"One half of a pair, a `{kind}`. {needs}\n\n```python\n{first}{imports}\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({arguments})\n"
        f"model = {opener}.from_pretrained({arguments})\n"
        'outputs = model(**tokenizer("The chef cooked the meal.", return_tensors="pt"))\n```'
    )
