"""A report as Markdown; figures are named as files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workers.reporting.blocks import Block, Bullets, Code, Drawing, Notice, Table, Terms, Text
from workers.reporting.writing import write

_SPECIAL = re.compile(r"([\\`*\[\]<>|#])")


def markdown(document: Mapping[str, Any]) -> str:
    """Return the report; its figures are links to `figure-<id>.svg`."""
    written = write(document)
    lines = [f"# {_plain(written.title)}", "", _plain(written.subtitle), ""]
    for section in written.sections:
        lines += [f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield _plain(text)
        case Notice(text):
            yield f"> **{_plain(text)}**"
        case Bullets(items):
            yield from (f"- {_plain(item)}" for item in items)
        case Terms(pairs):
            yield from (f"- **{_plain(term)}**: {_plain(said)}" for term, said in pairs)
        case Table():
            yield from _table(block)
        case Drawing(name, title, caption):
            yield f"![{_plain(title)}](figure-{name}.svg)"
            yield ""
            yield f"*{_plain(title)}.* {_plain(caption)}"
        case Code(text, language):
            yield f"```{language}"
            yield text.rstrip("\n")
            yield "```"


def _table(table: Table) -> Iterator[str]:
    yield f"**{_plain(table.caption)}**"
    yield ""
    yield "| " + " | ".join(map(_plain, table.head)) + " |"
    yield "|" + "|".join(":--" if i in table.text_columns else "--:" for i in range(len(table.head))) + "|"
    for row in table.rows:
        yield "| " + " | ".join(map(_plain, row)) + " |"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
