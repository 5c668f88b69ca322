"""How much two masks of one network have in common, next to what chance would give.

With A and B the kept sets of two masks among N weights, a = |A|/N and b = |B|/N:
containment = |A & B| / |A|, Jaccard = |A & B| / |A | B|, Hamming = share of the weights on which they differ.
Two independent masks of these densities share |A| |B| / N weights on average; the measures at that intersection are
what `chance` states: containment b, Jaccard ab / (a + b - ab), Hamming a + b - 2ab.

References:
    Jaccard 1912; the comparison with independent masks of equal densities is elementary probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core.masks import Mask


@dataclass(frozen=True)
class Overlap:
    """Two masks over the same weights, counted.

    Attributes:
        total: Weights in all, N.
        kept_a: Kept by the first, |A|.
        kept_b: Kept by the second, |B|.
        kept_both: Kept by both; a float where it is an expectation.
    """

    total: int
    kept_a: int
    kept_b: int
    kept_both: float

    @property
    def containment(self) -> float | None:
        """Share of the first mask's weights that the second keeps too; None if the first keeps nothing."""
        return self.kept_both / self.kept_a if self.kept_a else None

    @property
    def jaccard(self) -> float | None:
        """Weights kept by both among those kept by either; None if both keep nothing."""
        either = self.kept_a + self.kept_b - self.kept_both
        return self.kept_both / either if either else None

    @property
    def hamming(self) -> float | None:
        """Share of all weights that one mask keeps and the other does not; None for an empty network."""
        return (self.kept_a + self.kept_b - 2 * self.kept_both) / self.total if self.total else None

    @property
    def by_chance(self) -> Overlap:
        """The same counts with the intersection of independent masks, |A| |B| / N."""
        expected = self.kept_a * self.kept_b / self.total if self.total else 0.0
        return Overlap(self.total, self.kept_a, self.kept_b, expected)

    def measures(self) -> dict[str, float | None]:
        """Return containment, Jaccard and Hamming."""
        return {"containment": self.containment, "jaccard": self.jaccard, "hamming": self.hamming}

    def as_json(self) -> dict[str, Any]:
        """Return counts, measures and the measures of independent masks."""
        counts = {"total": self.total, "kept_a": self.kept_a, "kept_b": self.kept_b, "kept_both": self.kept_both}
        return {**counts, **self.measures(), "chance": self.by_chance.measures()}


@dataclass(frozen=True)
class MaskOverlap:
    """Two masks of one network, per layer and in total.

    Attributes:
        layers: Each prunable tensor alone, in state_dict order.
    """

    layers: dict[str, Overlap]

    @property
    def total(self) -> Overlap:
        """All layers as one set of weights."""
        return _joined(self.layers)

    @property
    def chance_within_layers(self) -> Overlap:
        """What masks that are independent inside every layer, but keep each layer's counts, share in total.

        Layers of different densities make it larger than the chance of the total densities alone.
        """
        return _joined({name: layer.by_chance for name, layer in self.layers.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the total, with both notions of chance, and the layers."""
        total = {**self.total.as_json(), "chance_within_layers": self.chance_within_layers.measures()}
        return {"total": total, "layers": [{"name": n, **layer.as_json()} for n, layer in self.layers.items()]}


def mask_overlap(a: Mask, b: Mask) -> MaskOverlap:
    """Count what two masks share.

    Args:
        a: The first mask, one boolean array per prunable tensor.
        b: The second, over the same tensors.

    Raises:
        ValueError: If the masks do not cover the same tensors in the same shapes.
    """
    if _shapes(a) != _shapes(b):
        raise ValueError(f"masks must cover the same tensors, got {_shapes(a)} and {_shapes(b)}")
    return MaskOverlap({name: _overlap(a[name], b[name]) for name in a})


def _overlap(a: np.ndarray[Any, np.dtype[np.bool_]], b: np.ndarray[Any, np.dtype[np.bool_]]) -> Overlap:
    return Overlap(a.size, int(np.count_nonzero(a)), int(np.count_nonzero(b)), int(np.count_nonzero(a & b)))


def _joined(layers: Mapping[str, Overlap]) -> Overlap:
    parts = list(layers.values())
    return Overlap(
        sum(part.total for part in parts),
        sum(part.kept_a for part in parts),
        sum(part.kept_b for part in parts),
        sum(part.kept_both for part in parts),
    )


def _shapes(mask: Mask) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in mask.items()}
