"""Where a mask keeps its weights: the density of every layer, next to that of the whole network.

For layer l with n_l kept of N_l weights: density d_l = n_l / N_l, relative density d_l / d with d = sum n / sum N,
and its share of the survivors n_l / sum n.

References:
    Frankle & Carbin 2019, arXiv:1803.03635, section 4 and appendix I: with one ranking over all layers, which
    layers keep their weights is a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerDensity:
    """One layer of one mask.

    Attributes:
        name: The tensor's name.
        kind: conv, fc or output.
        kept: Its kept weights.
        total: Its weights.
        density: kept / total.
        relative: Its density divided by the network's; None if the network keeps nothing.
        share: Share of the network's survivors that lie in it; None likewise.
    """

    name: str
    kind: str
    kept: int
    total: int
    density: float
    relative: float | None
    share: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the layer as a JSON object."""
        return asdict(self)


def layer_densities(layers: Sequence[Mapping[str, Any]]) -> list[LayerDensity]:
    """Return the densities of all layers.

    Args:
        layers: `name`, `kind`, `kept` and `total` of every prunable tensor, as a manifest's core lists them.
    """
    kept, total = sum(layer["kept"] for layer in layers), sum(layer["total"] for layer in layers)
    found = []
    for layer in layers:
        density = layer["kept"] / layer["total"]
        relative = density / (kept / total) if kept else None
        share = layer["kept"] / kept if kept else None
        own = (layer["name"], layer["kind"], layer["kept"], layer["total"])
        found.append(LayerDensity(*own, density, relative, share))
    return found
