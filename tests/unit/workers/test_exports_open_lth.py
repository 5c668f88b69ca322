"""The export `open_lth` has that framework's folders and names, and gives the ticket's logits there."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lth_core.architecture import architecture
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network, constants
from workers.export_open_lth import export_open_lth, model_file
from workers.open_lth_names import naming

LENET = ModelSpec(name="lenet_300_100")
START = "model_ep0_it0.pth"


class OpenLthLenet(nn.Module):
    """Names and arithmetic of open_lth's `mnist_lenet_300_100`."""

    def __init__(self, plan: tuple[int, ...] = (784, 300, 100)) -> None:
        super().__init__()
        self.fc_layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(plan)])
        self.fc = nn.Linear(plan[-1], 10)

    def forward(self, x: torch.Tensor) -> Any:
        x = x.view(x.size(0), -1)
        for layer in self.fc_layers:
            x = functional.relu(layer(x))
        return self.fc(x)


def make_ticket(model: ModelSpec, in_shape: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    tensors = architecture(model, in_shape, 10)
    masks = {t.name: rng.random(t.shape) < 0.3 for t in tensors if t.prunable}
    return masks, {t.name: rng.normal(size=t.shape).astype(np.float32) for t in tensors}


def unpack(data: bytes) -> dict[str, Any]:
    """Read the archive as open_lth does."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return {
        name: json.loads(content) if name.endswith(".json") else torch.load(io.BytesIO(content), weights_only=True)
        for name, content in files.items()
    }


def export(model: ModelSpec, masks: Any, rewind: Any, *, level: int, rest: Any = None) -> dict[str, Any]:
    named = naming(model, {**rewind, **(rest or {})})
    return unpack(export_open_lth(named, masks, rewind, rest or {}, level=level, weights_file=START))


def test_a_lenet_has_the_framework_s_folders_names_and_report() -> None:
    masks, rewind = make_ticket(LENET, (1, 28, 28))
    files = export(LENET, masks, rewind, level=7)
    assert set(files) == {
        "level_7/main/mask.pth",
        "level_7/main/sparsity_report.json",
        "level_7/main/model_ep0_it0.pth",
        "level_0/main/model_ep0_it0.pth",
    }
    mask = files["level_7/main/mask.pth"]
    assert list(mask) == ["fc_layers.0.weight", "fc_layers.1.weight", "fc.weight"]
    assert all(value.dtype == torch.int32 for value in mask.values())
    assert np.array_equal(mask["fc.weight"].numpy().astype(bool), masks["out.weight"])
    unpruned = sum(int(value.sum()) for value in masks.values())
    assert files["level_7/main/sparsity_report.json"] == {"total": 266200.0, "unpruned": float(unpruned)}


def test_a_lenet_gives_the_ticket_s_logits_there() -> None:
    masks, rewind = make_ticket(LENET, (1, 28, 28))
    files = export(LENET, masks, rewind, level=7)
    theirs, ours = OpenLthLenet(), build_network(LENET, (1, 28, 28), 10)
    theirs.load_state_dict(files["level_0/main/model_ep0_it0.pth"], strict=True)
    for name, parameter in theirs.named_parameters():
        if name in files["level_7/main/mask.pth"]:
            parameter.data *= files["level_7/main/mask.pth"][name].float()
    masked = {n: torch.from_numpy(np.where(masks[n], w, np.float32(0)) if n in masks else w) for n, w in rewind.items()}
    ours.load_state_dict(masked, strict=True)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 1, 28, 28)).astype(np.float32))
    with torch.no_grad():
        assert float((theirs(x) - ours(x)).abs().max()) == 0.0
        theirs.load_state_dict(files["level_7/main/model_ep0_it0.pth"], strict=True)
        assert float((theirs(x) - ours(x)).abs().max()) == 0.0


def test_pruned_entries_of_the_masked_weights_are_plus_zero() -> None:
    masks, rewind = make_ticket(LENET, (1, 28, 28))
    files = export(LENET, masks, rewind, level=1)
    pruned = files["level_1/main/model_ep0_it0.pth"]["fc.weight"].numpy()[~masks["out.weight"]]
    assert not np.signbit(pruned).any()
    assert not pruned.any()


@pytest.mark.parametrize(
    ("fields", "shape", "reason"),
    [
        ({"name": "conv_2"}, (3, 8, 8), "no counterpart to conv_2"),
        ({"name": "resnet_18"}, (3, 8, 8), "no counterpart to resnet_18 with stem cifar"),
        (
            {"name": "torchvision", "arch": "squeezenet1_1"},
            (3, 64, 64),
            "no counterpart to torchvision's squeezenet1_1",
        ),
        ({"name": "resnet_20"}, (1, 8, 8), "takes examples of 3 channels, this network takes 1"),
    ],
)
def test_a_network_that_the_framework_lacks_is_refused(fields: Any, shape: tuple[int, ...], reason: str) -> None:
    model = ModelSpec.model_validate(fields)
    shapes = {t.name: np.broadcast_to(np.float32(0), t.shape) for t in architecture(model, shape, 10)}
    with pytest.raises(ValueError, match=reason):
        naming(model, shapes)


class OpenLthResnetBlock(nn.Module):
    """Names of a block in open_lth's `cifar_resnet_N`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        halves = [nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs)] if stride == 2 else []
        self.shortcut = nn.Sequential(*halves)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.shortcut(x))


class OpenLthResnet(nn.Module):
    """Names and arithmetic of open_lth's `cifar_resnet_20_4`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        plan = [(4, 4, 1)] * 3 + [(4, 8, 2), (8, 8, 1), (8, 8, 1)] + [(8, 16, 2), (16, 16, 1), (16, 16, 1)]
        self.blocks = nn.Sequential(*[OpenLthResnetBlock(*sizes) for sizes in plan])
        self.fc = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.blocks(functional.relu(self.bn(self.conv(x))))
        return self.fc(functional.avg_pool2d(x, x.shape[3]).flatten(1))


class OpenLthVggLayer(nn.Module):
    """Names of a layer in open_lth's `cifar_vgg_N`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> Any:
        return functional.relu(self.bn(self.conv(x)))


class OpenLthVgg(nn.Module):
    """Names and arithmetic of open_lth's `cifar_vgg_11`."""

    def __init__(self) -> None:
        super().__init__()
        inputs, layers = 3, []
        for outputs in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512):
            layers.append(OpenLthVggLayer(inputs, outputs) if outputs else nn.MaxPool2d(2, 2))
            inputs = outputs or inputs
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(512, 10)

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(functional.avg_pool2d(self.layers(x), 2).flatten(1))


@pytest.mark.parametrize(
    ("fields", "theirs", "called"),
    [
        ({"name": "resnet_20", "width": 4}, OpenLthResnet, "cifar_resnet_20_4"),
        ({"name": "vgg_11"}, OpenLthVgg, "cifar_vgg_11"),
    ],
)
def test_a_network_with_normalisation_loads_there_strictly_with_the_ticket_s_logits(
    fields: Any, theirs: type[nn.Module], called: str
) -> None:
    model, shape = ModelSpec.model_validate(fields), (3, 32, 32)
    masks, rewind = make_ticket(model, shape)
    rewind.update({name: np.abs(value) + 0.5 for name, value in rewind.items() if name.endswith("running_var")})
    rest = constants(model, shape, 10)
    assert naming(model, rewind).model == called
    files = export(model, masks, rewind, level=3, rest=rest)
    network, ours = theirs().eval(), build_network(model, shape, 10).eval()
    weights = [name for name, p in network.named_parameters() if p.dim() > 1]
    assert list(files["level_3/main/mask.pth"]) == weights
    network.load_state_dict(files[f"level_3/main/{START}"], strict=True)
    masked = {n: np.where(masks[n], w, np.float32(0)) if n in masks else w for n, w in {**rewind, **rest}.items()}
    ours.load_state_dict({n: torch.from_numpy(np.asarray(w)) for n, w in masked.items()}, strict=True)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32))
    with torch.no_grad():
        expected = ours(x)
        assert torch.allclose(network(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_an_imagenet_resnet_lies_below_model_there() -> None:
    model = ModelSpec(name="resnet_18", stem="imagenet")
    shapes = {t.name: np.broadcast_to(np.float32(0), t.shape) for t in architecture(model, (3, 64, 64), 10)}
    named = naming(model, shapes)
    assert named.model == "imagenet_resnet_18"
    assert named.names["layer2.0.downsample.0.weight"] == "model.layer2.0.downsample.0.weight"


def test_a_lenet_on_other_inputs_says_what_the_framework_expects() -> None:
    masks, rewind = make_ticket(LENET, (1, 8, 8))
    files = export(LENET, masks, rewind, level=2)
    assert next(iter(files["level_2/main/mask.pth"])) == "fc_layers.0.weight"
    assert "784 inputs, this network takes 64" in files["level_2/main/sparsity_report.json"]["note"]


@pytest.mark.parametrize(("step", "name"), [(0, "model_ep0_it0.pth"), (100, "model_ep0_it100.pth")])
def test_the_weights_are_named_by_epoch_and_iteration(step: int, name: str) -> None:
    assert model_file(step, 60_000, 128) == name


def test_an_epoch_there_counts_its_last_shorter_batch() -> None:
    assert model_file(468, 60_000, 128) == "model_ep0_it468.pth"
    assert model_file(469, 60_000, 128) == "model_ep1_it0.pth"


SCRIPT = """
import hashlib, numpy as np
from lth_core.architecture import architecture
from lth_core.model_spec import ModelSpec
from workers.export_open_lth import export_open_lth
from workers.open_lth_names import naming
mask = {"fc1.weight": np.eye(3, 4) > 0, "out.weight": np.eye(2, 3) > 0}
weights = {"fc1.weight": np.ones((3, 4), np.float32), "fc1.bias": np.zeros(3, np.float32),
           "out.weight": np.ones((2, 3), np.float32), "out.bias": np.zeros(2, np.float32)}
model = ModelSpec(name="mlp", sizes=(4, 3, 2))
data = export_open_lth(naming(model, weights), mask, weights, {}, level=1, weights_file="model_ep0_it0.pth")
print(hashlib.sha256(data).hexdigest())
"""


def test_another_process_writes_the_same_bytes() -> None:
    runs = [subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True) for _ in "ab"]
    assert len({run.stdout for run in runs}) == 1
    assert len(runs[0].stdout.strip()) == hashlib.sha256().digest_size * 2
