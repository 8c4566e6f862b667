"""Encoders of other families as ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from tests.families import each, tiny_config
from transformers_mcl.errors import UserError
from transformers_mcl.hub.onnx import save_onnx

# Those whose inputs, positions or layers are built in other ways than those of our own model (`test_export.py`).
FAMILIES = {
    "roberta": AutoModel,
    "modernbert": AutoModel,
    "deberta-v2": AutoModelForSequenceClassification,
    "distilbert": AutoModelForSequenceClassification,
    "albert": AutoModel,
}


@each(FAMILIES)
def test_the_graph_takes_what_the_model_takes_and_gives_the_same(family: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model: Any = FAMILIES[family].from_config(tiny_config(family, length=32, initializer_range=0.3))
    save_onnx(model.eval(), tmp_path)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    types = {"token_type_ids"} if family == "albert" else set()
    names = {given.name for given in session.get_inputs()}
    assert names == {"input_ids", "attention_mask"} | types
    for batch, length in ((1, 3), (2, 32)):
        given = {name: torch.ones(batch, length, dtype=torch.long) for name in names}
        given["input_ids"] = torch.randint(5, 1024, (batch, length))
        (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), model(**given)[0], rtol=0, atol=1e-4)


def test_what_the_exporter_cannot_do_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no such operation\nin a long trace")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(UserError, match="torch cannot export a BertModel: no such operation") as error:
        save_onnx(AutoModel.from_config(tiny_config("bert", layers=1)), tmp_path)
    assert "\n" not in str(error.value)
