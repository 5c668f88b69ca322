"""What a service costs, as a function of how much it does; fitted to some measurements, checked against others.

Work is counted in levels and in trials: every level costs each kind of process some processor time, and every trial,
the process that carries lineages, costs its start. A search takes as long as its engines need, unless the processors
are used up before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ON_NODES = frozenset({"engine", "trial", "raylet", "ray agents"})
"""Roles that every node has its own of; the others live once."""
SINGLE_THREADED = ("pool", "driver", "index", "api")
"""Roles of which one process can use one core at most; a driver serves one search."""


@dataclass(frozen=True)
class Model:
    """Processor seconds.

    Attributes:
        per_level: Of one level, by role.
        per_trial: Of one trial's start, by role.
        fixed: Of a search, by role.
        first_level_s: From the POST to the first level.
    """

    per_level: dict[str, float]
    per_trial: dict[str, float]
    fixed: dict[str, float]
    first_level_s: float

    def cpu_s(self, case: Mapping[str, Any]) -> float:
        """Processor seconds that a case takes in all."""
        levels, trials, searches = _amounts(case)
        parts = (self.per_level, levels), (self.per_trial, trials), (self.fixed, searches)
        return sum(sum(costs.values()) * amount for costs, amount in parts)

    def took_s(self, case: Mapping[str, Any], cores: int) -> float:
        """Seconds from the POST to the last commit on one machine with so many cores."""
        return max(self.first_level_s + case["ideal_s"], self.cpu_s(case) / cores)

    def most_levels_per_s(self) -> dict[str, float]:
        """Levels per second at which one process of a role has used up one core."""
        return {role: 1 / self.per_level[role] for role in SINGLE_THREADED if self.per_level.get(role, 0.0) > 0}


def fit(cases: Sequence[Mapping[str, Any]]) -> Model:
    """Fit a model, role by role, by least squares without negative costs.

    Args:
        cases: Figures of at least three measured cases that differ in levels, trials and searches.

    Raises:
        ValueError: If there are fewer.
    """
    if len(cases) < 3:
        raise ValueError(f"a model needs 3 measured cases, got {len(cases)}")
    from scipy.optimize import nnls

    amounts = np.array([_amounts(case) for case in cases], dtype=np.float64)
    scale = amounts.max(axis=0)
    found: tuple[dict[str, float], ...] = ({}, {}, {})
    for role in sorted({role for case in cases for role in case["cpu_s"]}):
        used_s = np.array([case["cpu_s"].get(role, 0.0) for case in cases])
        costs, _ = nnls(amounts / scale, used_s)
        for part, cost in zip(found, costs / scale, strict=True):
            part[role] = float(cost)
    first_s = float(np.median([case["first_level_after_s"] for case in cases]))
    return Model(*found, first_level_s=first_s)


def needs(model: Model, gpus: int, slots: int, level_s: float) -> dict[str, float]:
    """Return what so many GPUs would need, each training `slots` levels of `level_s` seconds at once.

    Returns:
        Levels per second; cores for everything that lives once; cores and trial processes per GPU's node; and how many
        services of this kind are needed until the busiest single process of none of them is used up.
    """
    rate = gpus * slots / level_s
    central = sum(cost for role, cost in model.per_level.items() if role not in ON_NODES)
    spread = sum(cost for role, cost in model.per_level.items() if role in ON_NODES)
    limits = model.most_levels_per_s()
    narrowest = min((limit for role, limit in limits.items() if role != "driver"), default=float("inf"))
    return {
        "levels_per_s": rate,
        "central_cores": rate * central,
        "cores_per_gpu": rate * spread / gpus,
        "trials_per_gpu": slots,
        "services": max(1.0, rate / narrowest),
    }


def _amounts(case: Mapping[str, Any]) -> tuple[float, float, float]:
    levels = case["lineages"] * case["levels"]
    return float(levels), float(case["trials"]), float(case["searches"])
