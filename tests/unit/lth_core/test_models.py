"""Networks, the vector their parameters live in, and masks over it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.architecture import architecture
from lth_core.initialisation import glorot_normal
from lth_core.masks import full_mask
from lth_core.model_spec import ModelSpec
from lth_core.models import FlatNetwork, KeepBits, Network
from lth_core.weights import content_digest

CASES = [
    (ModelSpec(name="lenet_300_100"), (1, 28, 28)),
    (ModelSpec(name="mlp", sizes=(16, 9, 10)), (1, 4, 4)),
    (ModelSpec(name="conv_2"), (3, 8, 8)),
    (ModelSpec(name="conv_4"), (3, 8, 8)),
    (ModelSpec(name="conv_6"), (3, 8, 8)),
]
CPU = torch.device("cpu")


@pytest.mark.parametrize(("model", "shape"), CASES)
def test_the_state_dict_is_the_architecture(model, shape):
    state = Network(model, shape, 10).state_dict()
    tensors = architecture(model, shape, 10)
    assert [(name, tuple(t.shape)) for name, t in state.items()] == [(t.name, t.shape) for t in tensors]
    assert all(not t.any() for t in state.values())


@pytest.mark.parametrize(("model", "shape"), CASES)
def test_a_network_maps_images_to_logits(model, shape):
    net = FlatNetwork(model, shape, 10, CPU)
    net.load(glorot_normal(net.tensors, 1))
    logits = net.network(torch.ones(3, *shape))
    assert logits.shape == (3, 10)
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


def test_building_a_network_leaves_torchs_generator_alone():
    before = torch.random.get_rng_state()
    FlatNetwork(ModelSpec(name="conv_2"), (3, 8, 8), 10, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_conv_net_pools_after_every_second_convolution():
    net = FlatNetwork(ModelSpec(name="conv_2"), (1, 4, 4), 3, CPU)
    weights = glorot_normal(net.tensors, 2)
    net.load(weights)
    w = {name: torch.from_numpy(array) for name, array in weights.items()}
    x = torch.linspace(-1, 1, 32).view(2, 1, 4, 4)
    y = F.relu(F.conv2d(x, w["conv1.weight"], padding=1))
    y = F.max_pool2d(F.relu(F.conv2d(y, w["conv2.weight"], padding=1)), 2).flatten(1)
    y = F.relu(F.linear(F.relu(F.linear(y, w["fc1.weight"])), w["fc2.weight"]))
    assert torch.allclose(net.network(x), F.linear(y, w["out.weight"]), atol=1e-6)


def test_loading_copies_so_that_training_cannot_corrupt_the_stored_weights():
    net = FlatNetwork(ModelSpec(name="mlp", sizes=(16, 9, 10)), (1, 4, 4), 10, CPU)
    weights = glorot_normal(net.tensors, 1)
    digest = content_digest(weights)
    net.load(weights)
    taken = net.read()
    net.vector.add_(1)
    assert content_digest(weights) == digest == content_digest(taken)
    assert content_digest(net.read()) != digest


def test_the_network_sees_the_vector():
    net = FlatNetwork(ModelSpec(name="mlp", sizes=(16, 9, 10)), (1, 4, 4), 10, CPU)
    net.vector.fill_(2)
    assert all((p == 2).all() for p in net.network.parameters())


def test_a_renamed_weight_is_refused_not_skipped():
    net = FlatNetwork(ModelSpec(name="mlp", sizes=(16, 9, 10)), (1, 4, 4), 10, CPU)
    weights = glorot_normal(net.tensors, 1)
    weights["fc9.weight"] = weights.pop("fc1.weight")
    with pytest.raises(ValueError, match="exactly"):
        net.load(weights)


def test_keeping_bits_equals_where_also_for_nan_infinity_and_minus_zero():
    tensors = architecture(ModelSpec(name="mlp", sizes=(16, 9, 10)), (1, 4, 4), 10)
    rng = np.random.default_rng(0)
    mask = {name: rng.random(bits.shape) < 0.5 for name, bits in full_mask(tensors).items()}
    flat_mask = np.concatenate([mask[t.name].ravel() if t.prunable else np.ones(t.size, bool) for t in tensors])
    values = rng.choice([np.nan, np.inf, -np.inf, -0.0, -1.5, 1e-42, 3.0], flat_mask.size).astype(np.float32)
    vector = torch.from_numpy(values.copy())
    KeepBits(mask, tensors, CPU).apply_(vector)
    expected = torch.where(torch.from_numpy(flat_mask), torch.from_numpy(values), torch.zeros(()))
    assert torch.equal(vector.view(torch.int32), expected.view(torch.int32))
