"""How far weights move in training, and whether those that the ticket keeps move more than those it loses.

For a set S of survivors with weights s_i at the first step and f_i at the end: distance = mean over S of |f_i - s_i|,
relative distance = sum |f_i - s_i| / sum |s_i|. S is all survivors of a level, those that the next level keeps
(`stays`), and those that it prunes (`pruned`).

References:
    Frankle & Carbin 2019, arXiv:1803.03635, appendix F.2: weights of winning tickets move further than the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lth_core.masks import Mask
from lth_core.weights import Weights


@dataclass(frozen=True)
class Movement:
    """How far one set of weights moved.

    Attributes:
        n: How many weights.
        moved: Sum of |f - s| over them.
        started: Sum of |s| over them.
    """

    n: int
    moved: float
    started: float

    @property
    def distance(self) -> float | None:
        """Mean |f - s|; None of no weights."""
        return self.moved / self.n if self.n else None

    @property
    def relative(self) -> float | None:
        """Distance in units of the mean magnitude at the start; None if all started at zero."""
        return self.moved / self.started if self.started else None

    def as_json(self) -> dict[str, Any]:
        """Return counts and distances."""
        return {"n": self.n, "distance": self.distance, "relative": self.relative}


Groups = dict[str, Movement]


def movements(start: Weights, final: Weights, kept: Mask, kept_next: Mask | None) -> dict[str, Groups]:
    """Measure every prunable tensor.

    Args:
        start: Weights at the first step; pruned entries are not looked at.
        final: Weights at the end of the training.
        kept: Survivors of the level.
        kept_next: Survivors of the next level; None leaves `stays` and `pruned` out.

    Returns:
        Per tensor the groups `all`, `stays` (kept here and at the next level) and `pruned` (kept here only).
    """
    return {
        name: {
            group: _moved(start[name][where], final[name][where])
            for group, where in _groups(mask, None if kept_next is None else kept_next[name])
        }
        for name, mask in kept.items()
    }


def total_movement(layers: Iterable[Groups]) -> Groups:
    """Add up the layers, group by group."""
    parts = list(layers)
    return {
        group: Movement(
            sum(part[group].n for part in parts),
            sum(part[group].moved for part in parts),
            sum(part[group].started for part in parts),
        )
        for group in (parts[0] if parts else ())
    }


def _groups(
    kept: npt.NDArray[np.bool_], following: npt.NDArray[np.bool_] | None
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    if following is None:
        return [("all", kept)]
    return [("all", kept), ("stays", kept & following), ("pruned", kept & ~following)]


def _moved(start: npt.NDArray[np.float32], final: npt.NDArray[np.float32]) -> Movement:
    first, last = start.astype(np.float64), final.astype(np.float64)
    return Movement(int(first.size), float(np.abs(last - first).sum()), float(np.abs(first).sum()))
