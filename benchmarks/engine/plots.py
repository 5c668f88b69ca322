"""Pictures of a result: rate against density, a lineage's time by level, rate against the size of a pack."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.summary import Figures, figures

SIZE = re.compile(r"^(?P<family>.*) G=(?P<size>\d+)$")


def draw(result: Mapping[str, Any], folder: Path, stem: str) -> list[Path]:
    """Draw all pictures that a result has figures for; return their files."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for experiment in result["experiments"]:
        found = figures(experiment)
        name = experiment["name"].replace(" ", "-")
        for kind, picture in (("density", _by_density), ("lineage", _by_level), ("packs", _by_pack)):
            path = folder / f"{stem}-{name}-{kind}.png"
            if picture(experiment, found, path):
                paths.append(path)
    return paths


def _by_density(experiment: Mapping[str, Any], found: Figures, path: Path) -> bool:
    """Steps per second against density, both logarithmic, with the range over rounds."""
    if len(experiment["levels"]) < 3:
        return False
    figure, axes = _sheet(f"{experiment['name']}: steps per second of one replicate, training only")
    for number, name in enumerate(found.names()):
        points = []
        for level in experiment["levels"]:
            cost = found.step(name, level, cadence=False)
            if cost is not None:
                points.append((experiment["density"][str(level)], cost))
        if not points:
            continue
        x = [density for density, _ in points]
        y = [1 / cost.median for _, cost in points]
        below = [1 / cost.median - 1 / cost.highest for _, cost in points]
        above = [1 / cost.lowest - 1 / cost.median for _, cost in points]
        axes.errorbar(x, y, yerr=[below, above], label=name, capsize=2, markersize=4, **_look(number))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.set_xlabel("density (share of weights kept)")
    axes.set_ylabel("steps per second")
    return _keep(figure, axes, path)


def _by_level(experiment: Mapping[str, Any], found: Figures, path: Path) -> bool:
    """One bar per contestant, its levels stacked: with evaluation where it was measured."""
    cadence = any(key[1] for key in found.lineages)
    names = [name for name in found.names() if (name, cadence) in found.lineages]
    if not names:
        return False
    import matplotlib.pyplot as plt
    from matplotlib.colors import Normalize

    ordered = sorted(names, key=lambda name: -_median_sum(found, name, cadence))
    title = "with evaluation" if cadence else "training only"
    figure, axes = _sheet(f"{experiment['name']}: seconds of a lineage by level, {title}")
    colours = plt.get_cmap("viridis")
    levels = experiment["levels"]
    longest = _median_sum(found, ordered[0], cadence)
    for row, name in enumerate(ordered):
        rounds = sorted(found.lineages[name, cadence], key=sum)
        middle, left = rounds[len(rounds) // 2], 0.0
        for i, seconds in enumerate(middle):
            axes.barh(row, seconds, left=left, color=colours(i / max(1, len(levels) - 1)), edgecolor="none")
            left += seconds
        axes.text(left + 0.005 * longest, row, f"{left:,.0f} s", va="center", fontsize=8)
    axes.set_yticks(range(len(ordered)), ordered, fontsize=8)
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel(f"CPU seconds per replicate, {experiment['steps_per_level']:,} steps a level")
    bar = plt.cm.ScalarMappable(cmap=colours, norm=Normalize(levels[0], levels[-1]))
    figure.colorbar(bar, ax=axes, label="level (0 is dense)")
    return _keep(figure, axes, path, legend=False)


def _by_pack(experiment: Mapping[str, Any], found: Figures, path: Path) -> bool:
    """Steps per second summed over replicates against the size of a pack, at the dense level."""
    level = experiment["levels"][0]
    families: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    for name in found.names():
        match, cost = SIZE.match(name), found.step(name, level, cadence=False)
        if match and cost is not None:
            point = (int(match["size"]), 1 / cost.median, 1 / cost.highest, 1 / cost.lowest)
            families[match["family"]].append(point)
    if not any(len(points) > 1 for points in families.values()):
        return False
    figure, axes = _sheet(f"{experiment['name']}: steps per second, summed over the pack, dense level")
    for number, (family, points) in enumerate(families.items()):
        points.sort()
        x, y, low, high = zip(*points, strict=True)
        spread = [[a - b for a, b in zip(y, low, strict=True)], [b - a for a, b in zip(y, high, strict=True)]]
        axes.errorbar(x, y, yerr=spread, label=family, capsize=2, markersize=4, **_look(number))
    for number, name in enumerate(("ours", "autograd", "autograd graph"), start=len(families)):
        cost = found.step(name, level, cadence=False)
        if cost is not None:
            axes.axhline(1 / cost.median, label=f"{name}, one replicate", **{**_look(number), "marker": ""})
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("replicates in the pack")
    axes.set_ylabel("steps per second")
    sizes = sorted({point[0] for points in families.values() for point in points})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    return _keep(figure, axes, path)


def _median_sum(found: Figures, name: str, cadence: bool) -> float:
    cost = found.lineage(name, cadence=cadence)
    assert cost is not None
    return cost.median


def _look(number: int) -> dict[str, Any]:
    return {
        "color": f"C{number % 10}",
        "linestyle": ("-", "--", ":")[number // 10 % 3],
        "marker": "osv^Dx*P<>"[number % 10],
        "linewidth": 1.2,
    }


def _sheet(title: str) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.5))
    axes.set_title(title, fontsize=11)
    axes.grid(visible=True, which="major", alpha=0.3)
    return figure, axes


def _keep(figure: Any, axes: Any, path: Path, *, legend: bool = True) -> bool:
    import matplotlib.pyplot as plt

    if legend:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return True
