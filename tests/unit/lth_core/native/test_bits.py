"""What the bits of a native training may depend on, and what not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lth_core.native import network
from lth_core.native.network import NativeOptimizer
from lth_core.native.tiles import EvalTiles

DENSITIES = [(1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (0.3, 0.3, 0.5), (0.05, 0.1, 0.5)]


def bits(net):
    return [array.tobytes() for array in (net.read(), *net.read_state().values())]


@pytest.mark.parametrize("batch_size", [7, 60, 130])
@pytest.mark.parametrize("densities", DENSITIES)
def test_the_bits_do_not_depend_on_how_the_steps_are_cut(densities, batch_size, case):
    cut = case.with_(densities=densities, batch_size=batch_size)
    whole, pieces = cut.network(), cut.network()
    losses, correct = cut.train(whole)
    found = [cut.train(pieces, first, last) for first, last in ((0, 1), (1, 8), (8, 8), (8, 20))]
    assert bits(whole) == bits(pieces)
    assert losses.tobytes() == np.concatenate([part[0] for part in found]).tobytes()
    assert correct.tobytes() == np.concatenate([part[1] for part in found]).tobytes()


@pytest.mark.parametrize("densities", DENSITIES)
def test_the_bits_do_not_depend_on_other_networks_or_on_evaluations_between(densities, case):
    one = case.with_(densities=densities)
    other = case.with_(densities=(0.5, 0.9, 0.2), seed=9, batch_size=30)
    alone, among, neighbour = one.network(), one.network(), other.network()
    one.train(alone)
    tiles = EvalTiles(*one.examples)
    for step in range(20):
        other.train(neighbour, step, step + 1)
        one.train(among, step, step + 1)
        among.evaluate(tiles)
    assert bits(alone) == bits(among)


def test_a_mask_of_ones_is_no_mask(case):
    plain = case.network()
    ones = [np.ones((b, a), dtype=bool) for a, b in pairwise(case.sizes)]
    masked = network.NativeNetwork(case.sizes, ones, case.batch_size, case.optimizer)
    masked.load(case.start)
    case.train(plain)
    case.train(masked)
    assert bits(plain) == bits(masked)


def test_sparse_layers_agree_with_dense_ones_to_rounding(case, monkeypatch):
    sgd = case.with_(optimizer=NativeOptimizer("sgd"), lr=0.05, densities=(0.9, 1.0, 0.7))
    dense = sgd.network()
    monkeypatch.setattr(network, "is_dense", lambda _: False)
    sparse = sgd.network()
    assert set(dense.layouts) == {"dense"}
    assert set(sparse.layouts) == {"sparse"}
    sgd.train(dense)
    sgd.train(sparse)
    assert bits(dense) != bits(sparse)
    np.testing.assert_allclose(sparse.read(), dense.read(), rtol=0, atol=2e-6)
    tiles = EvalTiles(*sgd.examples)
    assert sparse.evaluate(tiles)[0] == pytest.approx(dense.evaluate(tiles)[0], rel=1e-6)


@pytest.mark.parametrize("densities", DENSITIES)
def test_a_restored_snapshot_judges_with_the_same_bits(densities, case):
    some = case.with_(densities=densities)
    net, tiles = some.network(), EvalTiles(*some.examples)
    some.train(net, 0, 10)
    kept, weights, score = net.snapshot(), net.read(), net.evaluate(tiles)
    some.train(net, 10)
    assert net.evaluate(tiles) != score
    net.restore(kept)
    assert net.evaluate(tiles) == score
    assert net.read().tobytes() == weights.tobytes()


def test_a_snapshot_of_another_network_is_refused(case):
    with pytest.raises(ValueError, match="snapshot must be of this network"):
        case.network().restore(case.with_(densities=(0.3, 0.3, 0.3)).network().snapshot())


def unread(case):
    """A network in which hidden unit 3 of the second layer is read by nobody, and unit 5 of the first only by it."""
    masks = [mask.copy() for mask in case.masks]
    masks[2][:, 3] = False
    masks[1][:, 5] = False
    masks[1][3, 5] = True
    net = network.NativeNetwork(case.sizes, masks, case.batch_size, case.optimizer)
    net.load(case.start)
    return net, masks


def rows_of(net, vector):
    (w0, b0), (w1, b1), _ = net._views(vector)
    return np.concatenate([w0[5], b0[5:6], w1[3], b1[3:4]])


@pytest.mark.parametrize("densities", [(0.3, 0.3, 0.5), (0.3, 0.3, 0.9), (0.9, 0.9, 0.9)])
def test_weights_into_units_that_nobody_reads_stay_as_they_are(densities, case):
    some = case.with_(densities=densities)
    net, _ = unread(some)
    before = rows_of(net, net.read())
    some.train(net)
    assert before.any()
    assert rows_of(net, net.read()).tobytes() == before.tobytes()
    assert not any(rows_of(net, array).any() for array in net.read_state().values())


def test_skipping_what_nobody_reads_changes_no_bit(case, monkeypatch):
    some = case.with_(densities=(0.3, 0.3, 0.5))
    skipping, _ = unread(some)
    with monkeypatch.context() as patched:
        patched.setattr(network, "live_rows", lambda masks: [np.arange(len(mask)) for mask in masks])
        computing, _ = unread(some)
    some.train(skipping)
    some.train(computing)
    assert bits(skipping) == bits(computing)
    tiles = EvalTiles(*some.examples)
    assert skipping.evaluate(tiles) == computing.evaluate(tiles)


def test_decay_and_moments_move_even_what_nobody_reads(case):
    decaying = case.with_(
        densities=(0.3, 0.3, 0.5), optimizer=NativeOptimizer("adam", weight_decay=0.1, decoupled=True)
    )
    net, _ = unread(decaying)
    before = rows_of(net, net.read())
    decaying.train(net)
    kept = before != 0
    assert (np.abs(rows_of(net, net.read()))[kept] < np.abs(before)[kept]).all()

    moving = case.with_(densities=(0.3, 0.3, 0.5))
    net, _ = unread(moving)
    before = rows_of(net, net.read())
    net.load_state({name: np.ones(net.num_parameters, dtype=np.float32) for name in ("mean", "square")})
    moving.train(net)
    assert (rows_of(net, net.read())[kept] != before[kept]).all()
    assert not rows_of(net, net.read())[~kept].any()
