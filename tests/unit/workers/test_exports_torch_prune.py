"""The export `torch_prune` loads strictly into a pruned torch module and gives the ticket's logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch.nn.utils import prune

from lth_core.architecture import architecture
from lth_core.canonical import sha256_hex
from lth_core.expansion import WINNING_TICKET
from lth_core.masks import pack_mask, unpack_mask
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network, constants
from lth_core.weights import weights_from_safetensors
from tests.support.chains import compute, digits_tensors, small_submission
from workers.export_torch_prune import export_torch_prune


def make_ticket(model: ModelSpec, in_shape: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a random mask and random weights for a network."""
    rng = np.random.default_rng(0)
    tensors = architecture(model, in_shape, 10)
    masks = {t.name: rng.random(t.shape) < 0.3 for t in tensors if t.prunable}
    return masks, {t.name: rng.normal(size=t.shape).astype(np.float32) for t in tensors}


def ticket_logits(model: ModelSpec, in_shape: tuple[int, ...], masks: Any, rewind: Any, x: torch.Tensor) -> Any:
    network = build_network(model, in_shape, 10)
    masked = {name: np.where(masks[name], w, np.float32(0)) if name in masks else w for name, w in rewind.items()}
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in masked.items()}, strict=True)
    with torch.no_grad():
        return network.eval()(x)


def test_ten_lines_of_torch_load_a_real_ticket_with_equal_logits() -> None:
    computed = compute(small_submission(treatments=[]))
    lineage = computed.lineage(WINNING_TICKET)
    tensors = lineage.spec.tensors()
    manifest = computed.chain(lineage, 3)[3]
    masks = unpack_mask(computed.blobs[manifest["stored"]["mask"]["sha256"]], tensors)
    rewind = weights_from_safetensors(computed.blobs[manifest["stored"]["rewind"]["sha256"]], tensors)
    data = export_torch_prune(masks, rewind, {}, manifest["core"]["digests"]["mask"])

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.out = torch.nn.Linear(64, 12), torch.nn.Linear(12, 10)

        def forward(self, x: torch.Tensor) -> Any:
            return self.out(torch.relu(self.fc1(x.flatten(1))))

    network = Net()
    for module in (network.fc1, network.out):
        prune.identity(module, "weight")
    network.load_state_dict(load(data), strict=True)
    with torch.no_grad():
        logits = network(digits_tensors().test_images)

    expected = ticket_logits(lineage.spec.model, (1, 8, 8), masks, rewind, digits_tensors().test_images)
    assert float((logits - expected).abs().max()) == 0.0
    for name in ("fc1", "out"):
        assert int(getattr(network, name).weight_mask.sum()) == int(masks[f"{name}.weight"].sum())


@pytest.mark.parametrize(
    ("name", "in_shape"), [("lenet_300_100", (1, 28, 28)), ("conv_2", (3, 8, 8)), ("conv_6", (3, 16, 16))]
)
def test_every_network_loads_strictly_with_equal_logits(name: str, in_shape: tuple[int, ...]) -> None:
    model = ModelSpec.model_validate({"name": name})
    masks, rewind = make_ticket(model, in_shape)
    network = build_network(model, in_shape, 10)
    for module in network.children():
        prune.identity(module, "weight")
    network.load_state_dict(load(export_torch_prune(masks, rewind, {}, "0" * 64)), strict=True)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(7, *in_shape)).astype(np.float32))
    with torch.no_grad():
        logits = network(x)
    assert float((logits - ticket_logits(model, in_shape, masks, rewind, x)).abs().max()) == 0.0


@pytest.mark.parametrize(
    ("fields", "in_shape"),
    [
        ({"name": "resnet_20", "width": 4}, (3, 8, 8)),
        ({"name": "vgg_11"}, (3, 16, 16)),
        ({"name": "torchvision", "arch": "shufflenet_v2_x0_5"}, (3, 32, 32)),
    ],
)
def test_a_network_with_normalisation_loads_strictly_with_its_batch_counters(
    fields: dict[str, Any], in_shape: tuple[int, ...]
) -> None:
    model = ModelSpec.model_validate(fields)
    masks, rewind = make_ticket(model, in_shape)
    rewind.update({name: np.abs(value) + 0.5 for name, value in rewind.items() if name.endswith("running_var")})
    rest = constants(model, in_shape, 10)
    assert any(name.endswith("num_batches_tracked") for name in rest)
    network = build_network(model, in_shape, 10)
    for module in list(network.modules()):
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            prune.identity(module, "weight")
    exported = load(export_torch_prune(masks, rewind, rest, "0" * 64))
    assert set(exported) == set(network.state_dict())  # a strict load alone forgives missing batch counters
    network.load_state_dict(exported, strict=True)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(3, *in_shape)).astype(np.float32))
    with torch.no_grad():
        logits = network.eval()(x)
    expected = ticket_logits(model, in_shape, masks, {**rewind, **rest}, x)
    assert float(expected.std()) > 0
    assert float((logits - expected).abs().max()) == 0.0


def test_the_bytes_are_stable_whatever_the_order_of_the_tensors() -> None:
    masks, rewind = make_ticket(ModelSpec(name="lenet_300_100"), (1, 8, 8))
    first = export_torch_prune(masks, rewind, {}, "0" * 64)
    again = export_torch_prune(dict(reversed(masks.items())), dict(reversed(rewind.items())), {}, "0" * 64)
    assert first == again


def test_the_mask_packed_again_keeps_its_digest() -> None:
    masks, rewind = make_ticket(ModelSpec(name="lenet_300_100"), (1, 8, 8))
    tensors = architecture(ModelSpec(name="lenet_300_100"), (1, 8, 8), 10)
    packed = pack_mask(masks, tensors)
    loaded = load(export_torch_prune(masks, rewind, {}, sha256_hex(packed)))
    again = {name.removesuffix("_mask"): v.numpy() > 0 for name, v in loaded.items() if name.endswith("_mask")}
    assert pack_mask(again, tensors) == packed


def test_a_transposed_array_is_written_as_it_reads() -> None:
    masks, rewind = make_ticket(ModelSpec(name="lenet_300_100"), (1, 8, 8))
    turned = {name: np.asfortranarray(value) for name, value in rewind.items()}
    assert export_torch_prune(masks, turned, {}, "0" * 64) == export_torch_prune(masks, rewind, {}, "0" * 64)


def test_a_mask_without_weights_is_refused() -> None:
    masks, rewind = make_ticket(ModelSpec(name="lenet_300_100"), (1, 8, 8))
    del rewind["fc1.weight"]
    with pytest.raises(ValueError, match=r"mask fc1\.weight .* has no rewind weights"):
        export_torch_prune(masks, rewind, {}, "0" * 64)
