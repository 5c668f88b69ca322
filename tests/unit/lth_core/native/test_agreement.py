"""Native trainings against plain torch autograd over the first 20 steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.native.network import NativeOptimizer
from lth_core.native.tiles import EvalTiles

LENET = (784, 300, 100, 10)
OPTIMIZERS = {
    "sgd": (NativeOptimizer("sgd"), 0.05),
    "momentum and decay": (NativeOptimizer("sgd", momentum=0.9, weight_decay=1e-3), 0.02),
    "sgdw": (NativeOptimizer("sgd", momentum=0.9, weight_decay=1e-2, decoupled=True), 0.02),
    "adam": (NativeOptimizer("adam"), 0.0012),
    "adam and decay": (NativeOptimizer("adam", weight_decay=1e-2), 0.0012),
    "adamw": (NativeOptimizer("adam", weight_decay=1e-2, decoupled=True), 0.0012),
}


def assert_agree(case, reference):
    net = case.network()
    losses, correct = case.train(net)
    wanted = reference(case)
    # Adam divides a gradient that is rounding noise by its own size: one weight in twenty thousand may show it.
    distance = np.abs(net.read() - wanted.weights)
    assert (distance > 1e-5).sum() <= net.num_parameters // 20_000
    assert distance.max() < case.lr
    np.testing.assert_allclose(losses, wanted.losses, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(correct, wanted.correct)
    for name, array in net.read_state().items():
        np.testing.assert_allclose(array, wanted.state[name], rtol=0, atol=1e-5)
    pruned = np.concatenate(
        [part.reshape(-1) for mask, (a, b) in zip(case.masks, pairwise(case.sizes), strict=True)
         for part in (np.zeros((b, a), bool) if mask is None else ~mask, np.zeros(b, bool))]
    )  # fmt: skip
    for array in (net.read(), *net.read_state().values()):
        assert not array[pruned].view(np.int32).any()


@pytest.mark.parametrize("density", [1.0, 0.8, 0.5, 0.2, 0.05, 0.01])
def test_lenet_agrees_with_autograd_at_every_density(density, case, reference):
    assert_agree(case.with_(sizes=LENET, densities=(density, density, (1 + density) / 2), seed=3), reference)


@pytest.mark.parametrize("density", [1.0, 0.8, 0.2])
@pytest.mark.parametrize("batch_size", [1, 7, 60, 64, 80, 128, 200])
def test_every_batch_size_agrees(batch_size, density, case, reference):
    optimizer, lr = OPTIMIZERS["momentum and decay"]
    assert_agree(case.with_(batch_size=batch_size, densities=(density,) * 3, optimizer=optimizer, lr=lr), reference)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("density", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_agrees(name, density, smoothing, case, reference):
    optimizer, lr = OPTIMIZERS[name]
    assert_agree(case.with_(optimizer=optimizer, lr=lr, densities=(density,) * 3, smoothing=smoothing), reference)


@pytest.mark.parametrize("sizes", [(13, 7), (3, 1), (130, 2), (16, 48, 96, 10), (9, 8, 7, 6, 5, 4), (97, 70, 3)])
@pytest.mark.parametrize("density", [1.0, 0.7, 0.4])
def test_every_depth_and_size_agrees(sizes, density, case, reference):
    optimizer, lr = OPTIMIZERS["sgd"]
    densities = (density,) * (len(sizes) - 1)
    assert_agree(case.with_(sizes=sizes, densities=densities, optimizer=optimizer, lr=lr), reference)


def test_layers_of_either_kind_work_side_by_side(case, reference):
    for densities, layouts in (((0.2, 1.0, 1.0), "sdd"), ((1.0, 0.2, 1.0), "dsd"), ((0.9, 0.9, 0.3), "dds")):
        mixed = case.with_(densities=densities)
        assert "".join(name[0] for name in mixed.network().layouts) == layouts
        assert_agree(mixed, reference)


def test_a_layer_with_nothing_left_leaves_its_biases_to_learn(case, reference):
    assert_agree(case.with_(densities=(0.0, 1.0, 1.0)), reference)
    assert_agree(case.with_(densities=(0.3, 0.0, 0.3)), reference)
    assert_agree(case.with_(densities=(0.3, 0.3, 0.0)), reference)


def test_a_long_training_ends_where_autograd_ends(case, reference):
    longer = case.with_(steps=300, densities=(0.3, 0.3, 0.5), lr=0.003)
    losses, _ = longer.train(longer.network())
    wanted = reference(longer).losses
    assert wanted[-50:].mean() < 0.9 * wanted[:50].mean()
    assert losses[-50:].mean() == pytest.approx(wanted[-50:].mean(), rel=0.05)


@pytest.mark.parametrize("density", [1.0, 0.8, 0.2])
@pytest.mark.parametrize("num", [1, 63, 64, 65, 300])
def test_evaluation_is_the_plain_cross_entropy_whatever_the_smoothing(num, density, case):
    smooth = case.with_(smoothing=0.1, densities=(density,) * 3)
    net = smooth.network()
    images, labels = (part[:num].copy() for part in smooth.examples)
    total, correct = net.evaluate(EvalTiles(images, labels))
    found = torch.from_numpy(images)
    start = 0
    for i, (num_in, num_out) in enumerate(pairwise(smooth.sizes)):
        vector = torch.from_numpy(net.read()[start : (start := start + num_in * num_out + num_out)])
        weight, bias = vector[: num_in * num_out].view(num_out, num_in), vector[num_in * num_out :]
        found = F.linear(found.relu() if i else found, weight, bias)
    wanted = F.cross_entropy(found.double(), torch.from_numpy(labels).long(), reduction="sum")
    assert total == pytest.approx(float(wanted), rel=1e-5)
    assert correct == int((found.argmax(1).numpy() == labels).sum())


def test_an_optimizer_state_that_is_loaded_goes_on_as_it_was(case, reference):
    half = case.with_(densities=(0.2, 0.9, 1.0), steps=10)
    net = case.with_(densities=(0.2, 0.9, 1.0)).network()
    half.train(net)
    other = case.with_(densities=(0.2, 0.9, 1.0)).network()
    other.load(net.read())
    other.load_state(net.read_state())
    whole = case.with_(densities=(0.2, 0.9, 1.0))
    whole.train(net, 10)
    whole.train(other, 10)
    np.testing.assert_array_equal(net.read(), other.read())
    np.testing.assert_allclose(other.read(), reference(whole).weights, rtol=0, atol=1e-5)
