"""The pages as people read them: their blocks of code, and where their links lead.

`mkdocs.yml` names this file as a hook. It shows notebooks as pages, and fails `make docs` where links to files of the
repository lead nowhere: MkDocs knows the pages of the site alone.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["DOCSTRINGS", "NOTEBOOKS", "PAGES", "ROOT", "Block", "blocks_of", "dead_links", "text_of"]

ROOT = Path(__file__).parents[1]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
]
"""All pages, from the repository's root; the changelog has no code."""
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.ipynb"))

_REPOSITORY = r"https://(?:github\.com|raw\.githubusercontent\.com)/transformers-mcl/transformers-mcl/"
_IN_REPOSITORY = re.compile(_REPOSITORY + r"(?:(?:blob|tree|raw)/)?main/(.+)")
_MARK = re.compile(r"<!-- not run: (.+?) -->")

DOCSTRINGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "src").rglob("*.py")
    if re.search(r"^ *```", path.read_text(encoding="utf-8"), re.MULTILINE)
)
"""Modules whose docstrings, which the pages of reference show, have code."""


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page, line: where it is, from the repository's root.
        language: the first word behind its fence.
        title: of ``title="name"`` there, under which the reader saves it.
        code: what stands in it.
        excuse: of ``<!-- not run: why -->`` on the line above: why no test runs it.
    """

    page: str
    line: int
    language: str
    title: str
    code: str
    excuse: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def text_of(page: str) -> str:
    """A page's Markdown; a notebook's as well, whose commands are in blocks of bash, and a module's docstrings."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".py"):
        documented = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        return "\n\n".join(ast.get_docstring(node) or "" for node in documented)
    if not page.endswith(".ipynb"):
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(code if kind == "markdown" else _fenced(code) for kind, code in cells) + "\n"


def _fenced(code: str) -> str:
    return f"```bash\n{code[1:]}\n```" if code.startswith("!") else f"```python\n{code}\n```"


@cache
def _tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text_of(page))


def blocks_of(page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    blocks, excuse = [], ""
    for token in _tokens(page):
        if token.type == "fence":
            language, _, rest = token.info.strip().partition(" ")
            title = re.search(r'title="(.+?)"', rest)
            line = (token.map or [0])[0] + 1
            blocks.append(Block(page, line, language, title[1] if title else "", token.content, excuse))
        mark = _MARK.fullmatch(token.content.strip()) if token.type == "html_block" else None
        excuse = mark[1] if mark else ""
    return blocks


def _links(page: str) -> Iterator[str]:
    for token in _tokens(page):
        for child in token.children or ():
            link = child.attrGet("href") or child.attrGet("src")
            if link:
                yield str(link)


@cache
def _anchors(page: str) -> frozenset[str]:
    """What GitHub calls the headings of a page."""
    found: dict[str, int] = {}
    anchors = []
    tokens = _tokens(page)
    for opening, heading in zip(tokens, tokens[1:], strict=False):
        if opening.type == "heading_open":
            words = "".join(child.content for child in heading.children or ())
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            anchors.append(f"{name}-{found[name]}" if name in found else name)
            found[name] = found.get(name, 0) + 1
    return frozenset(anchors)


def dead_links(page: str) -> list[str]:
    """Links of a page to files or headings of this repository that are not there.

    Args:
        page: its path from the repository's root.
    """
    dead = []
    for link in _links(page):
        address, _, anchor = unquote(link).partition("#")
        absolute = _IN_REPOSITORY.fullmatch(address)
        if ":" in address and not absolute:
            continue
        file = ROOT / absolute[1] if absolute else (ROOT / page).parent / (address or Path(page).name)
        # On a reference page, headings are made by mkdocstrings: MkDocs checks links to them.
        known = file.suffix != ".md" or file.parent.name == "reference" or not anchor
        if not file.exists() or not (known or anchor in _anchors(str(file))):
            dead.append(link)
    return dead


def on_pre_build(**_: Any) -> None:
    """Warnings, which end a strict build."""
    for page in [*PAGES, *NOTEBOOKS, "CHANGELOG.md"]:
        for link in dead_links(page):
            logging.getLogger("mkdocs.links").warning("%s: %s leads nowhere", page, link)


def on_files(files: Any, *, config: Any) -> None:
    """A page for every notebook."""
    from mkdocs.structure.files import File

    for notebook in NOTEBOOKS:
        name = Path(notebook).relative_to("docs")
        about = f"[Download this notebook]({name.name}), to run it.\n\n"
        files.append(File.generated(config, name.with_suffix(".md").as_posix(), content=about + text_of(notebook)))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to notebooks lead to these pages, and on GitHub to the notebooks."""
    return re.sub(r"\((notebooks/\w+)\.ipynb\)", r"(\1.md)", markdown)
