"""The code of a model as `trust_remote_code=True` takes it: modules side by side in one folder.

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

__all__ = ["save_code"]


def save_code(module: str, folder: Path) -> list[Path]:
    """Writes `module` (`package.room.name`) and all that it imports of its package, however far, into `folder`.

    Relative imports are followed, those in functions and under `TYPE_CHECKING` too, as transformers follows them. Of
    two modules with one name the second gets its room's name before its own.

    Returns:
        The files written, that of `module` first.
    """
    names: dict[str, str] = {}  # what each module is called in the folder
    waiting = [module]
    for found in waiting:
        if found in names:
            continue
        name = found.rpartition(".")[2]
        names[found] = name if name not in names.values() else found.partition(".")[2].replace(".", "_")
        waiting += [source for _, parts in _imports(found) for source, _, _ in parts]
    return [_write(found, names, folder / f"{name}.py") for found, name in names.items()]


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
    target.write_text("".join(lines), encoding="utf-8")
    return target
