"""Sign planes: do the weights that survive keep the sign they started with, and between which levels do they flip.

For survivors i of one layer, agreement = share of i with sign(u_i) = sign(v_i), sign taking -1, 0 and +1. With u the
initial and v the final weights it says how far mask and initial signs describe the trained ticket; with u and v the
final weights of two successive levels, at the survivors of the later one, 1 - agreement is the share that flipped.

References:
    Zhou et al. 2019, "Deconstructing lottery tickets", arXiv:1905.01067, section 4.1: signs of the initialisation
    are what a ticket's reset must keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth_core.masks import Mask
from lth_core.weights import Weights


@dataclass(frozen=True)
class SignCount:
    """Signs of survivors before and after.

    Attributes:
        kept: Survivors looked at.
        agreeing: Those whose sign is the same before and after.
        positive_before: Those above zero before.
        positive_after: Those above zero after.
    """

    kept: int
    agreeing: int
    positive_before: int
    positive_after: int

    @property
    def agreement(self) -> float | None:
        """Share with the same sign before and after; None without survivors."""
        return self.agreeing / self.kept if self.kept else None

    @property
    def flipped(self) -> int:
        """Survivors whose sign changed."""
        return self.kept - self.agreeing

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the agreement."""
        positive = {"positive_before": self.positive_before, "positive_after": self.positive_after}
        return {"kept": self.kept, "flipped": self.flipped, "agreement": self.agreement, **positive}


def sign_counts(before: Weights, after: Weights, kept: Mask) -> dict[str, SignCount]:
    """Compare the signs of the survivors of every prunable tensor.

    Args:
        before: Weights by tensor; those beside the mask's tensors are not looked at.
        after: Weights of the same shapes.
        kept: Survivors, one boolean array per prunable tensor.

    Returns:
        The counts of each tensor of the mask, in its order.
    """
    counts: dict[str, SignCount] = {}
    for name, mask in kept.items():
        first, second = np.sign(before[name][mask]), np.sign(after[name][mask])
        counts[name] = SignCount(
            kept=int(first.size),
            agreeing=int(np.count_nonzero(first == second)),
            positive_before=int(np.count_nonzero(first > 0)),
            positive_after=int(np.count_nonzero(second > 0)),
        )
    return counts


def total_signs(layers: Mapping[str, SignCount]) -> SignCount:
    """Add up the counts of all layers."""
    parts = list(layers.values())
    return SignCount(
        sum(part.kept for part in parts),
        sum(part.agreeing for part in parts),
        sum(part.positive_before for part in parts),
        sum(part.positive_after for part in parts),
    )
