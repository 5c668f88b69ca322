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
from lth_core.models import FlatNetwork, KeepBits
from lth_core.networks.build import build_network
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
    state = build_network(model, shape, 10).state_dict()
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


RESNET = ModelSpec(name="resnet_20", width=4)
SMALL = (3, 8, 8)


def lively(net):
    """Weights of which no two tensors are equal, running statistics too."""
    rng = np.random.default_rng(3)
    return {t.name: rng.uniform(0.5, 1.5, t.shape).astype(np.float32) for t in net.tensors}


def test_running_statistics_lie_in_a_vector_of_their_own_and_weights_hold_both():
    net = FlatNetwork(RESNET, SMALL, 10, CPU)
    weights = lively(net)
    net.load(weights)
    read = net.read()
    assert list(read) == [t.name for t in net.tensors]
    assert content_digest(read) == content_digest(weights)
    statistics = [weights[name].ravel() for name in weights if "running" in name]
    assert np.array_equal(net.buffers_vector.numpy(), np.concatenate(statistics))
    parameters = [weights[name].ravel() for name in weights if "running" not in name]
    assert np.array_equal(net.vector.numpy(), np.concatenate(parameters))


def test_a_batch_moves_the_running_statistics_in_the_vector_and_in_the_module():
    net = FlatNetwork(RESNET, SMALL, 10, CPU)
    net.load(lively(net))
    before = net.buffers_vector.clone()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(6, *SMALL)).astype(np.float32))
    net.network(x)
    moved = net.read()["bn1.running_mean"]
    batch_mean = F.conv2d(x, torch.from_numpy(net.read()["conv1.weight"]), padding=1).mean((0, 2, 3)).detach().numpy()
    assert np.allclose(moved, 0.9 * before[:4].numpy() + 0.1 * batch_mean, atol=1e-6)
    state = net.network.state_dict()
    for name in ("bn1.running_mean", "layer3.2.bn2.running_var"):
        assert np.array_equal(net.read()[name], state[name].numpy())


def test_a_snapshot_brings_back_weights_and_statistics_however_often():
    net = FlatNetwork(RESNET, SMALL, 10, CPU)
    net.load(lively(net))
    digest, snapshot = content_digest(net.read()), net.snapshot()
    for _ in range(2):
        net.vector.mul_(2)
        net.network(torch.ones(3, *SMALL))
        assert content_digest(net.read()) != digest
        net.restore(snapshot)
        assert content_digest(net.read()) == digest


def test_a_network_without_normalisation_has_no_statistics():
    net = FlatNetwork(ModelSpec(name="lenet_300_100"), (1, 28, 28), 10, CPU)
    assert net.buffers_vector.numel() == 0
    assert net.vector.numel() == sum(t.size for t in net.tensors)


def test_a_mask_covers_the_parameters_and_leaves_norms_and_statistics_whole():
    net = FlatNetwork(RESNET, SMALL, 10, CPU)
    net.load(lively(net))
    mask = {name: np.zeros_like(bits) for name, bits in full_mask(net.tensors).items()}
    KeepBits(mask, net.tensors, CPU).apply_(net.vector)
    for tensor in net.tensors:
        assert net.read()[tensor.name].all() != tensor.prunable


def test_dropout_is_a_function_of_the_step_and_acts_on_the_hidden_fully_connected_units():
    model = ModelSpec(name="conv_2", dropout=0.5)
    net = FlatNetwork(model, SMALL, 10, CPU, dropout_key=7)
    net.load(glorot_normal(net.tensors, 2))
    x = torch.ones(16, *SMALL)
    seen = []
    net.network.get_submodule("fc2").register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    first = net.network(x)
    assert torch.equal(net.network(x), first)
    net.at_step(1)
    assert not torch.equal(net.network(x), first)
    net.network.eval()
    plain = FlatNetwork(ModelSpec(name="conv_2"), SMALL, 10, CPU)
    plain.load(net.read())
    assert torch.equal(net.network(x), plain.network(x))
    dropped, whole = seen[0], seen[-1]
    kept = dropped != 0
    assert torch.equal(dropped, torch.where(kept, whole * 2, torch.zeros(())))
    share = float((kept & (whole != 0)).sum() / (whole != 0).sum())
    assert 0.45 < share < 0.55


def test_each_layer_drops_units_of_its_own():
    network = FlatNetwork(ModelSpec(name="conv_2", dropout=0.5), SMALL, 10, CPU, dropout_key=7).network
    first, second = (network.get_submodule(f"dropout{i}")(torch.ones(4, 256)) for i in (1, 2))
    assert not torch.equal(first, second)


def test_without_a_seed_nothing_is_dropped():
    net = FlatNetwork(ModelSpec(name="conv_2", dropout=0.5), SMALL, 10, CPU)
    net.load(glorot_normal(net.tensors, 2))
    x = torch.ones(2, *SMALL)
    assert torch.equal(net.network(x), net.network.eval()(x))
