"""Figures beside the density axis: accuracy during training, and survivors' initial weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from workers.reporting import words
from workers.reporting.figure_style import INK, SEQUENCE, Canvas, thousands

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrainingCurve:
    """Accuracy during the trainings of one treatment at one level.

    Attributes:
        density: Kept share; 1 for the dense network.
        steps: Steps that were evaluated in every replicate, [num_steps].
        accuracies: Accuracy per replicate and step, [num_trainings, num_steps].
    """

    density: float
    steps: Values
    accuracies: Values


@dataclass(frozen=True)
class LayerHistogram:
    """Initial weights of one layer's survivors at several densities.

    Attributes:
        name: The tensor.
        edges: Edges of the bins, [num_bins + 1].
        counts: Survivors per bin, by density, each [num_bins].
    """

    name: str
    edges: Values
    counts: Mapping[float, Values]


def draw_training(canvas: Canvas, panels: Mapping[str, Sequence[TrainingCurve]], measured: str) -> None:
    """Draw one panel per treatment, densities in the same colours in all of them.

    Args:
        canvas: Where to draw.
        panels: Curves by treatment, the densest first.
        measured: What the accuracy is of: test or validation.
    """
    all_axes = canvas.figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    densities = sorted({curve.density for curves in panels.values() for curve in curves}, reverse=True)
    colors = {density: INK if density == 1.0 else SEQUENCE[i % 6] for i, density in enumerate(densities, start=-1)}
    for axes, (name, curves) in zip(all_axes, panels.items(), strict=True):
        for curve in curves:
            _training_curve(axes, curve, colors[curve.density])
        axes.set_title(words.treatment_name(name))
        axes.set_xlabel("training step")
        thousands(axes, "x")
    low, high = _window([curve for curves in panels.values() for curve in curves])
    all_axes[0].set_ylim(low, high)
    all_axes[0].set_ylabel(f"{measured} accuracy")
    most = max(all_axes, key=lambda axes: len(axes.get_lines()))
    canvas.legend_below(most, title="density")


def draw_initial_weights(canvas: Canvas, layers: Sequence[LayerHistogram]) -> None:
    """Draw one panel per layer with a histogram of area 1 for every density."""
    columns = min(3, len(layers))
    rows = -(-len(layers) // columns)
    grid = canvas.figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, layer in zip(grid, layers, strict=False):
        widths = np.diff(layer.edges)
        for i, (density, counts) in enumerate(layer.counts.items(), start=-1):
            if counts.sum() == 0:
                continue
            color = INK if density == 1.0 else SEQUENCE[i % 6]
            heights = counts / counts.sum() / widths
            axes.stairs(heights, layer.edges, color=color, linewidth=1.2, label=_name(density))
        axes.set_title(layer.name.removesuffix(".weight"))
        axes.set_xlim(*_reach(layer))
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
    for axes in grid[len(layers) :]:
        axes.set_axis_off()
    for axes in grid[max(0, len(layers) - columns) : len(layers)]:
        axes.set_xlabel("weight before training")
    canvas.legend_below(grid[0], title="density")


def _training_curve(axes: Axes, curve: TrainingCurve, color: str) -> None:
    name = _name(curve.density)
    width = 1.6 if curve.density == 1.0 else 1.2
    axes.plot(curve.steps, curve.accuracies.mean(0), color=color, linewidth=width, label=name)
    if len(curve.accuracies) > 1:
        low, high = curve.accuracies.min(0), curve.accuracies.max(0)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.1, linewidth=0)


def _name(density: float) -> str:
    return "1 (dense)" if density == 1.0 else f"{density:.3g}"


def _window(curves: Sequence[TrainingCurve]) -> tuple[float, float]:
    """Return limits that show where the curves differ: from what the worst reaches early, to the best."""
    means = [curve.accuracies.mean(0) for curve in curves]
    early = [mean[min(len(mean) - 1, max(1, len(mean) // 12))] for mean in means]
    best = max(float(curve.accuracies.max()) for curve in curves)
    low = min(float(np.median(early)), min(float(mean[-1]) for mean in means))
    room = max(best - low, 1e-3)
    return low - 0.12 * room, best + 0.06 * room


def _reach(layer: LayerHistogram) -> tuple[float, float]:
    """Return the range in which all but a thousandth of every set lies, symmetric around zero."""
    centres = np.abs((layer.edges[:-1] + layer.edges[1:]) / 2)
    order = np.argsort(centres, kind="stable")
    reaches = []
    for counts in layer.counts.values():
        inside = np.cumsum(counts[order]) / max(1.0, float(counts.sum()))
        reaches.append(centres[order][min(int(np.searchsorted(inside, 0.999)), len(order) - 1)])
    reach = float(max(reaches) + np.diff(layer.edges)[0])
    return -reach, reach
