"""Nothing wrong reaches the kernels, and numbers that are not finite come out as such."""

from __future__ import annotations

import numpy as np
import pytest

from lth_core.native.network import NativeNetwork, NativeOptimizer
from lth_core.native.orders import permutation
from lth_core.native.tiles import EvalTiles


@pytest.mark.parametrize("index", [-1, 300, 2**31 - 1])
def test_an_index_out_of_bounds_is_refused(index, case):
    order = case.order.copy()
    order[4, 2] = index
    with pytest.raises(ValueError, match=f"order must be >= 0 and < 300, got {index}"):
        case.network().train(*case.examples, order, case.rates, 0)


def test_a_label_without_an_output_is_refused(case):
    images, labels = case.examples
    labels[0] = 5
    with pytest.raises(ValueError, match="labels must be >= 0 and < 5, got 5"):
        case.network().train(images, labels, case.order, case.rates, 0)
    with pytest.raises(ValueError, match="labels must be < 5, got 5"):
        case.network().evaluate(EvalTiles(images, labels))
    with pytest.raises(ValueError, match="labels must be >= 0, got -1"):
        EvalTiles(images, labels * 0 - 1)


def test_arrays_of_another_type_shape_or_layout_are_refused(case):
    (images, labels), order, rates = case.examples, case.order, case.rates
    wrong = {
        "images": [images.astype(np.float64), images[:, :-1], np.asfortranarray(images), images[None]],
        "labels": [labels.astype(np.int64), labels[:-1]],
        "order": [order.astype(np.int64), order[:, :-1], order.T],
        "lr": [rates.astype(np.float32), rates[:-1]],
    }
    good = {"images": images, "labels": labels, "order": order, "lr": rates}
    for name, arrays in wrong.items():
        for array in arrays:
            with pytest.raises(ValueError, match=f"{name} must be"):
                case.network().train(**{**good, name: array}, count=0)
    with pytest.raises(ValueError, match="vector must be float32"):
        case.network().load(case.start[:-1])
    with pytest.raises(ValueError, match=r"state must have the arrays \['mean', 'square'\]"):
        case.network().load_state({"mean": case.start})
    with pytest.raises(ValueError, match="tiles must have 50 features, got 49"):
        case.network().evaluate(EvalTiles(np.ascontiguousarray(images[:, :-1]), labels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (5,)}, "sizes must be >= 2 numbers"),
        ({"sizes": (5, 0, 3)}, "sizes must be >= 2 numbers >= 1"),
        ({"masks": [None]}, "masks must be 2, one per layer, got 1"),
        ({"masks": [np.ones((5, 4), dtype=bool), None]}, "masks.0. must be bool of shape"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be >= 0 and < 1, got 1.0"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(change, message):
    good = {"sizes": (5, 4, 3), "masks": [None, None], "batch_size": 4, "label_smoothing": 0.0}
    with pytest.raises(ValueError, match=message):
        NativeNetwork(**{**good, **change}, optimizer=NativeOptimizer("sgd"))


@pytest.mark.parametrize(("key", "num", "step"), [(-1, 5, 0), (2**64, 5, 0), (1, -1, 0), (1, 2**31, 0), (1, 5, 2**32)])
def test_an_order_out_of_bounds_is_refused(key, num, step):
    with pytest.raises(ValueError, match="must be >= 0 and <"):
        permutation(key, num, step)


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_makes_the_loss_so(value, density, case):
    some = case.with_(densities=(density,) * 3)
    net = some.network()
    start = some.start
    start[-1] = value
    net.load(start)
    losses, _ = some.train(net)
    assert not np.isfinite(losses).any()
    total, _ = net.evaluate(EvalTiles(*some.examples))
    assert not np.isfinite(total)


def test_a_rate_that_is_too_high_ends_in_losses_that_are_not_finite(case):
    wild = case.with_(optimizer=NativeOptimizer("sgd"), lr=1e20)
    losses, _ = wild.train(wild.network())
    assert np.isfinite(losses[0])
    assert not np.isfinite(losses[-1])
