"""Histograms and moments equal loops, scipy's moments and what is known of simple distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lth_core.analyses.distributions import histogram, moments, shared_edges

VALUES = np.random.default_rng(1).gamma(2.0, size=500).astype(np.float32) - 1


def test_moments_are_those_of_scipy() -> None:
    found = moments(VALUES)
    assert found is not None
    wide = VALUES.astype(np.float64)
    assert found.n == 500
    assert found.mean == pytest.approx(np.mean(wide))
    assert found.std == pytest.approx(np.std(wide))
    assert found.skewness == pytest.approx(stats.skew(wide))
    assert found.kurtosis == pytest.approx(stats.kurtosis(wide, fisher=False))
    assert found.mean_abs == pytest.approx(np.mean(np.abs(wide)))
    assert (found.low, found.high) == (wide.min(), wide.max())


def test_bimodality_tells_two_points_from_a_normal_and_a_uniform_distribution() -> None:
    random = np.random.default_rng(2)
    two = moments(np.repeat([-1.0, 1.0], 50).astype(np.float32))
    normal = moments(random.normal(size=200_000).astype(np.float32))
    uniform = moments(random.random(200_000).astype(np.float32))
    assert two is not None
    assert normal is not None
    assert uniform is not None
    assert two.bimodality == pytest.approx(1)
    assert normal.bimodality == pytest.approx(1 / 3, abs=0.01)
    assert uniform.bimodality == pytest.approx(5 / 9, abs=0.01)


def test_no_weights_have_no_moments_and_equal_weights_no_shape() -> None:
    assert moments(np.zeros(0, np.float32)) is None
    equal = moments(np.full(4, 0.25, np.float32))
    assert equal is not None
    assert (equal.std, equal.skewness, equal.kurtosis, equal.bimodality) == (0.0, None, None, None)


def test_every_weight_is_in_the_bin_whose_edges_enclose_it() -> None:
    edges = shared_edges([1.5, float(np.abs(VALUES).max())], 12)
    counts = histogram(VALUES, edges)
    assert edges[0] == -edges[-1]
    assert edges[6] == 0.0
    for i in range(12):
        below = edges[i + 1] >= VALUES if i == 11 else edges[i + 1] > VALUES
        assert counts[i] == np.count_nonzero((edges[i] <= VALUES) & below)
    assert counts.sum() == len(VALUES)


def test_a_weight_outside_the_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="1 weights lie outside"):
        histogram(np.array([0.1, 2.0], np.float32), shared_edges([1.0]))


def test_bins_of_nothing_but_zeros_still_have_a_width() -> None:
    assert shared_edges([0.0], 2).tolist() == [-1.0, 0.0, 1.0]
