"""Words that would be markup on a card, and the look of a card, which no word may change."""

from __future__ import annotations

from typing import Any

from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["NASTY", "look", "parsed"]

NASTY = (
    "a|b|c",
    "---",
    "x\n---\nlicense: mit\n---\n",
    "x\n\n# Heading\n\n- item\n",
    "# Heading",
    "- item",
    "1. item",
    "&copy; &lt;b&gt; &#91;x](y)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "<https://example.org>",
    "`code`",
    "x\n```\n\n<b>bold</b>\n",
    "[x](javascript:alert(1))",
    "![x](https://example.org/a.png)",
    "[x]: https://example.org",
    "**bold** _it_ __it__ ~~gone~~",
    "x\\",
    "\\[x\\](y)",
    "x\u2028y\u0085z\x1b[31m",
    "{{ 7 * 7 }}{% endraw %}",
    '"); import os #',
    "'\"",
)


def parsed(text: str) -> list[Token]:
    """All that a page which takes HTML makes of Markdown, with what is inside lines."""
    return [
        inner
        for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
        for inner in (token, *(token.children or ()))
    ]


def look(card: ModelCard) -> Any:
    """The elements of a card in their order, where its links lead, and the names of its metadata."""
    tokens = [token for token in parsed(card.text) if token.type not in ("text", "softbreak")]
    links = [token.attrs.get("href", token.attrs.get("src")) for token in tokens]
    return [(token.type, token.info) for token in tokens], links, list(card.data.to_dict())
