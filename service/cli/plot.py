"""The figure of a search: accuracy and early-stop step against density, tickets against controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.exits import UsageError
from service.cli.results import WINNING, LevelPoint, Stat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".pdf", ".svg")
# Okabe & Ito's colours, told apart by every kind of colour vision; markers and dashes say the same again.
STYLES: dict[str, tuple[str, str, str]] = {
    WINNING: ("#0072B2", "o", "-"),
    "random_reinit": ("#D55E00", "s", "--"),
    "shuffled_mask": ("#009E73", "^", "-."),
    "random_mask": ("#CC79A7", "D", ":"),
}
OTHERS: tuple[tuple[str, str, str], ...] = (
    ("#E69F00", "v", "--"),
    ("#56B4E9", "P", "-."),
    ("#000000", "X", ":"),
    ("#F0E442", "*", "-"),
)
TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def plot_search(levels_by_treatment: Mapping[str, Sequence[LevelPoint]], path: Path, title: str = "") -> Path:
    """Draw both panels and write them to `path`.

    Args:
        levels_by_treatment: The points of every curve, by its name in the legend.
        path: File to write; its extension says the format.
        title: Above both panels.

    Returns:
        The file.

    Raises:
        UsageError: If the extension is no known format, there is nothing to draw, or matplotlib is missing.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: the extension must be one of {', '.join(FORMATS)}")
    if not any(levels_by_treatment.values()):
        raise UsageError("there is no committed level to draw yet")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("drawing needs matplotlib: pip install 'lottery-ticket-search[plot]'") from None
    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "lth"}):
        figure = Figure(figsize=(10.5, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _panel(left, levels_by_treatment, lambda p: p.test_accuracy, "test accuracy at early stop")
        _panel(right, levels_by_treatment, lambda p: p.early_stop_step, "early-stop step", hollow=True)
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
        figure.suptitle(title or "lottery ticket search", fontsize=12)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    return path


def style_of(name: str, num_before: int) -> tuple[str, str, str]:
    """Colour, marker and dash of a curve; `num_before` counts the curves of unknown treatments before it."""
    return STYLES.get(name) or OTHERS[num_before % len(OTHERS)]


@dataclass(frozen=True)
class _Mark:
    density: float
    stat: Stat
    converged: bool


def _panel(
    axes: Axes,
    curves: Mapping[str, Sequence[LevelPoint]],
    measure: Callable[[LevelPoint], float | None],
    label: str,
    *,
    hollow: bool = False,
) -> None:
    """One panel; with `hollow`, means over runs that had not converged are drawn hollow."""
    num_others = 0
    for name, points in sorted(curves.items(), key=lambda item: (not item[0].startswith(WINNING), item[0])):
        color, marker, dash = style_of(name, num_others)
        num_others += name not in STYLES
        marks = _marks(points, measure)
        if not marks:
            continue
        x = [mark.density for mark in marks]
        look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4.5, "zorder": 3}
        width = 2.0 if name.startswith(WINNING) else 1.5
        axes.plot(x, [m.stat.mean for m in marks], label=_legend(name), linewidth=width, linestyle=dash, **look)
        low, high = [m.stat.low for m in marks], [m.stat.high for m in marks]
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        unsure = [mark for mark in marks if hollow and not mark.converged]
        if unsure:
            places = [mark.density for mark in unsure], [mark.stat.mean for mark in unsure]
            axes.plot(*places, linestyle="", markerfacecolor="white", **look)
            axes.set_title("hollow: a run still improved at its last evaluation", fontsize=8.5, color="#555555")
    _dense_line(axes, curves, measure)
    _density_axis(axes, min(point.density for points in curves.values() for point in points))
    axes.set_ylabel(label)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _marks(points: Sequence[LevelPoint], measure: Callable[[LevelPoint], float | None]) -> list[_Mark]:
    """Density and statistics of one curve, level by level."""
    marks = []
    for level in sorted({point.level for point in points}):
        here = [point for point in points if point.level == level]
        stat = Stat.over(measure(point) for point in here)
        if stat:
            density = sum(point.density for point in here) / len(here)
            marks.append(_Mark(density, stat, all(point.converged for point in here)))
    return marks


def _dense_line(
    axes: Axes, curves: Mapping[str, Sequence[LevelPoint]], measure: Callable[[LevelPoint], float | None]
) -> None:
    dense = Stat.over(measure(point) for points in curves.values() for point in points if point.level == 0)
    if dense:
        axes.axhline(dense.mean, color="#888888", linewidth=1.0, linestyle=(0, (1, 2)), label="dense network", zorder=1)


def _density_axis(axes: Axes, lowest: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(1.06, lowest / 1.06)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick >= lowest / 1.3]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("density (share of weights kept)")


def _legend(name: str) -> str:
    return name.replace("_", " ")
