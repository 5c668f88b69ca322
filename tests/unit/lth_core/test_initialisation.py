"""Gaussian Glorot by counters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lth_core import random
from lth_core.architecture import TensorSpec, architecture
from lth_core.initialisation import glorot_normal
from lth_core.model_spec import ModelSpec
from lth_core.weights import content_digest

LENET = architecture(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10)
CONV_2 = architecture(ModelSpec(name="conv_2"), (3, 32, 32), 10)


@pytest.mark.parametrize("name", ["fc1.weight", "fc2.weight", "conv2.weight"])
def test_weights_are_normal_with_the_standard_deviation_of_glorot(name):
    tensors = CONV_2 if name.startswith("conv") else LENET
    fans = {"fc1.weight": 784 + 300, "fc2.weight": 300 + 100, "conv2.weight": 64 * 9 + 64 * 9}
    drawn = glorot_normal(tensors[: 4 if name.startswith("conv") else 6], 11)[name].astype(np.float64)
    sigma = math.sqrt(2 / fans[name])
    assert abs(drawn.std() / sigma - 1) < 0.02
    assert abs(drawn.mean()) < 4 * sigma / math.sqrt(drawn.size)
    assert np.abs(drawn).max() > 3 * sigma  # not clipped: a truncated law ties thousands of weights


def test_biases_are_zero():
    weights = glorot_normal(LENET, 1)
    assert all(not weights[t.name].any() for t in LENET if t.kind == "bias")


def test_replicates_tensors_and_levels_draw_independently():
    one, two = (glorot_normal(LENET, random.seed_key(r, "init")) for r in (0, 1))
    later = glorot_normal(LENET, random.seed_key(0, "init"), level=1)
    assert len({content_digest(w) for w in (one, two, later)}) == 3
    assert not np.isin(one["out.weight"], one["fc2.weight"]).any()


def test_a_tensor_depends_on_its_place_and_not_on_the_ones_after_it():
    assert np.array_equal(glorot_normal(LENET[:1], 5)["fc1.weight"], glorot_normal(LENET, 5)["fc1.weight"])


def test_a_normalisation_begins_as_the_identity():
    tensors = architecture(ModelSpec(name="resnet_20"), (3, 8, 8), 10)
    weights = glorot_normal(tensors, 1)
    values = {".weight": 1, ".bias": 0, ".running_mean": 0, ".running_var": 1}
    for tensor in tensors:
        if "bn" in tensor.name or "downsample.1" in tensor.name:
            wanted = next(value for part, value in values.items() if tensor.name.endswith(part))
            assert (weights[tensor.name] == wanted).all(), tensor.name
        elif tensor.prunable:
            assert weights[tensor.name].std() > 0


def test_shortcuts_and_output_layers_are_drawn_by_their_own_fans():
    tensors = architecture(ModelSpec(name="resnet_20", width=64), (3, 8, 8), 10)
    weights = glorot_normal(tensors, 1)
    for name, fans in (("layer2.0.downsample.0.weight", 64 + 128), ("fc.weight", 256 + 10)):
        assert abs(weights[name].std() / math.sqrt(2 / fans) - 1) < 0.05


def test_tokens_and_positions_are_drawn_narrowly():
    tensors = (TensorSpec("token", (50, 40), "other", 1, 1), TensorSpec("scale", (4,), "norm", 4, 4))
    weights = glorot_normal(tensors, 1)
    assert abs(weights["token"].std() - 0.02) < 0.001


def test_networks_without_normalisation_draw_by_the_place_of_each_tensor():
    """Stored searches hang on it: the counter of a tensor is its place among weights and biases."""
    weights = glorot_normal(LENET, 11)
    for place, (name, sizes) in {0: ("fc1", (300, 784)), 2: ("fc2", (100, 300)), 4: ("out", (10, 100))}.items():
        drawn = random.normals(11, sizes[0] * sizes[1], scale=math.sqrt(2 / sum(sizes)), step=0, tensor=place)
        assert np.array_equal(weights[f"{name}.weight"], drawn.reshape(sizes))
