"""HTML fragments. Everything that comes from data passes through `text`; a number of the summary through `figure`."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def text(value: Any) -> str:
    """Escaped for an element's content or a quoted attribute."""
    return html.escape(str(value), quote=True)


def figure(summary: dict[str, Any], path: Sequence[str], form: Callable[[Any], str]) -> str:
    """The summary's number at `path`, formatted; the element names the path, so that page and summary compare."""
    value: Any = summary
    for key in path:
        value = value[key]
    return f'<span data-key="{text("/".join(path))}">{text(form(value))}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of ready fragments; the first column is a row header. It scrolls sideways where the page is narrow."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    parts = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{text(kind)}">{parts}</table></div>'


def section(name: str, title: str, *parts: str) -> str:
    """A titled section; empty when all its parts are."""
    body = "".join(parts)
    return f'<section id="{text(name)}"><h2>{text(title)}</h2>{body}</section>' if body else ""


def note(words: str) -> str:
    """A quiet paragraph of a ready fragment."""
    return f'<p class="note">{words}</p>'


def data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def image(picture: bytes, words: str) -> str:
    """An inline picture with its alternative text."""
    return f'<img src="{data_uri(picture)}" alt="{text(words)}">'


def chart(draw: Callable[[str, bool], bytes | None], words: str) -> str:
    """A chart in four forms, light and dark, wide and narrow; the reader's browser picks one.

    `draw(theme name, narrow)` gives a PNG, or None when there is nothing to draw.
    """
    fallback = draw("light", False)
    if fallback is None:
        return ""
    sources = []
    for theme, narrow in (("dark", True), ("light", True), ("dark", False)):
        picture = draw(theme, narrow)
        if picture is not None:
            conditions = (["(prefers-color-scheme: dark)"] if theme == "dark" else []) + (
                ["(max-width: 640px)"] if narrow else []
            )
            sources.append(f'<source media="{" and ".join(conditions)}" srcset="{data_uri(picture)}">')
    return f'<picture class="chart">{"".join(sources)}{image(fallback, words)}</picture>'
