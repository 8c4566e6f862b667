"""transformers' Auto classes know ours after `import transformers_mcl`, whatever is imported before and after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

MODELS = {
    "AutoModel": "MclModel",
    "AutoModelForTextEncoding": "MclModel",
    "AutoModelForPreTraining": "MclForPreTraining",
    "AutoModelForMaskedLM": "MclForMaskedLM",
    "AutoModelForSequenceClassification": "MclForSequenceClassification",
    "AutoModelForTokenClassification": "MclForTokenClassification",
    "AutoModelForQuestionAnswering": "MclForQuestionAnswering",
    "AutoModelForMultipleChoice": "MclForMultipleChoice",
}
# Not of `transformers` itself, which threads cannot be the first to import together.
THREADS = """
import transformers
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
autos = [f"transformers.models.auto.{name}_auto" for name in ("modeling", "tokenization", "configuration")]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(import_module, [name for name in NAMES for _ in range(2)]))
"""
# Imports, of which each is the first that a program makes.
ORDERS = [
    "from transformers_mcl import MclTokenizer",
    "from transformers import AutoConfig; import transformers_mcl",
    "from transformers import AutoModel; import transformers_mcl",
    "from transformers_mcl import MclConfig",
    "import transformers_mcl.models.modeling_mcl",
    "import transformers_mcl; from transformers import AutoModel",
    "import transformers_mcl; from transformers import pipeline",
    "import transformers_mcl" + THREADS.replace("NAMES", "autos"),
    THREADS.replace("NAMES", "['transformers_mcl', *autos, 'transformers_mcl.models.pretraining']"),
    THREADS.replace("NAMES", "[*autos, 'transformers_mcl', 'transformers.trainer']"),
]
# What must be so after any of them, with no other import of ours. The copies of one interpreter save each of them the
# seconds that torch takes.
CHECK = (
    f"MODELS, ORDERS = {MODELS}, {ORDERS}"
    + """
import json, os, sys, traceback
from importlib.machinery import SourceFileLoader
import torch

def check(order):
    exec(order, {})
    import transformers
    assert type(config := transformers.AutoConfig.for_model("mcl")).__name__ == "MclConfig"
    for auto, ours in MODELS.items():
        assert getattr(transformers, auto)._model_mapping[type(config)].__name__ == ours, auto
    assert type(config) is sys.modules["transformers_mcl"].MclConfig
    tokenizers = transformers.models.auto.tokenization_auto
    assert tokenizers.TOKENIZER_MAPPING[type(config)].__name__ == "MclTokenizer"
    assert tokenizers.tokenizer_class_from_name("MclTokenizer") is sys.modules["transformers_mcl"].MclTokenizer
    assert transformers.AutoConfig.from_pretrained.__wrapped__.__self__ is transformers.AutoConfig  # and not ours
    # The modules are as they would be without us, and nothing waits but for peft.
    for name in ("configuration", "tokenization", "modeling"):
        module = sys.modules[f"transformers.models.auto.{name}_auto"]
        assert type(module.__loader__) is type(module.__spec__.loader) is SourceFileLoader
        assert "exec_module" not in vars(module.__loader__)
    waiting = [finder for finder in sys.meta_path if type(finder).__module__.startswith("transformers_mcl")]
    assert len(waiting) == ("peft" not in sys.modules)

for order in ORDERS:
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
)


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
    tables = transformers.models.auto.modeling_auto
    before, finders = dict(transformers.AutoModel._model_mapping._extra_content), list(sys.meta_path)
    names = dict(tables.MODEL_MAPPING_NAMES)
    transformers_mcl.register()
    transformers_mcl.register()
    assert transformers.AutoModel._model_mapping._extra_content == before
    assert names == tables.MODEL_MAPPING_NAMES
    assert sys.meta_path == finders


LOOKS = """
import importlib.util, inspect, sys
finders = list(sys.meta_path)
import transformers_mcl
assert sys.meta_path[1:] == finders
for name in ("json", "transformers.models.bert", "transformers.models.auto.modeling_auto"):
    spec = importlib.util.find_spec(name)
    assert spec.name == name and spec.loader.get_source(name) == open(spec.origin, encoding="utf-8").read()
assert importlib.util.find_spec("transformers.no_such_module") is None
assert sys.meta_path[1:-1] == finders  # and transformers' own
import transformers
transformers.AutoModel, transformers.AutoTokenizer
waits = [] if "peft" in sys.modules else sys.meta_path[:1]
assert sys.meta_path[:-1] == waits + finders
assert "_MAPPING_NAMES" in inspect.getsource(transformers.models.auto.modeling_auto)
assert "transformers_mcl.models.pretraining" not in sys.modules  # what nobody asked for
transformers_mcl.unregister()
assert "mcl" not in transformers.CONFIG_MAPPING
assert "mcl" not in transformers.models.auto.modeling_auto.MODEL_MAPPING_NAMES
assert sys.meta_path[:-1] == finders
transformers_mcl.register()
assert sys.meta_path[:-1] == waits + finders and "mcl" in transformers.CONFIG_MAPPING
"""


def test_finding_modules_is_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
    finders = list(sys.meta_path)
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
            assert "transformers.models.mcl" not in sys.modules
    finally:
        for _ in range(2):
            transformers_mcl.register()
    assert config_of.from_pretrained.__wrapped__.__self__ is config_of
    assert type(transformers.AutoModel.from_config(config)) is MclModel
    assert tokenizers.TOKENIZER_MAPPING[MclConfig] is MclTokenizer
    assert tokenizers.tokenizer_class_from_name("MclTokenizer") is MclTokenizer
    assert sys.meta_path == finders


ADAPTERS = """
import sys
if sys.argv[1] == "before":
    from peft.utils import constants
    import transformers_mcl
else:
    import transformers_mcl
    assert "peft" not in sys.modules
    from peft.utils import constants
ours = [type(finder).__module__ for finder in sys.meta_path if type(finder).__module__.startswith("transformers_mcl")]
assert len(ours) == ("transformers.models.auto.modeling_auto" not in sys.modules), ours
for name in ("LORA", "IA3", "ADALORA", "LOHA"):
    table = vars(constants)[f"TRANSFORMERS_MODELS_TO_{name}_TARGET_MODULES_MAPPING"]
    assert table["mcl"] == table["bert"], name
transformers_mcl.unregister()
assert "mcl" not in constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_peft_knows_the_layers_of_ours(when: str) -> None:
    pytest.importorskip("peft")
    done = subprocess.run([sys.executable, "-c", ADAPTERS, when], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
