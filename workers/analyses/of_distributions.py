"""Histograms and moments of survivors' weights, before and after training, over bins that all levels share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lth_core.analyses.distributions import Edges, histogram, moments, shared_edges
from lth_core.expansion import PlannedLineage
from lth_core.masks import Mask
from lth_core.weights import Weights
from workers.analyses.findings import Findings, place
from workers.analyses.stored import Stored

Which = Literal["initial", "final"]
BOTH: tuple[Which, Which] = ("initial", "final")
DEFINITIONS = {
    "initial": "weights of the level's survivors before training: W_k of the dense network for a ticket, its own "
    "start for a control",
    "final": "the same weights at the end of the level's training",
    "edges": "equal bins over [-r, r], r the largest magnitude of the tensor at any level and replicate of its setting",
    "counts": "survivors per bin, added up over the replicates",
    "moments": "mean, population standard deviation, standardised third and fourth moments",
    "bimodality": "(skewness^2 + 1) / kurtosis: 1/3 for a normal distribution, 5/9 for a uniform one, 1 for two points",
}
SOURCES = ("Frankle & Carbin 2019, arXiv:1803.03635, appendix F.1", "Pearson 1921, Biometrika 13")


async def distributions_of_search(stored: Stored) -> Findings:
    """Return histograms and moments of every level of every setting, replicates added up."""
    found = Findings(DEFINITIONS, SOURCES, {"edges": [], "levels": []})
    for lineages in stored.searched.settings.values():
        chains = [own for own in lineages if own.source_key is None]
        places = [(own, level) for own in chains for level in stored.searched.levels(own)]
        await _setting(stored, places, found)
    return found.checked()


async def distributions_of_ticket(stored: Stored, lineage: PlannedLineage, level: int) -> Findings:
    """Return histograms and moments of one ticket."""
    found = Findings(DEFINITIONS, SOURCES, {"edges": [], "levels": []})
    await _setting(stored, [(lineage, level)], found)
    return found.checked()


async def _setting(stored: Stored, places: Sequence[tuple[PlannedLineage, int]], found: Findings) -> None:
    """Go over a setting twice: for the largest magnitudes, which make the bins, and for the counts."""
    reach: dict[Which, dict[str, float]] = {"initial": {}, "final": {}}
    readable: list[tuple[Which, PlannedLineage, int]] = []
    for which in BOTH:
        for own, level in places:
            with found.attempt(**place(own, level), what=f"{which} weights"):
                weights, mask = await _weights(stored, which, own, level), await stored.mask(own, level)
                for name, largest in (await asyncio.to_thread(_largest, weights, mask)).items():
                    reach[which][name] = max(largest, reach[which].get(name, 0.0))
                readable.append((which, own, level))
    edges = {which: {n: shared_edges([r]) for n, r in found_reach.items()} for which, found_reach in reach.items()}
    for which, own, level in readable:
        weights, mask = await _weights(stored, which, own, level), await stored.mask(own, level)
        layers = await asyncio.to_thread(_histograms, weights, mask, edges[which])
        _add(_row(found.results["levels"], stored, own, level), own.spec.replicate, which, layers)
    if places:
        setting = places[0][0].setting_index
        for which, own_edges in edges.items():
            for name, values in own_edges.items():
                found.results["edges"].append(
                    {"setting": setting, "name": name, "weights": which, "edges": values.tolist()}
                )


async def _weights(stored: Stored, which: Which, lineage: PlannedLineage, level: int) -> Weights:
    if which == "initial":
        return await stored.initial(lineage, level)
    return await stored.final(lineage, level)


def _largest(weights: Weights, mask: Mask) -> dict[str, float]:
    return {name: float(np.abs(weights[name][kept]).max(initial=0.0)) for name, kept in mask.items()}


def _histograms(weights: Weights, mask: Mask, edges: dict[str, Edges]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, kept in mask.items():
        values = weights[name][kept]
        shape = moments(values)
        counts = histogram(values, edges[name]).tolist()
        found[name] = {"counts": counts, "moments": None if shape is None else shape.as_json()}
    return found


def _row(rows: list[dict[str, Any]], stored: Stored, lineage: PlannedLineage, level: int) -> dict[str, Any]:
    """Return the row of a level, the replicates of a ticket's chain sharing one."""
    for row in rows:
        if (row["setting"], row["level"]) == (lineage.setting_index, level):
            return row
    density = stored.searched.density(lineage.setting_index, level)
    names = [tensor.name for tensor in stored.tensors if tensor.prunable]
    layers = [{"name": name, "initial": None, "final": None} for name in names]
    rows.append({"setting": lineage.setting_index, "level": level, "density": density, "layers": layers})
    return rows[-1]


def _add(row: dict[str, Any], replicate: int, which: Which, layers: dict[str, dict[str, Any]]) -> None:
    for layer in row["layers"]:
        own = layers[layer["name"]]
        if layer[which] is None:
            layer[which] = {"counts": [0] * len(own["counts"]), "moments": []}
        layer[which]["counts"] = [a + b for a, b in zip(layer[which]["counts"], own["counts"], strict=True)]
        layer[which]["moments"].append({"replicate": replicate, **(own["moments"] or {"n": 0})})
