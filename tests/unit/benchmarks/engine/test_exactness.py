"""First steps are held against double precision, which tells rounding from a mistake."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.engine import exactness
from benchmarks.engine.data import made_up
from benchmarks.engine.prepare import describe, find_masks, lineage_of, start_of
from lth_core.data import TensorData, load
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask
from lth_core.presets import PRESETS

STEPS = 5


@pytest.fixture(scope="module")
def data() -> TensorData:
    arrays = made_up((1, 28, 28), 6_000, 100)
    return load(describe("mnist-like", arrays), arrays)


def lineage(data: TensorData, **train: float) -> LineageSpec:
    return lineage_of(PRESETS["lenet-mnist"]().spec, data.info, 0, steps=STEPS, eval_every=STEPS, **train)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_engines_do_the_steps_of_double_precision_up_to_rounding(
    data: TensorData, engine: str, is_masked: bool
) -> None:
    one = lineage(data)
    mask: Mask | None = find_masks(one, data, 3, 20)[3] if is_masked else None
    found = exactness.compare(engine, one, mask, data, STEPS)
    assert found["engine"].mean < 5e-5
    assert exactness.summary([found])["holds"]


def test_a_wrong_step_is_no_rounding(data: TensorData) -> None:
    begin = start_of(lineage(data))
    exact = exactness.steps_in_double(lineage(data), begin, None, data, STEPS)
    other = exactness.steps_in_double(lineage(data, lr=0.0015), begin, None, data, STEPS)
    wrong = exactness.distance({name: array.astype(np.float32) for name, array in other.items()}, exact)
    right = exactness.compare("cpu", lineage(data), None, data, STEPS)
    assert wrong.mean > 5e-4
    assert not exactness.summary([{**right, "engine": wrong}])["holds"]


def test_weights_that_are_pruned_stay_zero_in_double_precision(data: TensorData) -> None:
    one = lineage(data)
    mask = find_masks(one, data, 2, 20)[2]
    exact = exactness.steps_in_double(one, start_of(one), mask, data, STEPS)
    assert all(not exact[name][~kept].any() for name, kept in mask.items())
    assert all(exact[name][kept].any() for name, kept in mask.items())
