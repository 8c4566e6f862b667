"""Fixtures of the tests of the examples."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.examples.experiment_runs import MODULES


@pytest.fixture(scope="module")
def scripts() -> dict[str, Any]:
    """The modules of the folder."""
    return {name: importlib.import_module(f"experiments.{name}") for name in MODULES}
