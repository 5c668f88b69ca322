"""Steps of a small network by hand and by autograd, under masks of every kind, for the tests beside this file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core import random
from lth_core.data import batches, split
from lth_core.determinism import pin
from lth_core.engines.conv.network import ConvNetwork
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.keeping import Keep
from lth_core.masks import Mask, full_mask
from lth_core.model_spec import ModelSpec
from lth_core.models import FlatNetwork
from lth_core.optimizers import OptimizerState, build_optimizer, load_state
from lth_core.weights import Weights
from tests.support.tiny import tiny_data, tiny_lineage

SHAPE = (3, 8, 8)
NUM_STEPS = 20
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 0.005},
    "momentum": {"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "label_smoothing": 0.1},
    "decay": {"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.01},
    "decoupled": {"optimizer": "sgd", "lr": 0.005, "weight_decay": 0.01, "weight_decay_mode": "decoupled"},
}


def lineage_of(name: str = "conv_2", dropout: float = 0.0, **train: Any) -> LineageSpec:
    return tiny_lineage(model=ModelSpec(name=name, dropout=dropout), shape=SHAPE, train=train)


def start_of(lineage: LineageSpec) -> Weights:
    return glorot_normal(lineage.tensors(), random.seed_key(lineage.replicate, "init"))


def random_mask(lineage: LineageSpec, density: float) -> Mask | None:
    if density == 1:
        return None
    generator = np.random.default_rng(3)
    return {name: generator.random(bits.shape) < density for name, bits in full_mask(lineage.tensors()).items()}


def hard_mask(lineage: LineageSpec) -> Mask:
    """Units without outgoing weights and units without incoming ones, in convolutions and in dense layers."""
    mask = full_mask(lineage.tensors())
    mask["conv1.weight"][40:44] = False
    mask["conv2.weight"][:, ::3] = False
    mask["conv2.weight"][10:20] = False
    mask["fc1.weight"].reshape(256, 64, -1)[:, 5:25] = False
    mask["fc1.weight"][100:120] = False
    mask["fc2.weight"][:, 110:200] = False
    mask["out.weight"][:, 50:] = False
    return mask


def by_autograd(
    lineage: LineageSpec, mask: Mask | None, num_steps: int = NUM_STEPS, *, state: OptimizerState | None = None
) -> tuple[FlatNetwork, list[float]]:
    pin(1)
    key = random.seed_key(lineage.replicate, "dropout")
    net = FlatNetwork(lineage.model, SHAPE, lineage.num_classes, torch.device("cpu"), dropout_key=key)
    net.load(start_of(lineage))
    optimizer = build_optimizer(lineage.train, net.vector)
    if state is not None:
        load_state(optimizer, state)
    keep, losses = Keep(net, optimizer, mask, held=False), []
    for step, (images, labels) in zip(range(num_steps), examples(lineage), strict=False):
        net.at_step(step)
        loss = F.cross_entropy(net.network(images), labels, label_smoothing=lineage.train.label_smoothing)
        gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, net.parameters)])
        keep.mask_gradient(gradient)
        optimizer.step(gradient, lineage.train.lr)
        keep.mask_weights()
        losses.append(float(loss.detach()))
    return net, losses


def by_hand(
    lineage: LineageSpec,
    mask: Mask | None,
    num_steps: int = NUM_STEPS,
    *,
    remove: bool = True,
    state: OptimizerState | None = None,
) -> tuple[ConvNetwork, list[float]]:
    pin(1)
    net, losses = ConvNetwork(lineage, mask, remove=remove), []
    net.load(start_of(lineage))
    if state is not None:
        net.load_state(state)
    for step, (images, labels) in zip(range(num_steps), examples(lineage), strict=False):
        loss, _ = net.step(images, labels, step, lineage.train.lr)
        losses.append(float(loss))
    return net, losses


def examples(lineage: LineageSpec) -> Any:
    return batches(tiny_data(SHAPE), split(120, lineage.replicate), lineage.replicate, lineage.train.batch_size, 0)


def distances(one: Weights, other: Weights) -> np.ndarray:
    return np.concatenate([np.abs(one[name] - other[name]).reshape(-1) for name in one])
