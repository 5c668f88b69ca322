"""A report as one HTML page: styles and figures inside it, no scripts, readable on a phone, by day and by night."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from workers.reporting.blocks import Block, Bullets, Code, Drawing, Notice, Section, Table, Terms, Text
from workers.reporting.inline_svg import inline_svg, is_wide
from workers.reporting.page_style import STYLE
from workers.reporting.writing import write


def page(document: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """Return the whole page.

    Args:
        document: The report.
        figures: SVG bytes by figure id; a figure that is not among them is left out.
    """
    written = write(document)
    title, subtitle = html.escape(written.title), html.escape(written.subtitle)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f'<header><h1>{title}</h1><p class="subtitle">{subtitle}</p></header>',
        _contents(written.sections),
    ]
    for number, section in enumerate(written.sections):
        parts.append(f'<section id="s{number}"><h2>{html.escape(section.title)}</h2>')
        for is_drawing, blocks in groupby(section.blocks, key=lambda block: isinstance(block, Drawing)):
            lines = [line for block in blocks for line in _lines(block, figures)]
            parts += ['<div class="figures">', *lines, "</div>"] if is_drawing and lines else lines
        parts.append("</section>")
    parts.append("</main></body></html>")
    return "\n".join(parts) + "\n"


def _contents(sections: tuple[Section, ...]) -> str:
    links = "".join(f'<a href="#s{i}">{html.escape(section.title)}</a>' for i, section in enumerate(sections))
    return f'<nav aria-label="Contents">{links}</nav>'


def _lines(block: Block, figures: Mapping[str, bytes]) -> Iterator[str]:
    match block:
        case Text(text):
            yield f"<p>{html.escape(text)}</p>"
        case Notice(text):
            yield f'<p class="notice">{html.escape(text)}</p>'
        case Bullets(items):
            yield "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Terms(pairs):
            rows = (f"<dt>{html.escape(term)}</dt><dd>{html.escape(said)}</dd>" for term, said in pairs)
            yield "<dl>" + "".join(rows) + "</dl>"
        case Table():
            yield from _table(block)
        case Drawing(name, title, caption):
            if name in figures:
                drawn = inline_svg(figures[name], name, title)
                says = f"<b>{html.escape(title)}.</b> {html.escape(caption)}"
                wide = ' class="wide"' if is_wide(figures[name]) else ""
                yield f'<figure id="figure-{name}"{wide}>{drawn}<figcaption>{says}</figcaption></figure>'
        case Code(text):
            yield f"<pre><code>{html.escape(text)}</code></pre>"


def _table(table: Table) -> Iterator[str]:
    """Yield a table inside a box that scrolls by itself, so that the page never does."""
    caption = html.escape(table.caption)
    yield f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption>'
    heads = (f'<th scope="col"{_kind(table, i)}>{html.escape(name)}</th>' for i, name in enumerate(table.head))
    yield "<thead><tr>" + "".join(heads) + "</tr></thead>"
    yield "<tbody>"
    for row in table.rows:
        first = f'<th scope="row">{html.escape(row[0])}</th>'
        yield "<tr>" + first + "".join(_cell(table, i, cell) for i, cell in enumerate(row) if i) + "</tr>"
    yield "</tbody></table></div>"


def _cell(table: Table, column: int, cell: str) -> str:
    yes, no = ("no", "inconclusive") if column in table.adverse_columns else ("yes", "no")
    colours = {"yes": yes, "no": no, "inconclusive": "inconclusive"}
    shown = f'<span class="{colours[cell]}">{cell}</span>' if cell in colours else html.escape(cell)
    return f"<td{_kind(table, column)}>{shown}</td>"


def _kind(table: Table, column: int) -> str:
    return ' class="text"' if column in table.text_columns else ""
