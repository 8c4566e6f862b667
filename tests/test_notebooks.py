"""The notebooks: kept without outputs, and run from top to bottom by a slow test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.documentation import NOTEBOOKS, ROOT, blocks_of
from tests.reader import environment, programs


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_cells(notebook: str) -> None:
    """No outputs, Python that parses, and one command in each cell of commands."""
    for cell in json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for block in blocks_of(notebook):
        if block.language == "python":
            compile(block.code, str(block), "exec")
        else:
            assert block.code.startswith("transformers-mcl ") and block.code.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_runs(notebook: str, tmp_path: Path) -> None:
    """In a kernel of its own, on a small text of Hindi, with commands that are soon done."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    programs(tmp_path / "bin")
    hindi = (ROOT / "tests" / "fixtures" / "languages" / "hi.txt").read_text(encoding="utf-8")
    (tmp_path / "text.txt").write_text(hindi * 8, encoding="utf-8")  # a row is held out
    cells = nbformat.read(ROOT / notebook, as_version=4)
    client = nbclient.NotebookClient(cells, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment(tmp_path))  # raises what a cell raises
    printed = [output.get("text", "") for cell in cells.cells for output in cell.get("outputs", ())]
    assert any(printed) and not any(": error: " in text for text in printed)  # which a command says
