"""Leaving dead units out changes no result, and their weights are where an optimizer without gradients leaves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core.engines.conv.network import ConvNetwork
from lth_core.optimizers import build_optimizer
from tests.unit.lth_core.engines.conv.steps import (
    NUM_STEPS,
    RECIPES,
    by_autograd,
    by_hand,
    distances,
    examples,
    hard_mask,
    lineage_of,
    start_of,
)


@pytest.mark.parametrize("recipe", ["momentum", "decay", "decoupled"])
def test_dead_channels_dead_units_and_empty_rows_change_nothing(recipe: str):
    lineage = lineage_of(**RECIPES[recipe])
    mask = hard_mask(lineage)
    net, losses = by_hand(lineage, mask)
    wanted, wanted_losses = by_autograd(lineage, mask)
    assert [len(layer.outputs) for layer in net.arrangement.layers] == [42, 44, 166, 50, 3]
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert distances(net.read(), wanted.read()).max() < 1e-5


@pytest.mark.parametrize("recipe", ["momentum", "decay"])
def test_leaving_dead_units_out_is_computing_them(recipe: str):
    lineage = lineage_of(**RECIPES[recipe])
    mask = hard_mask(lineage)
    (without, _), (together, _) = by_hand(lineage, mask), by_hand(lineage, mask, remove=False)
    assert [len(layer.outputs) for layer in together.arrangement.layers] == [64, 64, 256, 256, 3]
    assert distances(without.read(), together.read()).max() < 1e-6


@pytest.mark.parametrize("recipe", [*RECIPES, "adam"])
def test_dead_weights_are_where_a_gradient_of_zero_leaves_them(recipe: str):
    lineage = lineage_of(**RECIPES.get(recipe, {"weight_decay": 0.01}))
    mask = hard_mask(lineage)
    net, _ = by_hand(lineage, mask)
    wanted = torch.from_numpy(start_of(lineage)["conv1.weight"][::3].reshape(-1).copy())
    wanted[~torch.from_numpy(mask["conv1.weight"][::3].reshape(-1))] = 0
    optimizer = build_optimizer(lineage.train, wanted)
    for _ in range(NUM_STEPS):
        optimizer.step(torch.zeros_like(wanted), lineage.train.lr)
    found = net.read()["conv1.weight"][::3].reshape(-1)
    assert np.allclose(found, wanted.numpy(), rtol=1e-6, atol=0)
    assert lineage.train.weight_decay or (found == wanted.numpy()).all()


def test_momentum_that_was_there_before_carries_dead_weights_on():
    lineage = lineage_of(**RECIPES["momentum"])
    mask = hard_mask(lineage)
    size = sum(tensor.size for tensor in lineage.tensors())
    state = {"momentum": np.full(size, 0.01, dtype=np.float32)}
    net = ConvNetwork(lineage, mask)
    net.load(start_of(lineage))
    net.load_state(state)
    images, labels = next(examples(lineage))
    net.step(images, labels, 0, 0.1)
    moved = start_of(lineage)["conv1.weight"][0] - net.read()["conv1.weight"][0]
    assert np.allclose(moved, 0.1 * 0.9 * 0.01, atol=1e-7)
