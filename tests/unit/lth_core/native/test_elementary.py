"""Accuracy of the exp and log in the loss, against float64."""

from __future__ import annotations

import numpy as np

from lth_core.native.compiled import load
from lth_core.native.structs import address


def apply(name, values):
    values = values.astype(np.float32)
    out = np.empty_like(values)
    getattr(load(), name)(address(values), address(out), values.size)
    return values, out


def ulps(found, wanted):
    """Distance to the exact value in units of the last place of its rounding to float32."""
    return np.abs(found.astype(np.float64) - wanted) / np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)


def test_exp_is_accurate_to_two_units_of_the_last_place():
    x, found = apply("lth_exp", np.linspace(-87.3, 80, 1 << 20))
    assert ulps(found, np.exp(x.astype(np.float64))).max() < 2


def test_exp_of_very_negative_numbers_is_subnormal_and_then_zero():
    x, found = apply("lth_exp", np.linspace(-103, -87.4, 1 << 16))
    assert ulps(found, np.exp(x.astype(np.float64))).max() < 2
    assert found[0] > 0
    _, none = apply("lth_exp", np.array([-104, -200, -1e30, -np.inf] * 2))
    assert not none.any()


def test_exp_of_zero_is_one_and_of_nan_is_nan():
    _, found = apply("lth_exp", np.array([0.0, -0.0, np.nan, -np.nan] * 2))
    np.testing.assert_array_equal(found, [1, 1, np.nan, np.nan] * 2)


def test_log_is_accurate_to_two_units_of_the_last_place():
    for low, high in ((1, 2), (1, 1000), (1e-30, 1e30)):
        x, found = apply("lth_log", np.geomspace(low, high, 1 << 20))
        wanted = np.log(x.astype(np.float64))
        near_zero = np.abs(wanted) < 1e-30
        assert ulps(found[~near_zero], wanted[~near_zero]).max() < 2


def test_log_of_one_is_zero_and_of_nan_is_nan():
    _, found = apply("lth_log", np.array([1.0, np.nan] * 4))
    np.testing.assert_array_equal(found, [0, np.nan] * 4)
