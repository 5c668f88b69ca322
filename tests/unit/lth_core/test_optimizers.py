"""Optimizers against torch's own, and pruned entries under all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lth_core.optimizers import build_optimizer, load_state, moments, read_state
from lth_core.parts import Train

RECIPES = {
    "sgd": Train(optimizer="sgd", lr=0.1),
    "momentum": Train(optimizer="sgd", lr=0.1, momentum=0.9),
    "momentum and decay": Train(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": Train(optimizer="adam", lr=0.01),
    "adam and decay": Train(optimizer="adam", lr=0.01, weight_decay=0.01),
    "adamw": Train(optimizer="adam", lr=0.01, weight_decay=0.1, weight_decay_mode="decoupled"),
    "sgdw": Train(optimizer="sgd", lr=0.1, weight_decay=0.1, weight_decay_mode="decoupled"),
    "sgdw and momentum": Train(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.1, weight_decay_mode="decoupled"),
}
TORCH_HAS = [name for name in RECIPES if not name.startswith("sgdw")]


def peer(recipe: Train, weights: torch.Tensor) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        kind = torch.optim.AdamW if recipe.weight_decay_mode == "decoupled" else torch.optim.Adam
        return kind([weights], lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD([weights], lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


@pytest.mark.parametrize("name", TORCH_HAS)
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


RATES = [0.1, 0.3, 0.2, 0.05, 0.4]


def gradients(num: int, size: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(size).astype(np.float32) for _ in range(num)]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decoupled_decay_takes_rate_times_decay_off_the_weights_and_never_enters_the_momentum(momentum):
    recipe = Train(optimizer="sgd", lr=1.0, momentum=momentum, weight_decay=0.3, weight_decay_mode="decoupled")
    weights = torch.linspace(-1, 1, 50)
    w, buffer = weights.double().numpy().copy(), np.zeros(50)
    optimizer = build_optimizer(recipe, weights)
    for gradient, lr in zip(gradients(5), RATES, strict=True):
        optimizer.step(torch.from_numpy(gradient.copy()), lr)
        buffer = momentum * buffer + gradient
        w = w - lr * 0.3 * w - lr * buffer
    assert weights.numpy() == pytest.approx(w, rel=1e-5, abs=1e-6)


def test_adamw_follows_its_formula_with_a_rate_that_changes():
    recipe = Train(optimizer="adam", weight_decay=0.3, weight_decay_mode="decoupled")
    weights = torch.linspace(-1, 1, 50)
    w, m, v = weights.double().numpy().copy(), np.zeros(50), np.zeros(50)
    optimizer = build_optimizer(recipe, weights)
    for t, (gradient, lr) in enumerate(zip(gradients(5), RATES, strict=True), start=1):
        optimizer.step(torch.from_numpy(gradient.copy()), lr)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
        w = w - lr * 0.3 * w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert weights.numpy() == pytest.approx(w, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_a_state_taken_out_and_put_back_goes_on_bit_for_bit(name):
    whole = torch.linspace(-1, 1, 50)
    optimizer = build_optimizer(RECIPES[name], whole)
    for gradient in gradients(4):
        optimizer.step(torch.from_numpy(gradient.copy()), 0.1)
    resumed, state = whole.clone(), read_state(optimizer)
    kept = {key: array.copy() for key, array in state.items()}
    other = build_optimizer(RECIPES[name], resumed)
    load_state(other, state)
    for gradient in gradients(7)[4:]:
        optimizer.step(torch.from_numpy(gradient.copy()), 0.1)
        other.step(torch.from_numpy(gradient.copy()), 0.1)
    assert torch.equal(whole, resumed)
    assert all(np.array_equal(kept[key], state[key]) for key in kept)  # the arrays stay the caller's


def test_the_state_is_named():
    names = {name: sorted(read_state(build_optimizer(RECIPES[name], torch.ones(3)))) for name in RECIPES}
    assert names["sgd"] == names["sgdw"] == []
    assert names["momentum"] == ["momentum"]
    assert names["adam"] == names["adamw"] == ["count", "mean", "square"]
    assert [moment.shape for moment in moments(build_optimizer(RECIPES["adam"], torch.ones(3)))] == [(3,), (3,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "must have the arrays"),
        ({"extra": np.zeros(3, np.float32)}, "must have the arrays"),
        ({"mean": np.zeros(4, np.float32)}, "mean of the optimizer must be float32 of shape"),
        ({"square": np.zeros(3)}, "square of the optimizer must be float32"),
        ({"mean": np.full(3, np.nan, np.float32)}, "mean of the optimizer must be finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    optimizer = build_optimizer(RECIPES["adam"], torch.ones(3))
    state = {key: value for key, value in {**read_state(optimizer), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_state(optimizer, state)
