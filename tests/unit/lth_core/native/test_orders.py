"""Native orders against those of `lth_core.random`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth_core import random
from lth_core.native.orders import permutation


@pytest.mark.parametrize("num", [0, 1, 2, 7, 8, 9, 1000, 55_000])
def test_orders_are_the_same_integers_as_everywhere(num):
    key = random.seed_key(num, "order")
    for step in (0, 1, 2**32 - 1):
        found = permutation(key, num, step)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, random.permutation(key, num, step=step))


@settings(max_examples=50, deadline=None)
@given(key=st.integers(0, 2**64 - 1), num=st.integers(0, 300), step=st.integers(0, 2**32 - 1))
def test_orders_agree_for_any_key_and_step(key, num, step):
    np.testing.assert_array_equal(permutation(key, num, step), random.permutation(key, num, step=step))
