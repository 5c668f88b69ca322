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

from lth_core.model_spec import ModelSpec
from lth_core.models import Network
from workers.export_open_lth import export_open_lth, model_file

LENET = ModelSpec(name="lenet_300_100")


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
    tensors = Network(model, in_shape, 10).tensors
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


def test_a_lenet_has_the_framework_s_folders_names_and_report() -> None:
    masks, rewind = make_ticket(LENET, (1, 28, 28))
    files = unpack(export_open_lth(LENET, masks, rewind, level=7, weights_file="model_ep0_it0.pth"))
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
    files = unpack(export_open_lth(LENET, masks, rewind, level=7, weights_file="model_ep0_it0.pth"))
    theirs, ours = OpenLthLenet(), Network(LENET, (1, 28, 28), 10)
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
    files = unpack(export_open_lth(LENET, masks, rewind, level=1, weights_file="model_ep0_it0.pth"))
    pruned = files["level_1/main/model_ep0_it0.pth"]["fc.weight"].numpy()[~masks["out.weight"]]
    assert not np.signbit(pruned).any()
    assert not pruned.any()


def test_a_network_without_a_counterpart_keeps_our_names_and_says_so() -> None:
    model = ModelSpec(name="conv_2")
    masks, rewind = make_ticket(model, (3, 8, 8))
    files = unpack(export_open_lth(model, masks, rewind, level=2, weights_file="model_ep0_it0.pth"))
    assert list(files["level_2/main/mask.pth"]) == list(masks)
    report = files["level_2/main/sparsity_report.json"]
    assert "no counterpart to conv_2" in report["note"]


def test_a_lenet_on_other_inputs_says_what_the_framework_expects() -> None:
    masks, rewind = make_ticket(LENET, (1, 8, 8))
    files = unpack(export_open_lth(LENET, masks, rewind, level=2, weights_file="model_ep0_it0.pth"))
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
from lth_core.model_spec import ModelSpec
from workers.export_open_lth import export_open_lth
mask = {"fc1.weight": np.eye(3, 4) > 0, "out.weight": np.eye(2, 3) > 0}
weights = {"fc1.weight": np.ones((3, 4), np.float32), "fc1.bias": np.zeros(3, np.float32),
           "out.weight": np.ones((2, 3), np.float32), "out.bias": np.zeros(2, np.float32)}
model = ModelSpec(name="mlp", sizes=(4, 3, 2))
data = export_open_lth(model, mask, weights, level=1, weights_file="model_ep0_it0.pth")
print(hashlib.sha256(data).hexdigest())
"""


def test_another_process_writes_the_same_bytes() -> None:
    runs = [subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True) for _ in "ab"]
    assert len({run.stdout for run in runs}) == 1
    assert len(runs[0].stdout.strip()) == hashlib.sha256().digest_size * 2
