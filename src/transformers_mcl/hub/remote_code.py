"""The code of a model as `trust_remote_code=True` takes it: modules side by side in its folder, or a door to the
package.

Whatever the package saves has a door, one module of a few lines: without it, the only advice would be to upgrade
transformers. An export with `format="remote-code"` has the code itself.

transformers copies a module and what it imports in the form `from .name import …`, and so again whenever a model that
was opened from such a folder is saved. Our modules import across rooms (`from ..method.documents import …`): here they
and all that they need are written into one room.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from ..io import write_text
from ..models import hooks

__all__ = ["OLDEST", "bring_code", "save_code"]

OLDEST = "5.4"
"""The first transformers that runs the code."""

_DOOR = '''"""The code of this model is in the package transformers-mcl: pip install transformers-mcl

After `import transformers_mcl` this file is not needed, and not read.
"""

try:
    from transformers_mcl import MclConfig
except ImportError as error:
    raise ImportError(f"this model needs transformers-mcl: pip install transformers-mcl ({error})") from error

__all__ = ["MclConfig"]
'''
_OURS = "configuration_mcl.MclConfig"
_CHECK = f"""import transformers

if tuple(map(int, transformers.__version__.split(".")[:2])) < {tuple(map(int, OLDEST.split(".")))}:
    raise ImportError(
        f"the code of this model needs transformers {OLDEST} or newer, and here is {{transformers.__version__}}"
    )
if False:  # transformers copies what an opened module names itself, and some versions no further
"""


def bring_code(config: Any, folder: Path) -> dict[str, str]:
    """Writes what opens a model of ours with `trust_remote_code=True` into its folder.

    Args:
        config: about to be written there; what was opened from remote code stays remote code, but for a pair, whose
            code is not part of it. Code of others, which transformers writes itself, stays what it is.

    Returns:
        The `auto_map` that names what was written.
    """
    auto_map: dict[str, str] = hooks.DOOR | (vars(config).get("auto_map") or {})
    if auto_map["AutoConfig"] == _OURS and config.architectures == ["MclForPreTraining"]:
        auto_map = hooks.DOOR
    if auto_map["AutoConfig"] == _OURS:
        save_code(resolve_name("..models.modeling_mcl", __package__), folder)
    elif auto_map["AutoConfig"] == hooks.DOOR["AutoConfig"]:
        module = auto_map["AutoConfig"].partition(".")[0]
        write_text(folder / f"{module}.py", _DOOR)
    return auto_map


def save_code(module: str, folder: Path) -> list[Path]:
    """Writes `module` (`package.room.name`) and all that it imports of its package, however far, into `folder`.

    Relative imports are followed, those in functions and under `TYPE_CHECKING` too, as transformers follows them. Of
    two modules with one name the second gets its room's name before its own.

    Returns:
        The files written, that of `module` first.
    """
    names: dict[str, str] = {}  # what each module is called in the folder
    for found in _needed(module):
        name = found.rpartition(".")[2]
        names[found] = name if name not in names.values() else found.partition(".")[2].replace(".", "_")
    return [_write(found, names, folder / f"{name}.py") for found, name in names.items()]


def _needed(module: str) -> list[str]:
    """A module and all that it imports of its package, however far."""
    found = [module]
    for name in found:
        new = (source for _, parts in _imports(name) for source, _, _ in parts if source not in found)
        found += dict.fromkeys(new)
    return found


def _file(module: str) -> Path | None:
    """Where a module, or the code of a package itself, lies; `None` if there is none of this name."""
    root, *rooms = module.split(".")
    path = Path(import_module(root).__path__[0], *rooms)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imports(module: str) -> Iterator[tuple[ast.ImportFrom, list[tuple[str, ast.alias, bool]]]]:
    """Each relative import of a module, and for each of its names: the module it comes from, the name, and whether it
    is that module itself (`from ..room import module`)."""
    file = _file(module)
    assert file is not None, f"{module} is no module"
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = resolve_name("." * node.level + (node.module or ""), package)
            inner = {alias.name: f"{base}.{alias.name}" for alias in node.names if _file(f"{base}.{alias.name}")}
            yield node, [(inner.get(alias.name, base), alias, alias.name in inner) for alias in node.names]


def _write(module: str, names: dict[str, str], target: Path) -> Path:
    file = _file(module)
    assert file is not None
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    for node, parts in sorted(_imports(module), key=lambda found: -found[0].lineno):
        imports: list[ast.ImportFrom] = []
        for source, alias, is_module in parts:
            if is_module:  # after an import that transformers sees: it passes over `from . import`
                imports.append(ast.ImportFrom(names[source], [ast.alias("__name__", "_")], 1))
                alias = ast.alias(names[source], alias.asname or alias.name)
            imports.append(ast.ImportFrom(None if is_module else names[source], [alias], 1))
        lines[node.lineno - 1 : node.end_lineno] = [
            f"{' ' * node.col_offset}{ast.unparse(statement)}\n" for statement in imports
        ]
    if target.name.startswith(("configuration_", "modeling_")):  # which are opened by their names
        others = [f"    from .{names[needed]} import __name__ as _\n" for needed in _needed(module)[1:]]
        first = _first_import("".join(lines))
        lines[first:first] = [_CHECK, *others, "\n"]
    target.write_text("".join(lines), encoding="utf-8")
    return target


def _first_import(text: str) -> int:
    """The line, from 0, of the first import but of `__future__`, which stands before all else."""
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return next(node.lineno for node in imports if getattr(node, "module", None) != "__future__") - 1
