"""Code in rooms, written into one folder, where transformers opens it and saves it again without the package."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from transformers import BertTokenizer
from transformers.dynamic_module_utils import get_relative_imports

from transformers_mcl import MclConfig, MclDiscriminator, MclForPreTraining, MclForSequenceClassification
from transformers_mcl.hub.remote_code import OLDEST, save_code

Pairs = Callable[..., MclForPreTraining]

# A package with every way of importing, and two modules of one name.
ROOMS = {
    "__init__.py": "",
    "errors.py": "class Wrong(ValueError):\n    pass\n",
    "method/__init__.py": "UNIT = 7\n",
    "method/counts.py": "from ..errors import (\n    Wrong,\n)\n\n\ndef count(rows: int) -> int:\n    if rows < 0:\n"
    "        raise Wrong(rows)\n    return rows * 2\n",
    "method/courses.py": "from __future__ import annotations\n\nfrom . import counts as c, shapes\n\n\n"
    "def total(rows: int) -> int:\n    from .. import late\n\n    return c.count(rows) + shapes.SIDES + late.LAST\n",
    "method/shapes.py": "SIDES = 3\n",
    "late.py": "LAST = 100\n",
    "models/__init__.py": "",
    "models/shapes.py": "from ..method.shapes import SIDES as _SIDES\n\nWIDTH = 10 * _SIDES\n",
    "models/configuration_toy.py": "from typing import TYPE_CHECKING\n\nfrom transformers import PreTrainedConfig\n\n"
    "from ..method import UNIT, courses\nfrom ..method.courses import total\nfrom .shapes import WIDTH\n\n"
    "if TYPE_CHECKING:\n    from ..errors import Wrong\n\n\n"
    'class ToyConfig(PreTrainedConfig):\n    model_type = "toy"\n\n'
    "    @property\n    def figures(self) -> list[int]:\n"
    "        assert courses.total is total\n        return [total(1), WIDTH, UNIT]\n",
    "models/unused.py": "from .nowhere import nothing\n",
}
OPENED = """
import sys
from transformers import AutoConfig
folder = sys.argv[1]
for generation in range(3):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert type(config).__module__.startswith("transformers_modules")
    print(config.figures)
    folder += "-again"
    config.save_pretrained(folder)
"""


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the package."""
    for name, text in ROOMS.items():
        path = tmp_path / "packages" / "toy_rooms" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return "toy_rooms"


def test_all_that_a_module_needs_lies_side_by_side_and_survives_being_saved_again(rooms: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    written = save_code(f"{rooms}.models.configuration_toy", folder)
    assert written[0].name == "configuration_toy.py"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert {path.name for path in written} == {
        *("configuration_toy.py", "method.py", "courses.py", "shapes.py", "errors.py", "counts.py", "late.py"),
        "method_shapes.py",
    }
    auto_map = {"AutoConfig": "configuration_toy.ToyConfig"}
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", "auto_map": auto_map}))
    done = subprocess.run([sys.executable, "-c", OPENED, str(folder)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[105, 30, 7]"] * 3
    again = tmp_path / "folder-again-again"
    assert {path.name for path in again.glob("*.py")} == {path.name for path in written}


# --- folders that need the package -----------------------------------------------------------------------------------
# In copies of one interpreter, which save each of them the seconds that torch takes.
OPENED_WITH_AND_WITHOUT = """
import builtins, os, sys, traceback
import torch, transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
folder = sys.argv[1]
kinds = ["", "ForPreTraining", "ForMaskedLM", "ForTextEncoding", "ForSequenceClassification", "ForTokenClassification"]
kinds = [getattr(transformers, f"AutoModel{kind}") for kind in (*kinds, "ForQuestionAnswering", "ForMultipleChoice")]

def absent():
    sys.modules["transformers_mcl"] = None
    for auto in (AutoConfig, *kinds[:2]):
        try:
            auto.from_pretrained(folder, trust_remote_code=True)
        except ImportError as error:
            assert "pip install transformers-mcl" in str(error), error
        else:
            raise AssertionError("opened without the package")

def trusted():
    for auto in kinds:
        model = auto.from_pretrained(folder, trust_remote_code=True)
        assert type(model).__module__.startswith("transformers_mcl."), type(model)
    again = folder + "-again"
    model.save_pretrained(again)
    assert type(AutoModelForSequenceClassification.from_pretrained(again, trust_remote_code=True)) is not type(model)
    assert os.path.isfile(again + "/needs_transformers_mcl.py")
    assert len(AutoTokenizer.from_pretrained(folder, trust_remote_code=True)("the chef")["input_ids"]) == 4

def loaded():
    import transformers_mcl
    with open(folder + "/needs_transformers_mcl.py", "w") as file:
        file.write("raise SystemExit('the code of the folder was run')")
    for auto in (AutoConfig, AutoTokenizer, transformers.AutoProcessor, *kinds):
        auto.from_pretrained(folder)
        auto.from_pretrained(folder, trust_remote_code=True)
    for task in ("fill-mask", "feature-extraction"):
        assert transformers.pipeline(task, model=folder)("the chef cooked a [MASK]")

def asked(*words):
    raise AssertionError("a question")

builtins.input = asked
for check in (absent, trusted, loaded):
    if (child := os.fork()) == 0:
        try:
            check()
            print(check.__name__, "right", flush=True)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_pair_opens_with_the_package_and_says_so_without(
    make_pair: Pairs, tokenizer: BertTokenizer, tmp_path: Path
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("copies of an interpreter need fork")
    make_pair().save_pretrained(tmp_path / "pair", max_shard_size="20KB")
    tokenizer.save_pretrained(tmp_path / "pair")
    command = [sys.executable, "-c", OPENED_WITH_AND_WITHOUT, str(tmp_path / "pair")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["absent right", "trusted right", "loaded right"], done.stderr


def test_what_opens_a_folder_is_no_part_of_the_model(make_pair: Pairs, tmp_path: Path) -> None:
    config = make_pair().config
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"]
    opened = MclConfig.from_pretrained(tmp_path)
    for found in (config, opened):
        assert "auto_map" not in found.to_dict()
    MclConfig.register_for_auto_class()  # as transformers does whenever it opens one from its folder
    opened.save_pretrained(tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["config.json", "needs_transformers_mcl.py"]


def test_code_of_others_stays_what_it_is(make_pair: Pairs, tmp_path: Path) -> None:
    config = make_pair().config
    for number, (given, door) in enumerate([({"AutoModel": "mine.Model"}, True), ({"AutoConfig": "mine.Own"}, False)]):
        config.auto_map = given
        config.save_pretrained(folder := tmp_path / str(number))
        written = json.loads((folder / "config.json").read_text())["auto_map"]
        assert written == given | ({"AutoConfig": "needs_transformers_mcl.MclConfig"} if door else {})
        assert (folder / "needs_transformers_mcl.py").exists() == door
        assert config.auto_map is given

    class Own(MclConfig):
        model_type = "own"

    Own.register_for_auto_class()
    assert (Own._auto_class, MclConfig._auto_class) == ("AutoConfig", None)


# --- the code itself -------------------------------------------------------------------------------------------------
def test_remote_code_stays_remote_code_but_in_a_pair(make_pair: Pairs, tmp_path: Path) -> None:
    pair = make_pair()
    pair.export(tmp_path / "remote", format="remote-code")
    code = {path.name for path in (tmp_path / "remote").glob("*.py")}
    model = MclForSequenceClassification.from_pretrained(tmp_path / "remote")
    model.save_pretrained(tmp_path / "tuned")
    assert {path.name for path in (tmp_path / "tuned").glob("*.py")} == code
    auto_map = json.loads((tmp_path / "tuned" / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModelForSequenceClassification"] == "modeling_mcl.MclForSequenceClassification"
    config = MclConfig.from_dict({**MclDiscriminator.from_pretrained(tmp_path / "remote").config.to_dict()})
    MclForPreTraining(config).save_pretrained(tmp_path / "pair")
    assert [path.name for path in (tmp_path / "pair").glob("*.py")] == ["needs_transformers_mcl.py"]


def test_the_modules_that_are_opened_name_all_that_they_need(tmp_path: Path) -> None:
    """Some versions of transformers copy what these import themselves, and not what that imports."""
    written = {path.stem for path in save_code("transformers_mcl.models.modeling_mcl", tmp_path)}
    assert set(get_relative_imports(tmp_path / "modeling_mcl.py")) == written - {"modeling_mcl"}
    needed = set(get_relative_imports(tmp_path / "configuration_mcl.py"))
    assert all(needed >= set(get_relative_imports(tmp_path / f"{name}.py")) for name in needed)
    assert "modeling_mcl" not in needed  # some versions never come out of a circle


def test_an_older_transformers_is_told_which_one_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_code("transformers_mcl.models.modeling_mcl", tmp_path)
    for name in ("configuration_mcl", "modeling_mcl"):
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert spec is not None and spec.loader is not None
        monkeypatch.setattr(transformers, "__version__", "5.3.0")
        with pytest.raises(ImportError, match=f"needs transformers {OLDEST} or newer, and here is 5.3.0"):
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
