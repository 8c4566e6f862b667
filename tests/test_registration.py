"""transformers' Auto classes know ours after `import transformers_mcl`, whatever is imported before and after it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

MODELS = {
    "AutoModel": "MclModel",
    "AutoModelForPreTraining": "MclForPreTraining",
    "AutoModelForMaskedLM": "MclForMaskedLM",
    "AutoModelForSequenceClassification": "MclForSequenceClassification",
    "AutoModelForTokenClassification": "MclForTokenClassification",
    "AutoModelForQuestionAnswering": "MclForQuestionAnswering",
    "AutoModelForMultipleChoice": "MclForMultipleChoice",
}
# Imports, of which each is the first that a program makes.
ORDERS = [
    "from transformers_mcl import MclTokenizer",
    "from transformers import AutoConfig; import transformers_mcl",
    "from transformers import AutoModel; import transformers_mcl",
    "from transformers_mcl import MclConfig",
    "import transformers_mcl.models.modeling_mcl",
    "import transformers_mcl.method.metrics",
    "import transformers_mcl; from transformers import AutoModel",
    "import transformers_mcl; from transformers import BertModel",
    "import transformers_mcl; from transformers import Trainer",
]
# What must be so after any of them, with no other import of ours. The copies of one interpreter save each of them the
# seconds that torch takes.
CHECK = f"""
import json, os, sys, traceback
import torch

def check(order):
    exec(order, {{}})
    import transformers
    assert type(config := transformers.AutoConfig.for_model("mcl")).__name__ == "MclConfig"
    for auto, ours in {MODELS}.items():
        assert getattr(transformers, auto)._model_mapping[type(config)].__name__ == ours, auto
    assert type(config) is sys.modules["transformers_mcl"].MclConfig
    assert transformers.models.auto.tokenization_auto.TOKENIZER_MAPPING[type(config)].__name__ == "MclTokenizer"
    assert transformers.AutoConfig.from_pretrained.__wrapped__.__self__ is transformers.AutoConfig  # and not ours

for order in {ORDERS}:
    if (child := os.fork()) == 0:
        try:
            check(order)
            result = "right"
        except BaseException:
            result = traceback.format_exc()
        print(json.dumps([order, result]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    if not hasattr(os, "fork"):
        pytest.skip("copies of an interpreter need fork")
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(line) for line in done.stdout.splitlines())  # anything else printed is an error


@pytest.mark.parametrize("order", ORDERS)
def test_auto_classes_know_our_models_in_any_order_of_imports(order: str, results: dict[str, str]) -> None:
    assert results[order] == "right", results[order]


def test_registering_again_changes_nothing() -> None:
    import transformers

    import transformers_mcl

    config = transformers_mcl.MclConfig(vocab_size=10, num_hidden_layers=1)
    assert type(transformers.AutoModel.from_config(config)) is transformers_mcl.MclModel
    before, finders = dict(transformers.AutoModel._model_mapping._extra_content), list(sys.meta_path)
    transformers_mcl.register()
    transformers_mcl.register()
    assert transformers.AutoModel._model_mapping._extra_content == before
    assert sys.meta_path == finders


def test_finding_modules_is_as_before() -> None:
    import transformers_mcl

    transformers_mcl.register()
    finders = list(sys.meta_path)
    for name in ("json", "transformers.models.auto.modeling_auto", "transformers.models.bert"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.name == name
    assert importlib.util.find_spec("transformers.no_such_module") is None
    assert sys.meta_path == finders


def test_registration_can_be_undone() -> None:
    import transformers

    import transformers_mcl
    from transformers_mcl import MclConfig, MclModel, MclTokenizer

    autos: list[Any] = [
        transformers.AutoModel,
        transformers.AutoModelForPreTraining,
        transformers.AutoModelForMaskedLM,
    ]
    tokenizers: Any = transformers.models.auto.tokenization_auto
    config_of: Any = transformers.AutoConfig
    config = MclConfig(vocab_size=10, num_hidden_layers=1)
    finders = len(sys.meta_path)
    try:
        for _ in range(2):
            transformers_mcl.unregister()
            assert isinstance(vars(config_of)["from_pretrained"], classmethod)
            assert not hasattr(config_of.from_pretrained, "__wrapped__")
            with pytest.raises(ValueError, match="mcl"):
                transformers.AutoConfig.for_model("mcl")
            assert not any(type(config) in auto._model_mapping for auto in autos)
            assert type(config) not in tokenizers.TOKENIZER_MAPPING
            assert tokenizers.tokenizer_class_from_name("MclTokenizer") is None
            assert len(sys.meta_path) == finders - 1
    finally:
        for _ in range(2):
            transformers_mcl.register()
    assert config_of.from_pretrained.__wrapped__.__self__ is config_of
    assert type(transformers.AutoModel.from_config(config)) is MclModel
    assert tokenizers.TOKENIZER_MAPPING[MclConfig] is MclTokenizer
    assert tokenizers.tokenizer_class_from_name("MclTokenizer") is MclTokenizer
    assert len(sys.meta_path) == finders
