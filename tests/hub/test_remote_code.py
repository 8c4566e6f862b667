"""Code in rooms, written into one folder, where transformers opens it and saves it again without the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from transformers_mcl.hub.remote_code import save_code

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
