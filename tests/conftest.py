"""What must hold before anything of Hugging Face or torch is imported, and the fixtures that all tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.once import Once

# What these test needs forks, signals, pipes with names or a shell of POSIX.
_POSIX = [
    "data/test_documentation.py",
    "examples/test_accelerate.py",
    "examples/test_jobs.py",
    "finetuning/test_resuming.py",
    "hub/test_remote_code.py",
    "test_registration.py",
    "training/test_resume.py",
    "training/test_signals.py",
]
collect_ignore = _POSIX if os.name == "nt" else []

# No test may reach the network, nor read or fill the caches of whoever runs it. Each worker of pytest-xdist has a
# folder of its own inside that of the process that started it, which removes them all.
os.environ["HF_HUB_OFFLINE"] = "1"
for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HF_MODULES_CACHE"):
    os.environ.pop(name, None)
_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker is None:
    _caches = tempfile.TemporaryDirectory(prefix="transformers-mcl-tests-", ignore_cleanup_errors=True)
    os.environ["HF_HOME"] = _caches.name
else:
    os.environ["HF_HOME"] = os.path.join(os.environ["HF_HOME"], _worker)
    # Read by torch when it is imported, here and in the programs that tests start: many processes of many threads
    # wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
# However busy the machine is on which a test's own server answers.
os.environ["HF_HUB_ETAG_TIMEOUT"] = os.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "600"
os.environ["MPLBACKEND"] = "agg"
# Without instructions for bfloat16, which some machines have: there runs would take it by default, and expect less.
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"
# Without it, MKL's matrix products on some processors (AMD's) depend on where in memory the numbers lie.
os.environ["MKL_CBWR"] = "AUTO"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, fill)`: a folder that `fill` has filled, once for the tests of all workers; for what takes long."""
    root = tmp_path_factory.getbasetemp()
    shared = root if _worker is None else root.parent

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                path.mkdir(exist_ok=True)
                fill(path)
                filled.touch()
        return path

    return folder


@pytest.fixture
def seeded() -> int:
    """Seed Python, NumPy and torch alike; the seed."""
    from transformers import set_seed

    set_seed(seed := 0)
    return seed
