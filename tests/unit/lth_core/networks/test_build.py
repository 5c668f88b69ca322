"""Every network's module has the tensors of its architecture, draws nothing, and computes what is published."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.architecture import architecture
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network, constants
from lth_core.weights import Weights

SMALL = (3, 16, 16)
OWN = [
    {"name": "conv_4"},
    {"name": "conv_2", "dropout": 0.5},
    {"name": "resnet_20"},
    {"name": "resnet_32_4"},
    {"name": "vgg_19"},
    {"name": "resnet_18"},
    {"name": "resnet_50", "stem": "imagenet"},
]


def spec(fields: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate(fields)


def lively_weights(fields: dict[str, Any], shape: tuple[int, ...] = SMALL, num_classes: int = 10) -> Weights:
    """Weights whose normalisations are no identities, so that a swapped mean or scale shows."""
    rng = np.random.default_rng(5)
    weights: Weights = {}
    for tensor in architecture(spec(fields), shape, num_classes):
        if tensor.prunable:
            drawn = rng.standard_normal(tensor.shape, dtype=np.float32)
            weights[tensor.name] = drawn * np.float32((2 / (tensor.fan_in + tensor.fan_out)) ** 0.5)
        else:
            weights[tensor.name] = rng.uniform(0.5, 1.5, tensor.shape).astype(np.float32)
    return weights


def logits_of(fields: dict[str, Any], weights: Weights, x: Tensor) -> Tensor:
    network = build_network(spec(fields), tuple(x.shape[1:]), 10)
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    with torch.no_grad():
        logits: Tensor = network.eval()(x)
    return logits


def examples(shape: tuple[int, ...] = SMALL) -> Tensor:
    return torch.from_numpy(np.random.default_rng(9).normal(size=(4, *shape)).astype(np.float32))


@pytest.mark.parametrize("fields", OWN, ids=lambda fields: "-".join(map(str, fields.values())))
def test_the_state_dict_is_the_architecture_and_zero(fields: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    network = build_network(spec(fields), SMALL, 10, dropout_key=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    state = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    tensors = architecture(spec(fields), SMALL, 10)
    assert [(name, tuple(t.shape)) for name, t in state.items()] == [(t.name, t.shape) for t in tensors]
    assert [name for name, _ in network.named_parameters()] == [t.name for t in tensors if t.is_parameter]
    assert not any(bool(t.any()) for t in network.state_dict().values())


def test_batch_counters_are_the_only_constants_of_our_own_networks() -> None:
    found = constants(spec({"name": "resnet_20"}), SMALL, 10)
    norms = [n for n in lively_weights({"name": "resnet_20"}) if n.endswith("running_mean")]
    assert list(found) == [name.replace("running_mean", "num_batches_tracked") for name in norms]
    assert all(value.dtype == np.int64 and value.shape == () and value == 0 for value in found.values())
    assert constants(spec({"name": "lenet_300_100"}), (1, 28, 28), 10) == {}


def normalised(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Batch normalisation with running statistics, written out."""
    mean, var, scale, shift = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    column = (None, slice(None), None, None)
    return (x - mean[column]) / torch.sqrt(var[column] + 1e-5) * scale[column] + shift[column]


def test_resnet_20_computes_what_the_paper_of_residual_networks_says() -> None:
    weights = lively_weights({"name": "resnet_20"})
    w = {name: torch.from_numpy(value) for name, value in weights.items()}
    x = examples()
    y = F.relu(normalised(w, "bn1", F.conv2d(x, w["conv1.weight"], padding=1)))
    for stage in (1, 2, 3):
        for i in range(3):
            block, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            z = F.conv2d(y, w[f"{block}.conv1.weight"], padding=1, stride=stride)
            z = F.conv2d(F.relu(normalised(w, f"{block}.bn1", z)), w[f"{block}.conv2.weight"], padding=1)
            z = normalised(w, f"{block}.bn2", z)
            if stride == 2:
                y = normalised(
                    w,
                    f"{block}.downsample.1",
                    y[:, :, ::2, ::2]
                    .clone()
                    .permute(0, 2, 3, 1)
                    .matmul(w[f"{block}.downsample.0.weight"][:, :, 0, 0].T)
                    .permute(0, 3, 1, 2),
                )
            y = F.relu(z + y)
    expected = y.sum((2, 3)) / (y.shape[2] * y.shape[3]) @ w["fc.weight"].T + w["fc.bias"]
    assert torch.allclose(logits_of({"name": "resnet_20"}, weights, x), expected, rtol=1e-4, atol=1e-4)


def test_vgg_11_pools_between_its_groups_and_takes_the_mean_at_the_end() -> None:
    weights = lively_weights({"name": "vgg_11"})
    w = {name: torch.from_numpy(value) for name, value in weights.items()}
    x = y = examples()
    for place in ("0", "pool", "4", "pool", "8", "11", "pool", "15", "18", "pool", "22", "25"):
        if place == "pool":
            y = F.max_pool2d(y, 2)
        else:
            y = F.conv2d(y, w[f"features.{place}.weight"], w[f"features.{place}.bias"], padding=1)
            y = F.relu(normalised(w, f"features.{int(place) + 1}", y))
    expected = y.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]
    assert torch.allclose(logits_of({"name": "vgg_11"}, weights, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "arch"), [("resnet_18", "resnet18"), ("resnet_50", "resnet50")])
def test_the_large_residual_networks_are_torchvisions_to_the_last_bit(name: str, arch: str) -> None:
    fields = {"name": name, "stem": "imagenet"}
    weights, x = lively_weights(fields), examples()
    theirs = logits_of({"name": "torchvision", "arch": arch}, weights, x)
    assert torch.equal(logits_of(fields, weights, x), theirs)


def test_the_stem_for_small_images_neither_strides_nor_pools() -> None:
    weights = lively_weights({"name": "resnet_18"})
    network = build_network(spec({"name": "resnet_18"}), SMALL, 10).eval()
    network.load_state_dict({n: torch.from_numpy(v) for n, v in weights.items()}, strict=False)
    sizes: list[tuple[int, ...]] = []
    for part in ("layer1", "layer4"):
        network.get_submodule(part).register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape)))
    network(examples())
    assert sizes == [(4, 64, 16, 16), (4, 512, 2, 2)]


def test_importing_the_core_imports_no_torchvision() -> None:
    script = "import sys, lth_core.networks.build; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
