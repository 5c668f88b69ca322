"""The statistics of the verdicts: one-sided bounds of means and ratios, Holm's adjustment, the sign test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """An estimate over replicates with one-sided bounds; both are None with fewer than two replicates.

    Attributes:
        n: Number of replicates.
        mean: Mean, or geometric mean for ratios.
        lower: The mean is above it, at the given confidence.
        upper: The mean is below it, at the given confidence.
    """

    n: int
    mean: float
    lower: float | None
    upper: float | None

    def as_json(self) -> dict[str, float | int | None]:
        """Return the bounds as a JSON object."""
        return {"n": self.n, "mean": self.mean, "lower": self.lower, "upper": self.upper}


def mean_bounds(values: Sequence[float], confidence: float) -> Bounds:
    """Return the mean with its one-sided bounds by Student's t.

    Args:
        values: One paired difference per replicate, at least one.
        confidence: Of each bound alone, in (0.5, 1).
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Bounds(n, mean, None, None)
    half = _t_quantile(confidence, n - 1) * _standard_error(values, mean)
    return Bounds(n, mean, mean - half, mean + half)


def ratio_bounds(ratios: Sequence[float], confidence: float) -> Bounds:
    """Return the geometric mean of positive ratios with its one-sided bounds, computed on logarithms."""
    logs = mean_bounds([math.log(ratio) for ratio in ratios], confidence)
    lower = None if logs.lower is None else _exp(logs.lower)
    upper = None if logs.upper is None else _exp(logs.upper)
    return Bounds(logs.n, math.exp(logs.mean), lower, upper)


def p_mean_above(values: Sequence[float], limit: float) -> float | None:
    """Return the one-sided p-value of "the mean is above `limit`", None with fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    error = _standard_error(values, mean)
    if error == 0:
        return 0.0 if mean > limit else 1.0
    from scipy.special import stdtr

    return float(stdtr(n - 1, -(mean - limit) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: the running maximum of (m - i + 1) times the i-th smallest, at most 1."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def sign_test(values: Sequence[float]) -> float | None:
    """Return 2**-n if all differences have one sign, else None: no more is read out of signs."""
    agree = all(value > 0 for value in values) or all(value < 0 for value in values)
    return 2.0 ** -len(values) if values and agree else None


def _standard_error(values: Sequence[float], mean: float) -> float:
    n = len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def _t_quantile(confidence: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, confidence))


def _exp(value: float) -> float:
    """Return exp(value), the largest float where it overflows: JSON has no infinity."""
    return math.exp(min(value, 709.0))
