"""What users get: an import that costs nothing, public names that exist, and distributions that lack no file."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import transformers_mcl

ROOT = Path(__file__).parents[1]
_SCRIPTS = "Scripts" if os.name == "nt" else "bin"
PACKAGE = ROOT / "src" / "transformers_mcl"
# Exits with status 0, and in silence, where what takes long stays unimported.
IMPORT = "import sys, transformers_mcl; sys.exit(' '.join({'torch', 'transformers'} & {*sys.modules}) or 0)"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def assert_imports_in_silence(python: str | Path, cwd: Path) -> None:
    done = run(python, "-c", IMPORT, cwd=cwd)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_is_silent_and_leaves_torch_alone(tmp_path: Path) -> None:
    assert_imports_in_silence(sys.executable, tmp_path)


def test_public_names_are_sorted_and_resolve() -> None:
    names = transformers_mcl.__all__
    assert names == sorted(set(names))
    assert set(names) <= set(dir(transformers_mcl))
    missing = [name for name in names if not hasattr(transformers_mcl, name)]
    assert not missing
    assert transformers_mcl.__version__ == metadata.version("transformers-mcl")


def test_the_version_is_said_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "README.md"))
    version = project["version"]
    assert version == citation["version"]
    if "dev" not in version:
        assert f"## [{version}] - {citation['date-released']}\n" in changes
        assert f'version = "{version}",' in readme
    assert {"Documentation", "Repository", "Issues", "Changelog"} <= project["urls"].keys()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_wheel_and_sdist_hold_every_file_of_the_package(distributions: tuple[Path, Path]) -> None:
    sdist, wheel = distributions
    files = (path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*") if path.is_file())
    expected = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert "transformers_mcl/py.typed" in expected
    assert any(name.startswith("transformers_mcl/data/demo/") for name in expected)

    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert in_wheel == expected

    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in expected} <= in_sdist
    assert {"LICENSE", "README.md", "Makefile", "constraints.txt", "tests/test_packaging.py"} <= in_sdist


def test_wheel_works_in_a_clean_environment(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python, command = (environment / _SCRIPTS / name for name in ("python", "transformers-mcl"))
    # The dependencies are those installed here. A path file inside a folder so added is not followed, so that the
    # wheel is all that the new environment sees of this package.
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # Without --no-deps: a dependency that pyproject.toml asks for and that is not there fails here.
    pip_install = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index")
    done = run(*pip_install, distributions[1], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    assert_imports_in_silence(python, tmp_path)
    where = run(python, "-c", "import transformers_mcl; print(transformers_mcl.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(site_packages)
    usage = run(command, "--help", cwd=tmp_path)
    assert usage.returncode == 0, usage.stderr
    assert "pretrain" in usage.stdout
