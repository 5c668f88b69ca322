"""Twenty steps by hand against twenty steps of autograd, whatever the mask, the optimizer and the recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lth_core.engines.conv.network import EVAL_BLOCK, ConvNetwork
from lth_core.evaluation import EVAL_BATCH_SIZE, evaluate
from lth_core.models import FlatNetwork
from lth_core.optimizers import build_optimizer, load_state, read_state
from tests.unit.lth_core.engines.conv.steps import (
    RECIPES,
    SHAPE,
    by_autograd,
    by_hand,
    distances,
    examples,
    lineage_of,
    random_mask,
    start_of,
)


@pytest.mark.parametrize(
    ("recipe", "density"),
    [
        ("momentum", 1),
        ("momentum", 0.5),
        ("momentum", 0.1),
        ("momentum", 0.02),
        ("sgd", 1),
        ("decay", 0.1),
        ("decoupled", 0.5),
    ],
)
def test_twenty_steps_are_those_of_autograd(recipe: str, density: float):
    lineage = lineage_of(**RECIPES[recipe])
    mask = random_mask(lineage, density)
    (net, losses), (wanted, wanted_losses) = by_hand(lineage, mask), by_autograd(lineage, mask)
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert distances(net.read(), wanted.read()).max() < 1e-5
    assert distances(net.read(), start_of(lineage)).max() > 1e-3


@pytest.mark.parametrize(
    ("density", "weight_decay_mode"), [(1, "coupled"), (0.5, "decoupled"), (0.1, "coupled"), (0.02, "decoupled")]
)
def test_twenty_steps_of_adam_with_a_past_are_those_of_autograd(density: float, weight_decay_mode: str):
    lineage = lineage_of(lr=0.0012, weight_decay=1e-3, weight_decay_mode=weight_decay_mode)
    mask = random_mask(lineage, density)
    size = sum(tensor.size for tensor in lineage.tensors())
    past: dict[str, Any] = {
        "mean": np.zeros(size, dtype=np.float32),
        "square": np.full(size, 1e-3, dtype=np.float32),
        "count": np.array(1000, dtype=np.float32),
    }
    (net, losses), (wanted, wanted_losses) = by_hand(lineage, mask, state=past), by_autograd(lineage, mask, state=past)
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert distances(net.read(), wanted.read()).max() < 1e-5
    assert distances(net.read(), start_of(lineage)).max() > 1e-3


@pytest.mark.parametrize("density", [1, 0.1])
def test_twenty_first_steps_of_adam_are_those_of_autograd_wherever_a_gradient_is_more_than_rounding(density: float):
    """A fresh Adam divides a gradient by its own size: one that is nothing but rounding moves its weight at random."""
    lineage = lineage_of(lr=0.0012)
    mask = random_mask(lineage, density)
    (net, losses), (wanted, wanted_losses) = by_hand(lineage, mask), by_autograd(lineage, mask)
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert (distances(net.read(), wanted.read()) > 1e-5).mean() < 0.02


@pytest.mark.parametrize("name", ["conv_4", "conv_6"])
def test_deeper_networks_take_the_same_steps(name: str):
    lineage = lineage_of(name, optimizer="sgd", lr=0.005, momentum=0.9)
    mask = random_mask(lineage, 0.1)
    (net, losses), (wanted, wanted_losses) = by_hand(lineage, mask), by_autograd(lineage, mask)
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert distances(net.read(), wanted.read()).max() < 1e-5


@pytest.mark.parametrize("density", [1, 0.02])
def test_the_same_units_drop_out(density: float):
    lineage = lineage_of(dropout=0.5, optimizer="sgd", lr=0.01)
    mask = random_mask(lineage, density)
    (net, losses), (wanted, wanted_losses) = by_hand(lineage, mask), by_autograd(lineage, mask)
    assert losses == pytest.approx(wanted_losses, abs=1e-5)
    assert losses != pytest.approx(by_hand(lineage_of(optimizer="sgd", lr=0.01), mask)[1], abs=1e-5)
    assert distances(net.read(), wanted.read()).max() < 1e-5


def test_pruned_weights_and_their_moments_stay_zero():
    lineage = lineage_of(weight_decay=0.01)
    mask = random_mask(lineage, 0.3)
    assert mask is not None
    net, _ = by_hand(lineage, mask)
    kept = np.concatenate(
        [mask[t.name].reshape(-1) if t.prunable else np.ones(t.size, bool) for t in lineage.tensors()]
    )
    for vector in (
        *(net.read_state()[name] for name in ("mean", "square")),
        np.concatenate([array.reshape(-1) for array in net.read().values()]),
    ):
        assert not vector[~kept].view(np.int32).any()
        assert vector[kept].any()


def test_an_optimizers_state_goes_from_autograd_to_this_engine_and_back():
    lineage = lineage_of(lr=0.0012)
    mask = random_mask(lineage, 0.1)
    wanted, _ = by_autograd(lineage, mask, 3)
    state = by_hand(lineage, mask, 3)[0].read_state()
    net = ConvNetwork(lineage, mask)
    net.load(wanted.read())
    net.load_state(state)
    assert {name: array.tolist() for name, array in net.read_state().items()} == {
        name: array.tolist() for name, array in state.items()
    }
    optimizer = build_optimizer(lineage.train, wanted.vector)
    load_state(optimizer, state)
    assert read_state(optimizer)["count"] == 3


@pytest.mark.parametrize("wrong", [{}, {"momentum": 1}, {"mean": 1, "square": 1, "count": 0}])
def test_a_state_of_another_optimizer_or_network_is_refused(wrong: dict[str, int]):
    net = ConvNetwork(lineage_of(), None)
    state = {name: np.zeros((7,) if dim else (), dtype=np.float32) for name, dim in wrong.items()}
    with pytest.raises(ValueError, match="optimizer"):
        net.load_state(state)


@pytest.mark.parametrize("density", [1, 0.02])
def test_an_evaluation_measures_what_the_reference_measures(density: float):
    lineage = lineage_of()
    mask = random_mask(lineage, density)
    net, _ = by_hand(lineage, mask)
    same = FlatNetwork(lineage.model, SHAPE, lineage.num_classes, torch.device("cpu"))
    same.load(net.read())
    num = EVAL_BATCH_SIZE + EVAL_BLOCK + 7
    images = torch.randn(num, *SHAPE, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(num) % lineage.num_classes
    beats: list[None] = []
    found, wanted = net.evaluate(images, labels, lambda: beats.append(None)), evaluate(same.network, images, labels)
    assert found.loss == pytest.approx(wanted.loss, abs=1e-6)
    assert found.accuracy == wanted.accuracy
    assert len(beats) == -(-EVAL_BATCH_SIZE // EVAL_BLOCK) + 2


def test_a_snapshot_is_where_the_network_goes_back_to():
    lineage = lineage_of()
    net, _ = by_hand(lineage, random_mask(lineage, 0.1), 2)
    then, copy = net.read(), net.snapshot()
    images, labels = next(examples(lineage))
    before = net.evaluate(images, labels, lambda: None)
    net.step(images, labels, 2, 0.01)
    assert distances(net.read(), then).max() > 0
    net.restore(copy)
    assert distances(net.read(), then).max() == 0
    assert net.evaluate(images, labels, lambda: None) == before
