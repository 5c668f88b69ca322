"""How the weights of survivors are distributed: histograms over shared bins, and moments.

The bins of a tensor are equal intervals over [-r, r], r the largest magnitude that any compared level shows, so that
histograms of all levels and replicates of a tensor can be laid over each other; initial and final weights, whose
ranges differ by far, have bins of their own.

References:
    Frankle & Carbin 2019, arXiv:1803.03635, appendix F.1: survivors' initial weights are bimodal where magnitude
    pruning removes what started near zero. Bimodality (skewness^2 + 1) / kurtosis: Pearson 1921, Biometrika 13,
    whose inequality bounds it by 1; a normal distribution has 1/3, a uniform one 5/9, two points 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_BINS = 60
Values = npt.NDArray[np.float32]
Edges = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of one set of weights, in float64.

    Attributes:
        n: How many weights.
        mean: Their mean.
        std: Population standard deviation.
        skewness: Third standardised moment; None where all weights are equal.
        kurtosis: Fourth standardised moment, 3 for a normal distribution; None likewise.
        bimodality: (skewness^2 + 1) / kurtosis; None likewise.
        mean_abs: Mean magnitude.
        low: The smallest.
        high: The largest.
    """

    n: int
    mean: float
    std: float
    skewness: float | None
    kurtosis: float | None
    bimodality: float | None
    mean_abs: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """Return the moments as a JSON object."""
        return asdict(self)


def moments(values: Values) -> Moments | None:
    """Return the moments of some weights, None of none."""
    if values.size == 0:
        return None
    wide = values.reshape(-1).astype(np.float64)
    mean = float(wide.mean())
    centred = wide - mean
    std = float(np.sqrt((centred**2).mean()))
    skewness = kurtosis = bimodality = None
    if std > 0:
        skewness = float((centred**3).mean() / std**3)
        kurtosis = float((centred**4).mean() / std**4)
        bimodality = (skewness**2 + 1) / kurtosis
    mean_abs = float(np.abs(wide).mean())
    spread = {"mean_abs": mean_abs, "low": float(wide.min()), "high": float(wide.max())}
    return Moments(int(wide.size), mean, std, skewness, kurtosis, bimodality, **spread)


def shared_edges(largest: Iterable[float], num_bins: int = NUM_BINS) -> Edges:
    """Return the edges of equal bins over [-r, r].

    Args:
        largest: Largest magnitude of each set that shall share the bins; r is the largest of them, 1 if all are 0.
        num_bins: How many bins; an even number puts an edge at zero.

    Returns:
        `num_bins` + 1 ascending edges.
    """
    reach = max(largest, default=0.0) or 1.0
    return np.linspace(-reach, reach, num_bins + 1)


def histogram(values: Values, edges: Edges) -> npt.NDArray[np.int64]:
    """Count weights per bin; each bin has its lower edge, the last one its upper edge too.

    Raises:
        ValueError: If a weight lies outside the edges: no histogram leaves weights out silently.
    """
    wide = values.reshape(-1).astype(np.float64)
    counts, _ = np.histogram(wide, edges)
    if int(counts.sum()) != wide.size:
        raise ValueError(f"{wide.size - int(counts.sum())} weights lie outside [{edges[0]}, {edges[-1]}]")
    return counts.astype(np.int64)
