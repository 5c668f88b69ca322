"""How many weights one pruning removes: every rule found in published code, each exact.

Products are float64 in the order fraction * count; a fraction is never formed as 1 - keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lth_core.names import CountRule

COUNT_RULES: dict[CountRule, Callable[[float, int], int]] = {
    "round": lambda fraction, alive: round(fraction * alive),
    "round_plus_1": lambda fraction, alive: round(fraction * alive) + 1,
    "floor": lambda fraction, alive: int(fraction * alive),
    "floor_plus_1": lambda fraction, alive: int(fraction * alive) + 1,
    "ceil": lambda fraction, alive: math.ceil(fraction * alive),
    "ceil_plus_1": lambda fraction, alive: math.ceil(fraction * alive) + 1,
    "percentile": lambda fraction, alive: math.ceil(fraction * (alive - 1)),
    "percentile_plus_1": lambda fraction, alive: int(fraction * (alive - 1)) + 1,
}
"""Weights removed from `alive` survivors; `percentile` counts those below the interpolated quantile."""


def num_removed(rule: CountRule, fraction: float, num_alive: int) -> int:
    """Return how many of `num_alive` survivors one pruning removes, at most all of them.

    A fraction of 0 removes nothing under every rule: it means that the tensor is kept whole.

    Raises:
        ValueError: If the fraction is outside [0, 1) or the count is negative.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be >= 0 and < 1, got {fraction}")
    if num_alive < 0:
        raise ValueError(f"num_alive must be >= 0, got {num_alive}")
    if fraction == 0 or num_alive == 0:
        return 0
    return min(COUNT_RULES[rule](fraction, num_alive), num_alive)
