"""The error path of a small network equals a forward pass written in numpy, and a barrier its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lth_core.analyses.interpolation import (
    Examples,
    Path,
    alphas,
    error_path,
    mixture,
    recompute_statistics,
)
from lth_core.determinism import pin
from lth_core.model_spec import ModelSpec
from lth_core.models import FlatNetwork

RANDOM = np.random.default_rng(4)
SIZES = (4, 6, 3)
IMAGES = RANDOM.normal(size=(90, 1, 2, 2)).astype(np.float32)
LABELS = RANDOM.integers(0, 3, size=90)
EXAMPLES = Examples(torch.from_numpy(IMAGES), torch.from_numpy(LABELS), torch.zeros(0, 1, 2, 2))


def network() -> FlatNetwork:
    return FlatNetwork(ModelSpec(name="mlp", sizes=SIZES), (1, 2, 2), 3, torch.device("cpu"))


def weights() -> dict[str, np.ndarray]:
    return {tensor.name: RANDOM.normal(size=tensor.shape).astype(np.float32) for tensor in network().tensors}


def error_in_numpy(parameters: dict[str, np.ndarray]) -> float:
    hidden = np.maximum(IMAGES.reshape(90, 4) @ parameters["fc1.weight"].T + parameters["fc1.bias"], 0)
    logits = hidden @ parameters["out.weight"].T + parameters["out.bias"]
    return float(np.mean(logits.argmax(1) != LABELS))


def test_the_points_are_thirty_evenly_spaced_ones_without_the_middle() -> None:
    points = alphas()
    assert len(points) == 30
    assert (points[0], points[-1]) == (0.0, 1.0)
    assert np.allclose(np.diff(points), 1 / 29)
    assert 0.5 not in points


def test_every_error_on_the_path_is_that_of_the_mixed_weights() -> None:
    first, second = weights(), weights()
    path = error_path(network(), first, second, EXAMPLES)
    for a, error in zip(path.alphas, path.errors, strict=True):
        mixed = {name: np.float32(a) * first[name] + np.float32(1 - a) * second[name] for name in first}
        assert error == pytest.approx(error_in_numpy(mixed), abs=1 / 90 + 1e-9)
    expected = max(path.errors) - (error_in_numpy(second) + error_in_numpy(first)) / 2
    assert path.instability == pytest.approx(expected, abs=1e-9)
    assert path.batch_norm == "none"


def test_the_ends_are_the_two_networks_bit_for_bit() -> None:
    first, second = weights(), weights()
    assert all(np.array_equal(mixture(first, second, 0.0)[name], second[name]) for name in first)
    assert all(np.array_equal(mixture(first, second, 1.0)[name], first[name]) for name in first)


def test_pruned_weights_stay_zero_on_the_whole_path() -> None:
    first, second = weights(), weights()
    for one in (first, second):
        one["fc1.weight"][0] = 0.0
    assert not mixture(first, second, 0.3)["fc1.weight"][0].any()


def test_a_network_is_stable_towards_itself_and_a_bump_of_two_points_is_not() -> None:
    own = weights()
    path = error_path(network(), own, own, EXAMPLES)
    assert path.instability == pytest.approx(0, abs=1e-9)
    assert path.is_stable
    points = alphas()
    assert not Path(points, (0.1, *[0.121] * 28, 0.1), (0.0,) * 30, "none").is_stable
    assert Path(points, (0.1, *[0.119] * 28, 0.1), (0.0,) * 30, "none").is_stable


def test_running_statistics_become_the_means_over_the_fixed_batches() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    layer = module[1]
    assert isinstance(layer, nn.BatchNorm1d)
    layer.running_mean.fill_(9.0)
    images = RANDOM.normal(2.0, 3.0, size=(1_230, 1, 2, 2)).astype(np.float32)
    recompute_statistics(module, [layer], torch.from_numpy(images))
    batches = [images[i : i + 500].reshape(500, 4).astype(np.float64) for i in (0, 500)]
    assert np.allclose(layer.running_mean, np.mean([batch.mean(0) for batch in batches], axis=0), atol=1e-5)
    assert np.allclose(layer.running_var, np.mean([batch.var(0, ddof=1) for batch in batches], axis=0), rtol=1e-5)
    assert layer.momentum == 0.1
    assert not layer.training


def test_few_examples_make_one_batch_of_them() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    layer = module[1]
    assert isinstance(layer, nn.BatchNorm1d)
    images = RANDOM.normal(size=(7, 1, 2, 2)).astype(np.float32)
    recompute_statistics(module, [layer], torch.from_numpy(images))
    assert np.allclose(layer.running_mean, images.reshape(7, 4).mean(0), atol=1e-6)


def test_a_network_with_batch_norm_is_measured_with_statistics_of_its_own_weights() -> None:
    pin(1)
    model = ModelSpec(name="resnet_20", width=2)
    net = FlatNetwork(model, (1, 8, 8), 3, torch.device("cpu"))
    drawn = {tensor.name: RANDOM.normal(0.5, 0.3, size=tensor.shape).astype(np.float32) for tensor in net.tensors}
    other = {tensor.name: RANDOM.normal(0.5, 0.3, size=tensor.shape).astype(np.float32) for tensor in net.tensors}
    stale = {name: np.full_like(array, 7) if "running" in name else array for name, array in other.items()}
    images = RANDOM.normal(size=(40, 1, 8, 8)).astype(np.float32)
    examples = Examples(torch.from_numpy(images), torch.from_numpy(RANDOM.integers(0, 3, 40)), torch.from_numpy(images))
    path = error_path(net, drawn, other, examples)
    assert path.batch_norm == "recomputed"
    first = next(tensor.name for tensor in net.tensors if tensor.kind == "conv")
    mean = nn.functional.conv2d(torch.from_numpy(images), torch.from_numpy(drawn[first]), padding=1).mean((0, 2, 3))
    statistics = next(name for name in net.read() if name.endswith("running_mean"))
    assert np.allclose(net.read()[statistics], mean, atol=1e-5)  # the path ends at the first network
    assert error_path(net, drawn, stale, examples) == path
