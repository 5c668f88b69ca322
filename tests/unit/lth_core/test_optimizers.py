"""Optimizers against torch's own, and pruned entries under all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core.optimizers import build_optimizer
from lth_core.parts import Train

RECIPES = {
    "sgd": Train(optimizer="sgd", lr=0.1),
    "momentum": Train(optimizer="sgd", lr=0.1, momentum=0.9),
    "momentum and decay": Train(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": Train(optimizer="adam", lr=0.01),
    "adam and decay": Train(optimizer="adam", lr=0.01, weight_decay=0.01),
}


def peer(recipe: Train, weights: torch.Tensor) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam([weights], lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD([weights], lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


@pytest.mark.parametrize("name", RECIPES)
def test_updates_are_those_of_torch_optim(name):
    recipe = RECIPES[name]
    rng = np.random.default_rng(0)
    ours = torch.from_numpy(rng.standard_normal(101).astype(np.float32))
    theirs = ours.clone().requires_grad_()
    mine, other = build_optimizer(recipe, ours), peer(recipe, theirs)
    for _ in range(25):
        gradient = torch.from_numpy(rng.standard_normal(101).astype(np.float32))
        theirs.grad = gradient.clone()
        other.step()
        mine.step(gradient, recipe.lr)
        assert torch.allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_an_entry_whose_weight_and_gradient_are_zero_stays_exactly_plus_zero(name):
    weights, gradient = torch.ones(40), torch.ones(40)
    pruned = torch.arange(40) % 3 == 0
    weights[pruned] = 0
    optimizer = build_optimizer(RECIPES[name], weights)
    for _ in range(10):
        gradient.fill_(-0.5)
        gradient[pruned] = 0
        optimizer.step(gradient, 0.1)
        assert not weights.view(torch.int32)[pruned].any()
        assert (weights[~pruned] > 1).all()


@pytest.mark.parametrize("name", RECIPES)
def test_a_new_optimizer_knows_nothing_of_the_last_one(name):
    results = []
    for _ in range(2):
        weights = torch.ones(8)
        optimizer = build_optimizer(RECIPES[name], weights)
        optimizer.step(torch.full((8,), 0.3), 0.1)
        results.append(weights)
    assert torch.equal(*results)
