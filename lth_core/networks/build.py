"""From a name to a module: every network of a specification, its parameters zero, nothing drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from lth_core.architecture import architecture
from lth_core.architectures.residual import STAGES, residual_plan
from lth_core.architectures.vgg import VGG_CHANNELS
from lth_core.model_spec import ModelSpec
from lth_core.networks.materials import WithoutValues, fill_with_zeros
from lth_core.networks.plain import PlainNetwork
from lth_core.networks.residual import ResidualNetwork
from lth_core.networks.torchvision_models import build_torchvision
from lth_core.networks.vgg import VggNetwork


def build_network(
    model: ModelSpec, in_shape: tuple[int, ...], num_classes: int, *, dropout_key: int | None = None
) -> nn.Module:
    """Build a network whose `state_dict` has the names, shapes and order of `architecture()`.

    Beside them it has only constants: batch counters, which nothing reads, and tables that a layer computes.

    Args:
        model: Which network.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        dropout_key: Seed of dropout; None for a network that is only evaluated, which has none.

    Raises:
        ValueError: If the network does not fit the data, or the installed torchvision has another one of its name.
    """
    tensors = architecture(model, in_shape, num_classes)
    with WithoutValues():
        if model.name in STAGES:
            network: nn.Module = ResidualNetwork(residual_plan(model, in_shape[0]), num_classes)
        elif model.name in VGG_CHANNELS:
            network = VggNetwork(VGG_CHANNELS[model.name], in_shape[0], num_classes)
        elif model.arch is not None:
            network = build_torchvision(model.arch, in_shape, num_classes, dropout_key)
        else:
            network = PlainNetwork(tensors, model.dropout, dropout_key)
    fill_with_zeros(network)
    wanted = {tensor.name: tensor.shape for tensor in tensors}
    found = {name: tuple(value.shape) for name, value in network.state_dict().items() if name in wanted}
    if list(found.items()) != list(wanted.items()):
        raise ValueError(f"the installed torchvision's {model.arch} is not the one this version knows")
    return network


def constants(model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a network's `state_dict` has beside the tensors of `architecture()`.

    These are batch counters, zero because nothing counts batches here, and tables that a layer computes for itself.

    Raises:
        ValueError: As `build_network`.
    """
    weights = {tensor.name for tensor in architecture(model, in_shape, num_classes)}
    state = build_network(model, in_shape, num_classes).state_dict()
    return {name: np.asarray(value.numpy()) for name, value in state.items() if name not in weights}
