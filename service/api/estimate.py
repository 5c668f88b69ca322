"""How large a search is, counted from lengths before anything is built."""

from __future__ import annotations

from typing import Any

from lth_core.spec import SearchSpec


def num_steps(spec: SearchSpec) -> int:
    """Return the optimizer updates of all levels of all lineages, as a product of lengths and one sum."""
    grids = {axis.name: axis.values for axis in spec.axes}
    steps: tuple[int, ...] = grids.get("train.steps", (spec.train.steps,))
    return spec.num_levels // len(steps) * sum(steps)


def estimate(spec: SearchSpec, *, max_lineages: int) -> dict[str, Any]:
    """Return the estimate of a search as the API shows it.

    GPU-seconds are null: they are shown once levels of this shape have been measured.
    """
    return {
        "object": "estimate",
        "settings": spec.num_settings,
        "lineages": spec.num_lineages,
        "levels": spec.num_levels,
        "steps": num_steps(spec),
        "gpu_seconds": {"p50": None, "p90": None, "basis": "unmeasured"},
        "fits": spec.num_lineages <= max_lineages,
        "limits": {"lineages_per_search": max_lineages},
    }
