"""The figures of a report: each drawn from the report's own numbers, as SVG or PNG, the same bytes every time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from lth_core.expansion import WINNING_TICKET
from lth_core.judged_levels import at_fixed_steps
from service.store.record import Record
from workers.analyses.stored import Stored
from workers.reporting import words
from workers.reporting.drawable import ALL_SETTINGS, Drawable, drawable, rival
from workers.reporting.figure_data import initial_histograms, leads, training_curves
from workers.reporting.figure_levels import (
    MAX_SIDE_BY_SIDE,
    compared,
    draw_differences,
    draw_figure_of,
    draw_layers,
    draw_leads,
    draw_settings,
)
from workers.reporting.figure_style import Canvas, Form
from workers.reporting.figure_training import draw_initial_weights, draw_training
from workers.searched import Searched

FORMS: tuple[Form, Form] = ("svg", "png")
AXES = {
    "accuracy": ("test_accuracy", "test accuracy at early stop"),
    "early-stop": ("early_stop_step", "early-stop step"),
    "accuracy-end": ("end_test_accuracy", "test accuracy at the end"),
}
_ONE_AT_A_TIME = threading.Lock()
"""Matplotlib's settings belong to the process."""
Draw = Callable[[Canvas], None]


async def make_figure(record: Record, searched: Searched, document: Mapping[str, Any], name: str, form: Form) -> bytes:
    """Draw one figure.

    Args:
        record: Where curves and weights lie.
        searched: The search.
        document: Its report.
        name: The figure's id.
        form: `svg` or `png`.

    Raises:
        ValueError: If the search has no such figure, or what it needs was not kept.
    """
    known = {figure.id: figure for figure in drawable(searched)}
    if name not in known:
        names = ", ".join(known) or "none before the first level is committed"
        raise ValueError(f"the figures of this search are {names}; got {name!r}")
    size, draw = await _prepared(record, searched, document, known[name])
    return await asyncio.to_thread(_drawn, size, draw, form)


def _drawn(size: tuple[float, float], draw: Draw, form: Form) -> bytes:
    with _ONE_AT_A_TIME, Canvas(*size) as canvas:
        draw(canvas)
        return canvas.encode(form)


async def _prepared(
    record: Record, searched: Searched, document: Mapping[str, Any], figure: Drawable
) -> tuple[tuple[float, float], Draw]:
    """Return a figure's size in inches, and what draws it once all it needs has been read."""
    if figure.setting == ALL_SETTINGS:
        settings = document["settings"]
        return (6.2, 4.0), lambda canvas: draw_settings(canvas, document["levels"], settings)
    own = figure.setting
    levels = [level for level in document["levels"] if level["setting"] == own]
    main = words.treatment_key(WINNING_TICKET, searched.label(own))
    if figure.kind in AXES:
        column, label = AXES[figure.kind]
        return (5.6, 3.8), lambda canvas: draw_figure_of(canvas, levels, column, label, main)
    if figure.kind == "difference":
        judged = [level for level in levels if level["paired"]]
        rows = -(-len(compared(judged)) // 3)
        size = (5.6, 3.8) if len(compared(judged)) <= MAX_SIDE_BY_SIDE else (7.2, 0.3 + 1.9 * rows)
        return size, lambda canvas: draw_differences(canvas, judged, searched.spec.rule.margin, main)
    if figure.kind == "layers":
        return (5.6, 3.8), lambda canvas: draw_layers(canvas, [level for level in levels if level["layers"]])
    if figure.kind == "initial-weights":
        layers = await initial_histograms(Stored(record, searched), own)
        return (7.2, 2.6 if len(layers) <= 3 else 4.4), lambda canvas: draw_initial_weights(canvas, layers)
    other = rival(searched, own)
    if figure.kind == "leads":
        found = leads(searched, own, other)
        timed = searched.label(own) != "trained" and not at_fixed_steps(searched.settings[own][0].spec)
        return (7.2, 3.2) if timed else (5.6, 3.4), lambda canvas: draw_leads(canvas, found, main, other, timed=timed)
    panels, measured = await training_curves(record, searched, own, other)
    return (7.2 if len(panels) > 1 else 5.6, 3.4), lambda canvas: draw_training(canvas, panels, measured)
