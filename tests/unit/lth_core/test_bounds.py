"""The statistics against published numbers."""

from __future__ import annotations

import pytest

from lth_core.bounds import holm, mean_bounds, p_mean_above, ratio_bounds, sign_test

DENSE_STEPS = (7500, 4100, 3900, 4700, 4400)
TICKET_STEPS = (4000, 4100, 4000, 2600, 3600)


@pytest.mark.parametrize(
    ("points", "mean", "lower"),
    [((-0.05, 0.31, 0.39), 0.217, -0.178), ((-0.07, 0.06, 0.31), 0.100, -0.226), ((0.36, 0.38, 0.32), 0.353, 0.302)],
)
def test_golden_differences(points, mean, lower):
    bounds = mean_bounds(points, 0.95)
    assert round(bounds.mean, 3) == mean
    assert round(bounds.lower, 3) == lower
    assert bounds.upper - bounds.mean == pytest.approx(bounds.mean - bounds.lower)


@pytest.mark.parametrize(("n", "mean", "upper"), [(5, 0.756, 1.021), (3, 0.818, 1.527)])
def test_golden_ratios(n, mean, upper):
    bounds = ratio_bounds([t / d for t, d in zip(TICKET_STEPS[:n], DENSE_STEPS[:n], strict=True)], 0.95)
    assert round(bounds.mean, 3) == mean
    assert round(bounds.upper, 3) == upper


@pytest.mark.parametrize(("n", "t"), [(3, 2.920), (4, 2.353), (5, 2.132), (6, 2.015), (8, 1.895), (10, 1.833)])
def test_quantiles_are_those_of_the_table(n, t):
    values = [float(i) for i in range(n)]
    bounds = mean_bounds(values, 0.95)
    mean = (n - 1) / 2
    error = (sum((v - mean) ** 2 for v in values) / (n - 1) / n) ** 0.5
    assert (bounds.upper - mean) / error == pytest.approx(t, abs=6e-4)


def test_one_value_has_no_bounds():
    bounds = mean_bounds([0.3], 0.95)
    assert (bounds.n, bounds.mean, bounds.lower, bounds.upper) == (1, 0.3, None, None)
    assert p_mean_above([0.3], 0.0) is None


def test_a_bound_at_the_limit_and_its_p_value_agree():
    values = [-0.05, 0.31, 0.39]
    lower = mean_bounds(values, 0.95).lower
    assert p_mean_above(values, lower) == pytest.approx(0.05, abs=1e-9)
    assert p_mean_above([1.0, 1.0, 1.0], 0.0) == 0.0
    assert p_mean_above([1.0, 1.0, 1.0], 1.0) == 1.0


def test_wild_ratios_stay_finite():
    bounds = ratio_bounds([1e-6, 1e6], 0.999)
    assert 0 <= bounds.lower < bounds.upper < float("inf")


def test_holm_is_the_running_maximum_of_scaled_p_values():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_sign_test_speaks_only_if_all_agree():
    assert sign_test([1, 2, 3, 1, 2]) == 0.03125
    assert sign_test([-1, -2, -3]) == 0.125
    assert sign_test([1, -1, 1]) is None
    assert sign_test([0, 1, 1]) is None
    assert sign_test([]) is None
