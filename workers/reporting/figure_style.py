"""How every figure looks: colours that all eyes tell apart, the density axis, and bytes that never differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lth_core.expansion import WINNING_TICKET
from workers.reporting import words

Form = Literal["svg", "png"]
Look = tuple[str, str, Any]
"""Colour, marker and dash."""

INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#fefefe"
"""Text, lesser text, grid and background: each a colour that nothing else has, so that a page can replace them."""
# Okabe & Ito's colours, told apart by every kind of colour vision; markers and dashes say the same again.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
LOOKS: dict[str, Look] = {
    WINNING_TICKET: (BLUE, "o", "-"),
    words.TRAINED_NETWORK: (BLUE, "o", "-"),
    words.DENSE: ("#6e7781", "D", (0, (1, 1.5))),
    "random_reinit": (ORANGE, "s", "--"),
    "shuffled_mask": (GREEN, "^", "-."),
    "random_mask": (PURPLE, "D", (0, (1, 1))),
}
OTHERS: tuple[tuple[str, str], ...] = ((AMBER, "v"), (SKY, "P"), ("#8a6d3b", "X"), ("#a03050", "*"), ("#5a9f00", "<"))
DASHES: tuple[Any, ...] = ("--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
SEQUENCE = (BLUE, GREEN, AMBER, ORANGE, PURPLE, SKY)
"""Colours of things in an order, such as densities from large to small; the dense network has the ink's."""
TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)

_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "lth",
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}


def looks_of(treatments: Sequence[str]) -> dict[str, Look]:
    """Give every treatment of a search a look, the same in all its figures."""
    found: dict[str, Look] = {}
    for name in treatments:
        num = sum(other not in LOOKS for other in found)
        (color, _), (_, marker) = OTHERS[num % len(OTHERS)], OTHERS[(num + num // len(OTHERS)) % len(OTHERS)]
        found[name] = LOOKS.get(name) or (color, marker, DASHES[num % len(DASHES)])
    return found


class Canvas:
    """One figure being drawn, in the house's style; use it as a context."""

    def __init__(self, width: float = 5.6, height: float = 3.7) -> None:
        self._context = rc_context()
        self._size = (width, height)

    def __enter__(self) -> Canvas:
        self._context.__enter__()
        rcdefaults()  # whatever file of settings this machine has
        rcParams.update(_SETTINGS)
        self.figure = Figure(figsize=self._size, layout="constrained")
        FigureCanvasAgg(self.figure)
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def legend_below(self, axes: Axes, title: str | None = None) -> None:
        """Put the legend of one panel under all of them, in as many rows as it needs; the figure grows with them."""
        handles, names = axes.get_legend_handles_labels()
        if not handles:
            return
        if title is not None:
            handles, names = [Line2D([], [], linestyle=""), *handles], [title, *names]
        width, height = self._size
        widths = [0.56 + 0.06 * len(name) for name in names]
        fitting = len(names) if sum(widths) <= width else max(1, int(width / max(widths)))
        rows = -(-len(names) // fitting)
        self.figure.set_size_inches(width, height + 0.18 * (rows - 1))
        self.figure.legend(handles, names, loc="outside lower center", ncols=-(-len(names) // rows))

    def encode(self, form: Form) -> bytes:
        """Return the figure's bytes, the same for the same figure: no dates, no random names."""
        out = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        self.figure.savefig(out, format=form, dpi=200, metadata=metadata)
        return out.getvalue()


def density_axis(axes: Axes, lowest: float) -> None:
    """Make the horizontal axis the density: logarithmic, falling to the right, plain numbers."""
    axes.set_xscale("log")
    axes.set_xlim(1.08, lowest / 1.08)
    _plain_ticks(axes, "x", lowest)
    axes.set_xlabel("density (share of weights kept)")


def density_scale(axes: Axes, lowest: float) -> None:
    """Make the vertical axis a density too."""
    axes.set_yscale("log")
    axes.set_ylim(lowest / 1.15, 1.12)
    _plain_ticks(axes, "y", lowest)


def thousands(axes: Axes, which: Literal["x", "y"]) -> None:
    """Write the numbers of an axis with separators."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:,.0f}"))


def _plain_ticks(axes: Axes, which: Literal["x", "y"], lowest: float) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator([tick for tick in TICKS if tick >= lowest / 1.05]))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
