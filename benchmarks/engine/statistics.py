"""Pure functions from samples to what is reported: ratios by round, costs of lineages, tests of equivalence."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

TESTS_PER_LEVEL = 3
"""The test set is measured at the start, at the early stop and at the end."""


@dataclass(frozen=True)
class Spread:
    """The median of some values, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values.

        Raises:
            ValueError: If there are none.
        """
        if not values:
            raise ValueError("a spread needs at least one value, got none")
        return cls(median(values), min(values), max(values))

    def __format__(self, digits: str) -> str:
        spec = digits or ".3g"
        return f"{self.median:{spec}} [{self.lowest:{spec}}, {self.highest:{spec}}]"


def window_steps(seconds_per_100: float, *, at_least_s: float = 0.25, most: int = 1000) -> int:
    """Return how many steps a window has, a multiple of 100, so that it lasts long enough to be timed."""
    wanted = math.ceil(at_least_s / max(seconds_per_100, 1e-9))
    return min(most, 100 * max(1, wanted))


def interpolated(costs: Mapping[int, float], level: int) -> float:
    """Return the cost at a level, on the straight line between the measured levels around it.

    Raises:
        ValueError: If the level lies outside the measured ones.
    """
    measured = sorted(costs)
    if not measured or not measured[0] <= level <= measured[-1]:
        raise ValueError(f"level must be within the measured {measured}, got {level}")
    right = bisect_left(measured, level)
    if measured[right] == level:
        return costs[level]
    low, high = measured[right - 1], measured[right]
    weight = (level - low) / (high - low)
    return costs[low] * (1 - weight) + costs[high] * weight


def lineage_seconds(
    step_s: Mapping[int, float],
    levels: Sequence[int],
    steps: int,
    *,
    test_s: Mapping[int, float] | None = None,
) -> list[float]:
    """Return the seconds of each level of a lineage: its steps, and what is tested at three of them.

    Args:
        step_s: Seconds of a step at the measured levels.
        levels: Levels of the lineage.
        steps: Steps of a level.
        test_s: Seconds of one look at the test set at the measured levels; None where none is taken.
    """
    found = []
    for level in levels:
        tests = TESTS_PER_LEVEL * interpolated(test_s, level) if test_s else 0.0
        found.append(steps * interpolated(step_s, level) + tests)
    return found


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return, round by round, how many times as long the first takes.

    Raises:
        ValueError: If the rounds are not the same ones.
    """
    if len(slow) != len(fast):
        raise ValueError(f"ratios need equal rounds, got {len(slow)} and {len(fast)}")
    return [a / b for a, b in zip(slow, fast, strict=True)]


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests on paired differences.

    Attributes:
        mean: Mean difference.
        bound: Differences below it in size count as equal.
        p: The larger of the two p values; small means equivalent.
        interval: The 90 % confidence interval of the mean, which lies within the bound where p < 0.05.
    """

    mean: float
    bound: float
    p: float
    interval: tuple[float, float]

    @property
    def equivalent(self) -> bool:
        """Whether both tests refuse at 5 %."""
        return self.p < 0.05


def paired_tost(first: Sequence[float], second: Sequence[float], bound: float) -> Tost:
    """Test that the mean of paired differences lies within +-bound.

    Raises:
        ValueError: If there are fewer than two pairs.

    References:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    from scipy.stats import t

    differences = [b - a for a, b in zip(first, second, strict=True)]
    num = len(differences)
    if num < 2:
        raise ValueError(f"a paired test needs at least 2 pairs, got {num}")
    mean, error = fmean(differences), stdev(differences) / math.sqrt(num)
    if error == 0:
        return Tost(mean, bound, 0.0 if abs(mean) < bound else 1.0, (mean, mean))
    above = float(t.sf((mean + bound) / error, num - 1))
    below = float(t.cdf((mean - bound) / error, num - 1))
    reach = float(t.ppf(0.95, num - 1)) * error
    return Tost(mean, bound, max(above, below), (mean - reach, mean + reach))


def ks_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the p value of the two-sample Kolmogorov-Smirnov test: small means that the two are told apart."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(first, second).pvalue)
