"""Pictures of what the control plane sustains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

SIZE = (9.0, 4.5)


def time_line(numbers: Mapping[str, Any], file: Path) -> Path:
    """Draw nodes, engines, levels in slots and levels that wait against time; return the file."""
    points = numbers["time_line"]
    at_s = [point["at_s"] for point in points]
    figure, (above, below) = plt.subplots(2, 1, figsize=SIZE, sharex=True, layout="constrained")
    for name, label in (("nodes", "worker nodes"), ("engines", "engines"), ("slots_taken", "levels in training")):
        above.step(at_s, [point[name] for point in points], where="post", label=label)
    above.set_ylabel("number")
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    below.step(at_s, [point["waiting"] for point in points], where="post", color="tab:red", label="levels waiting")
    below.set_ylabel("number")
    below.set_xlabel("seconds since both searches were submitted")
    below.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    for axes in (above, below):
        axes.axvline(0, color="gray", linewidth=0.8)
        axes.axvline(numbers["ended_after_s"], color="gray", linewidth=0.8, linestyle="--")
        axes.grid(alpha=0.3)
    above.set_title("A cluster that begins and ends without workers (dashed: both searches have ended)")
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def scaling(rows: list[dict[str, Any]], file: Path) -> Path:
    """Draw levels per second against nodes, for a fixed amount of work and a growing one; return the file."""
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for kind, marker in (("strong", "o"), ("weak", "s")):
        chosen = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["nodes"])
        if not chosen:
            continue
        nodes = [row["nodes"] for row in chosen]
        axes.plot(nodes, [row["levels_per_s"] for row in chosen], marker=marker, label=f"{kind}: measured")
        ideal = [row["lineages"] * row["levels"] / row["ideal_s"] for row in chosen]
        axes.plot(nodes, ideal, marker=marker, linestyle=":", alpha=0.6, label=f"{kind}: engines alone")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("nodes of one machine with two cores")
    axes.set_ylabel("levels per second")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file
