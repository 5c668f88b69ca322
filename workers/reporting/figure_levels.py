"""Figures against density: accuracies, early-stop steps, paired differences, leads and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from workers.reporting import words
from workers.reporting.figure_style import (
    BLUE,
    DASHES,
    FAINT,
    GREEN,
    INK,
    SEQUENCE,
    Canvas,
    Look,
    density_axis,
    density_scale,
    looks_of,
    thousands,
)

Level = Mapping[str, Any]
MAX_LAYERS_WITH_MARKERS = 8
NUM_NAMED_LAYERS = 6
"""Of more layers than have markers only so many are named, the first and the last among them."""
MAX_SIDE_BY_SIDE = 4
"""Comparisons in one panel; more get a panel each."""
DOTS = (0, (1, 2))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")


def draw_figure_of(canvas: Canvas, levels: Sequence[Level], figure: str, label: str, main: str) -> None:
    """Draw one figure of all treatments against density.

    Args:
        canvas: Where to draw.
        levels: The report's levels of one setting.
        figure: Which figure of a treatment, such as `test_accuracy`.
        label: What the vertical axis says.
        main: The treatment that the search is about; its curve begins at the dense network.
    """
    axes = canvas.figure.subplots()
    names = sorted(_treatments(levels), key=lambda name: name != main)
    looks = looks_of(names)
    dense = next((level["treatments"].get(words.DENSE) for level in levels if level["level"] == 0), None)
    if dense is not None:
        style: dict[str, Any] = {"color": looks[words.DENSE][0], "linewidth": 1.2, "linestyle": DOTS, "zorder": 1}
        axes.axhline(dense[figure]["mean"], label=words.treatment_name(words.DENSE), **style)
    alpha = 0.16 if len(names) <= 5 else 0.07
    for name in names:
        marks = [(level["density"], level["treatments"][name]) for level in levels if name in level["treatments"]]
        if name == main and dense is not None:
            marks = [(1.0, dense), *marks]
        if name != words.DENSE:
            hollow = figure == "early_stop_step"
            own = 0.16 if name == main else alpha
            _curve(axes, marks, figure, looks[name], words.treatment_name(name), hollow=hollow, alpha=own)
    density_axis(axes, min(level["density"] for level in levels))
    axes.set_ylabel(label)
    if figure == "early_stop_step":
        thousands(axes, "y")
        axes.set_ylim(bottom=0)
    canvas.legend_below(axes)


def draw_settings(canvas: Canvas, levels: Sequence[Level], settings: Sequence[Mapping[str, Any]]) -> None:
    """Draw the main treatment of every setting against density."""
    axes = canvas.figure.subplots()
    for i, setting in enumerate(settings):
        own = [level for level in levels if level["setting"] == setting["setting"]]
        names = (words.DENSE, setting["main_treatment"])
        found = [(one["density"], one["treatments"].get(name)) for one in own for name in names]
        marks = [(density, figures) for density, figures in found if figures is not None]
        color, marker = SEQUENCE[i % len(SEQUENCE)], MARKERS[i % len(MARKERS)]
        look = (color, marker, ("-", *DASHES)[i // len(SEQUENCE) % 5])
        _curve(axes, marks, "test_accuracy", look, setting["name"])
    density_axis(axes, min(level["density"] for level in levels))
    axes.set_ylabel("test accuracy at early stop")
    canvas.legend_below(axes)


def draw_differences(canvas: Canvas, levels: Sequence[Level], margin: float, main: str) -> None:
    """Draw the paired differences with their bounds, few comparisons side by side, many in panels of their own."""
    names = compared(levels)
    looks = looks_of([main, *names])
    split = len(names) > MAX_SIDE_BY_SIDE
    columns = min(3, len(names)) if split else 1
    grid = canvas.figure.subplots(-(-len(names) // columns) if split else 1, columns, squeeze=False, sharey=True)
    panels = list(grid.reshape(-1))
    for i, name in enumerate(names):
        axes = panels[i] if split else panels[0]
        aside = 1.0 if split else 1.0 + 0.035 * (i - (len(names) - 1) / 2)
        _difference(axes, levels, name, looks[name], aside)
        if name == words.DENSE:
            axes.axhline(-100 * margin, color=looks[name][0], linewidth=1.0, linestyle=DOTS, zorder=1)
        if split:
            axes.set_title(f"minus {words.treatment_name(name)}")
    for axes in panels[: len(names) if split else 1]:
        axes.axhline(0.0, color=FAINT, linewidth=0.9, zorder=1)
        density_axis(axes, min(level["density"] for level in levels))
        axes.set_xlabel("density" if split else "density (share of weights kept)")
    for axes in panels[len(names) if split else 1 :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("difference (pp)" if split else f"{words.treatment_name(main)} − other (pp)")
    if not split:
        canvas.legend_below(panels[0])


def compared(levels: Sequence[Level]) -> list[str]:
    """Return whom the main treatment is compared with at some level."""
    return list(dict.fromkeys(name for level in levels for name in level["paired"]))


def draw_leads(canvas: Canvas, leads: Sequence[Mapping[str, Any]], main: str, rival: str, *, timed: bool) -> None:
    """Draw the lead of every replicate over one rival.

    Args:
        canvas: Where to draw.
        leads: `density`, `accuracy` and `speed` (the rival's early-stop step divided by the own one) of each pair.
        main: The treatment that leads or trails.
        rival: Whom it is compared with.
        timed: Whether early-stop steps mean anything in this search.
    """
    panels = canvas.figure.subplots(1, 2 if timed else 1, squeeze=False)[0]
    _dots(panels[0], leads, lambda lead: 100 * lead["accuracy"], even=0.0, color=BLUE)
    panels[0].set_ylabel("lead in test accuracy (pp)")
    if timed:
        _dots(panels[1], leads, lambda lead: lead["speed"], even=1.0, color=GREEN)
        panels[1].set_ylabel("early stop, times earlier")
    canvas.figure.suptitle(f"{words.treatment_name(main)} against {words.treatment_name(rival)}", fontsize=9, color=INK)


def draw_layers(canvas: Canvas, levels: Sequence[Level]) -> None:
    """Draw the density of every layer against that of the network."""
    axes = canvas.figure.subplots()
    names = [layer["name"] for layer in levels[0]["layers"]]
    few = len(names) <= MAX_LAYERS_WITH_MARKERS
    shares = [layer["kept"]["mean"] / layer["total"] for level in levels for layer in level["layers"]]
    lowest = max(min(share for share in shares if share > 0), 1e-4)
    network = [level["density"] for level in levels]
    axes.plot(network, network, color=FAINT, linewidth=1.0, linestyle=DOTS, zorder=1, label="whole network")
    named = {round((len(names) - 1) * i / (NUM_NAMED_LAYERS - 1)) for i in range(NUM_NAMED_LAYERS)}
    for i, name in enumerate(names):
        own = [level["layers"][i]["kept"]["mean"] / level["layers"][i]["total"] for level in levels]
        color = SEQUENCE[i % len(SEQUENCE)] if few else _shade(i, len(names))
        style: dict[str, Any] = {"linewidth": 1.0}
        if few:  # later layers thinner and dashed, so that one on top of another shows both
            style = {"marker": MARKERS[i % len(MARKERS)], "linewidth": max(1.0, 2.8 - 0.7 * i)}
            style.update(markersize=max(3.0, 6.5 - 1.2 * i), linestyle=("-", *DASHES)[i % (1 + len(DASHES))])
        label = name.removesuffix(".weight") if few or i in named else None
        axes.plot(network, own, color=color, label=label, **style)
    density_axis(axes, min(network))
    density_scale(axes, lowest)
    axes.set_xlabel("density of the network")
    axes.set_ylabel("density of the layer")
    canvas.legend_below(axes)


def _curve(
    axes: Axes,
    marks: Sequence[tuple[float, Mapping[str, Any]]],
    figure: str,
    look: Look,
    label: str,
    *,
    hollow: bool = False,
    alpha: float = 0.16,
) -> None:
    color, marker, dash = look
    x = [density for density, _ in marks]
    style: dict[str, Any] = {"color": color, "marker": marker, "zorder": 3}
    axes.plot(x, [own[figure]["mean"] for _, own in marks], linestyle=dash, label=label, **style)
    low, high = [own[figure]["min"] for _, own in marks], [own[figure]["max"] for _, own in marks]
    axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0)
    late = [(density, own[figure]["mean"]) for density, own in marks if own["num_converged"] < own["n"]]
    if hollow and late:
        axes.plot(*zip(*late, strict=True), linestyle="", markerfacecolor="#ffffff", **style)


def _difference(axes: Axes, levels: Sequence[Level], name: str, look: Look, aside: float) -> None:
    having = [level for level in levels if name in level["paired"]]
    found = [level["paired"][name]["accuracy_difference"] for level in having]
    below = [0.0 if one["lower"] is None else 100 * (one["mean"] - one["lower"]) for one in found]
    above = [0.0 if one["upper"] is None else 100 * (one["upper"] - one["mean"]) for one in found]
    color, marker, dash = look
    style: dict[str, Any] = {"color": color, "marker": marker, "linestyle": dash, "linewidth": 1.2}
    axes.errorbar(
        [level["density"] * aside for level in having],
        [100 * one["mean"] for one in found],
        yerr=[below, above],
        elinewidth=1.0,
        capsize=2.0,
        label=f"minus {words.treatment_name(name)}",
        **style,
    )


def _dots(
    axes: Axes,
    leads: Sequence[Mapping[str, Any]],
    measure: Callable[[Mapping[str, Any]], float | None],
    *,
    even: float,
    color: str,
) -> None:
    """Draw one dot per replicate, their means, and above how many are ahead of an even race."""
    measured = [(lead["density"], value) for lead in leads if (value := measure(lead)) is not None]
    densities = sorted({density for density, _ in measured}, reverse=True)
    groups = [[value for own, value in measured if own == density] for density in densities]
    if not measured:
        axes.text(0.5, 0.5, "no training had stopped improving", transform=axes.transAxes, ha="center", color=FAINT)
        return
    axes.axhline(even, color=FAINT, linewidth=0.9, zorder=1)
    axes.plot(densities, [sum(own) / len(own) for own in groups], color=color, linewidth=1.2, zorder=2)
    every = [(density, value) for density, own in zip(densities, groups, strict=True) for value in own]
    axes.plot(*zip(*every, strict=True), linestyle="", marker="o", markersize=3.0, color=color, alpha=0.6, zorder=3)
    density_axis(axes, min(densities))
    for i, (density, own) in enumerate(zip(densities, groups, strict=True)):
        ahead = f"{sum(value > even for value in own)}/{len(own)}"
        if len(densities) <= 10 or i % 2 == 0:
            axes.text(density, 1.01, ahead, transform=axes.get_xaxis_transform(), ha="center", fontsize=6, color=FAINT)


def _treatments(levels: Sequence[Level]) -> list[str]:
    return list(dict.fromkeys(name for level in levels for name in level["treatments"]))


def _shade(i: int, num: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.05 + 0.85 * i / max(1, num - 1))
