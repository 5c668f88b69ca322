"""The tensors of every network without torch: names, shapes, kinds and fans in state_dict order."""

from __future__ import annotations

import math
from functools import lru_cache

from lth_core.architectures.convolutional import CHANNELS, convolutional
from lth_core.architectures.dense import dense
from lth_core.architectures.residual import STAGES, residual, residual_plan
from lth_core.architectures.torchvision_table import torchvision_tensors
from lth_core.architectures.vgg import VGG_CHANNELS, vgg
from lth_core.model_spec import ModelSpec
from lth_core.tensor_spec import TensorSpec, prunable

__all__ = ["LENET_HIDDEN", "TensorSpec", "architecture", "prunable"]

LENET_HIDDEN = (300, 100)


def architecture(model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """List a network's parameters and running statistics in state_dict order, batch counters left out.

    Args:
        model: Which network.
        in_shape: Shape of one example, channels first, e.g. (1, 28, 28).
        num_classes: Size of the output layer.

    Raises:
        ValueError: If the network does not fit the data.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, figure 2.
    """
    return _tensors(model, tuple(in_shape), num_classes)


@lru_cache(maxsize=256)
def _tensors(model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    if model.name in ("lenet_300_100", "mlp"):
        return dense(dense_sizes(model, in_shape, num_classes))
    if len(in_shape) != 3:
        raise ValueError(f"a convolutional network needs examples of shape (channels, height, width), got {in_shape}")
    if model.name in CHANNELS:
        return convolutional(CHANNELS[model.name], in_shape, num_classes)
    if model.name in VGG_CHANNELS:
        return vgg(VGG_CHANNELS[model.name], in_shape, num_classes)
    if model.name in STAGES:
        return residual(residual_plan(model, in_shape[0]), num_classes)
    assert model.arch is not None
    return torchvision_tensors(model.arch, in_shape, num_classes)


def dense_sizes(model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> tuple[int, ...]:
    """Return the layer sizes of a fully connected network, input and output included.

    Raises:
        ValueError: If the sizes that the model names do not begin and end as the data set asks.
    """
    features = math.prod(in_shape)
    sizes = model.sizes or (features, *LENET_HIDDEN, num_classes)
    if sizes[0] != features or sizes[-1] != num_classes:
        raise ValueError(
            f"sizes must begin with the {features} features and end with the {num_classes} classes "
            f"of the data set, got {list(sizes)}"
        )
    return sizes
