"""Registration with transformers' Auto classes, as late as it can be: when the Auto classes themselves are imported.

`import transformers_mcl` must make `AutoModel` know our models, and must not cost the seconds that importing torch and
transformers takes. So two things are late:

- *Our classes.* transformers' tables hold the names of its classes and import `transformers.models.<model type>` when
  one is asked for. Ours are entered in the same way: by name, with this package, whose `__getattr__` imports on first
  use, as the module `transformers.models.mcl`. `AutoModel.register` needs the class itself, hence torch; and importing
  it right after the tables fails where these were imported in the middle of something that our classes need.
- *The entries.* While the three modules with the tables are not imported yet, a finder on `sys.meta_path` waits for
  them: it has the module found and run as it would be, and enters the names before anyone can see it. It leaves no
  trace in the module, and goes when all three are there. It waits for peft in the same way, whose tables say which
  layers of a model an adapter is put on. Nothing that Python or transformers has replaces it: there is no call-back
  after an import, transformers reads no entry points, `importlib.util.LazyLoader` and the attributes of transformers'
  `_LazyModule` delay modules but tell nobody that one has come, and our own `__getattr__` (PEP 562) is not asked by a
  program that uses Auto classes alone.

Only names are entered then, nothing is imported: the order of imports makes no difference, and no two threads can wait
for each other's imports.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .models import hooks

__all__ = ["register", "unregister"]

_CONFIGURATIONS = "transformers.models.auto.configuration_auto"
# The modules of transformers that hold tables, their tables, and our class in each.
_TABLES = {
    _CONFIGURATIONS: {"CONFIG_MAPPING": "MclConfig"},
    "transformers.models.auto.tokenization_auto": {"TOKENIZER_MAPPING": "MclTokenizer"},
    "transformers.models.auto.modeling_auto": {
        "MODEL_MAPPING": "MclModel",
        "MODEL_FOR_TEXT_ENCODING_MAPPING": "MclModel",
        "MODEL_FOR_PRETRAINING_MAPPING": "MclForPreTraining",
        "MODEL_FOR_MASKED_LM_MAPPING": "MclForMaskedLM",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING": "MclForSequenceClassification",
        "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING": "MclForTokenClassification",
        "MODEL_FOR_QUESTION_ANSWERING_MAPPING": "MclForQuestionAnswering",
        "MODEL_FOR_MULTIPLE_CHOICE_MAPPING": "MclForMultipleChoice",
    },
}
_ALIAS = "transformers.models.mcl"
# peft's tables of the layers that an adapter is put on, by model type: ours have the names of BERT's.
_ADAPTERS = "peft.utils.constants"


class _Loader(Loader):
    """A module's own loader, and the entries as soon as it is done."""

    def __init__(self, loader: Any):
        self.loader = loader

    def __getattr__(self, name: str) -> Any:  # for who looks at the module and does not import it
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        module.__loader__ = spec.loader = self.loader
        self.loader.exec_module(module)
        _enter(module)
        if all(name in sys.modules for name in (*_TABLES, _ADAPTERS)):
            _remove_finder()


class _Finder(MetaPathFinder):
    """Finds the modules with tables as those after it do."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _TABLES and name != _ADAPTERS:
            return None
        for finder in itertools.islice(itertools.dropwhile(lambda finder: finder is not self, sys.meta_path), 1, None):
            if (spec := finder.find_spec(name, path, target)) is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


_finder = _Finder()


def _remove_finder() -> None:
    # A new list: another thread that is going through this one would pass over a finder.
    sys.meta_path = [finder for finder in sys.meta_path if finder is not _finder]


def _adapter_tables(module: Any) -> list[dict[str, Any]]:
    named = [table for name, table in vars(module).items() if name.startswith("TRANSFORMERS_MODELS_TO_")]
    return [table for table in named if "bert" in table]


def _enter(module: Any) -> None:
    if module.__name__ == _ADAPTERS:
        for layers in _adapter_tables(module):
            layers["mcl"] = layers["bert"]
        return
    sys.modules[_ALIAS] = sys.modules[__package__]
    for table, name in _TABLES[module.__name__].items():
        vars(module)[f"{table}_NAMES"]["mcl"] = name
        # What it was made with, in case that our configuration was not there yet.
        getattr(vars(module)[table], "_reverse_config_mapping", {})["MclConfig"] = "mcl"
    if module.__name__ == _CONFIGURATIONS:
        _replace_from_pretrained(module.AutoConfig)


def _remove(module: Any) -> None:
    if module.__name__ == _ADAPTERS:
        for layers in _adapter_tables(module):
            layers.pop("mcl", None)
        return
    sys.modules.pop(_ALIAS, None)
    for table in _TABLES[module.__name__]:
        vars(module)[f"{table}_NAMES"].pop("mcl", None)
        getattr(vars(module)[table], "_reverse_config_mapping", {}).pop("MclConfig", None)
    if module.__name__ == _CONFIGURATIONS:
        _restore_from_pretrained(module.AutoConfig)


# `AutoConfig.from_pretrained` as it was found ("theirs") and as it is now ("ours"); empty while it is as found.
_replaced: dict[str, Any] = {}


def _replace_from_pretrained(auto: Any) -> None:
    """The one function of transformers that is replaced: all Auto classes call it first, and it knows no repository
    without `config.json`, as fairseq's are."""
    if not _replaced:
        _replaced["theirs"] = vars(auto)["from_pretrained"]
        _replaced["ours"] = staticmethod(_located(auto.from_pretrained))
        auto.from_pretrained = _replaced["ours"]


def _restore_from_pretrained(auto: Any) -> None:
    if _replaced and vars(auto)["from_pretrained"] is _replaced["ours"]:
        auto.from_pretrained = _replaced["theirs"]
        _replaced.clear()


def _located(from_pretrained: Callable[..., Any]) -> Callable[..., Any]:
    """`AutoConfig.from_pretrained` that, where it fails, looks whether what it was given lies elsewhere.

    If it does not, the error is transformers' own, the same object.
    """

    @functools.wraps(from_pretrained)
    def opened(pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        try:
            return from_pretrained(pretrained_model_name_or_path, **kwargs)
        except (OSError, ValueError):
            folder = hooks.locate(pretrained_model_name_or_path, **kwargs)
            if folder == pretrained_model_name_or_path:
                raise
        found = from_pretrained(folder, **kwargs)
        config = found[0] if isinstance(found, tuple) else found
        config.name_or_path = str(pretrained_model_name_or_path)
        return found

    return opened


def register() -> None:
    """Makes transformers' Auto classes know MCL's, and open repositories of fairseq's.

    `import transformers_mcl` calls it. Calling it again does nothing.
    """
    if _finder in sys.meta_path:  # it waits for those that are not there yet
        return
    if _ADAPTERS not in sys.modules or _CONFIGURATIONS not in sys.modules:
        sys.meta_path.insert(0, _finder)
    if _ADAPTERS in sys.modules:
        _enter(importlib.import_module(_ADAPTERS))
    if _CONFIGURATIONS in sys.modules:
        for name in _TABLES:  # the others cost nothing now; and another thread that imports one is waited for
            _enter(importlib.import_module(name))


def unregister() -> None:
    """Undoes `register`: transformers is as if this package had never been imported. Calling it again does nothing."""
    _remove_finder()
    for name in (*_TABLES, _ADAPTERS):
        if name in sys.modules:
            _remove(importlib.import_module(name))


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function of this package, whose module is imported when it is called."""
    return lambda *args, **kwargs: getattr(importlib.import_module(module, __package__), name)(*args, **kwargs)


hooks.locate = _later(".hub.by_name", "locate")
hooks.bring_code = _later(".hub.remote_code", "bring_code")
hooks.bring_card = _later(".hub.export_card", "bring_card")
hooks.export_model = _later(".hub.export", "export_model")
