"""A figure's SVG made part of a page: its colours follow the page's, its names clash with no other figure's."""

from __future__ import annotations

import html
import re

from workers.reporting.figure_style import FAINT, GRID, INK, PAPER

_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)", PAPER: "none"}
WIDE = 1.8
"""Width over height of a figure of several panels."""
_NAMES = re.compile(r'(\bid="|\bhref="#|url\(#)')


def is_wide(svg: bytes) -> bool:
    """Tell whether a figure is so wide that it needs a row of its own."""
    box = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return box is not None and float(box[1]) > WIDE * float(box[2])


def inline_svg(svg: bytes, name: str, title: str) -> str:
    """Return an `<svg>` element to stand inside a page.

    Args:
        svg: What `Canvas.encode("svg")` made.
        name: Put before every id inside it, because ids are unique in a page.
        title: What a screen reader says in its place.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, count=1, flags=re.DOTALL)
    text = _NAMES.sub(rf"\1{name}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    opening, rest = text.split(">", 1)
    width = re.search(r'\bwidth="([\d.]+)pt"', opening)
    opening = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", opening)
    largest = f'style="max-width:{float(width[1]) * 4 / 3:.0f}px"' if width else ""
    return f'{opening} role="img" aria-label="{html.escape(title)}" {largest}>{rest.strip()}'
