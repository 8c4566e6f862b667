"""Fetches transformers' own model tests, which its wheel lacks and its source distribution has.

They are unpacked into a cache outside the repository, once for each version of transformers, and become importable as
the package `transformers_tests`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import pytest

PACKAGE = "transformers_tests"
# What the tests import and the source distribution lacks: mixins and values for tests that we go without.
STUBS = {
    "__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin: ...\n",
    "generation/test_utils.py": "class GenerationTesterMixin: ...\n",
    "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
}
MARKERS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: of transformers' own tests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves these tests alone unless exactly they are asked for: to collect them needs the network."""
    if not collection_path.name.startswith("test_"):
        return None
    if config.option.markexpr != "upstream":
        return True
    try:
        sys.path.insert(0, str(_fetch()))
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        warnings.warn(f"no tests of transformers: {reason.strip().splitlines()[-1]}", stacklevel=1)
    return None


def _fetch() -> Path:
    """The folder with the tests of the installed transformers as a package, filled if need be."""
    import transformers
    from filelock import FileLock

    version = transformers.__version__
    cache = Path(os.environ.get("TRANSFORMERS_TESTS_CACHE", Path.home() / ".cache/transformers-mcl/upstream"))
    folder = cache / f"transformers-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):  # the workers of pytest-xdist all come by here
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as work:
                _unpack(_download(version, Path(work)), Path(work))
                os.replace(Path(work) / "new", folder)
    return folder


def _download(version: str, folder: Path) -> Path:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary=transformers", f"--dest={folder}"]
    command = [sys.executable, "-m", "pip", "download", *options, f"transformers=={version}"]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return next(folder.glob("transformers-*.tar.gz"))


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if Path(m.name).parts[1:2] == ("tests",)]
        tar.extractall(folder, members, filter="data")
    package = folder / "new" / PACKAGE
    package.parent.mkdir()
    shutil.move(next(folder.glob("transformers-*/tests")), package)
    for name, text in STUBS.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
