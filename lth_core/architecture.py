"""The tensors of every network without torch: names, shapes, kinds and fans in state_dict order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lth_core.model_spec import ModelSpec
from lth_core.names import Kind

TensorKind = Literal["conv", "fc", "output", "bias"]
CONV_CHANNELS = {"conv_2": (64, 64), "conv_4": (64, 64, 128, 128), "conv_6": (64, 64, 128, 128, 256, 256)}
LENET_HIDDEN = (300, 100)
CONV_HIDDEN = (256, 256)


@dataclass(frozen=True)
class TensorSpec:
    """One parameter: its state_dict name, shape, kind and the fans of Glorot's initialisation."""

    name: str
    shape: tuple[int, ...]
    kind: TensorKind
    fan_in: int
    fan_out: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def prunable(self) -> bool:
        """Weights are prunable, biases never are."""
        return self.kind != "bias"

    @property
    def prune_kind(self) -> Kind:
        """The kind whose fraction applies.

        Raises:
            ValueError: For a bias, which has none.
        """
        if self.kind == "bias":
            raise ValueError(f"{self.name} is a bias and is never pruned")
        return self.kind


def architecture(model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """List a network's parameters in state_dict order.

    Args:
        model: Which network.
        in_shape: Shape of one example, channels first, e.g. (1, 28, 28).
        num_classes: Size of the output layer.

    Raises:
        ValueError: If the network does not fit the data, or is not built by this version.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, figure 2.
    """
    features = math.prod(in_shape)
    if model.name == "lenet_300_100":
        return _dense((features, *LENET_HIDDEN, num_classes))
    if model.name == "mlp":
        sizes = model.sizes or ()
        if sizes[0] != features or sizes[-1] != num_classes:
            raise ValueError(
                f"sizes must begin with the {features} features and end with the {num_classes} classes "
                f"of the data set, got {list(sizes)}"
            )
        return _dense(sizes)
    if model.name in CONV_CHANNELS:
        return _convolutional(CONV_CHANNELS[model.name], in_shape, num_classes)
    raise ValueError(f"model {model.name} is not built by this version")


def prunable(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Return the prunable tensors, in the same order."""
    return tuple(tensor for tensor in tensors if tensor.prunable)


def _dense(sizes: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """Fully connected layers `fc1 ... fcN`, the last one called `out`."""
    tensors: list[TensorSpec] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        last = i == len(sizes) - 1
        name = "out" if last else f"fc{i}"
        tensors.append(TensorSpec(f"{name}.weight", (fan_out, fan_in), "output" if last else "fc", fan_in, fan_out))
        tensors.append(TensorSpec(f"{name}.bias", (fan_out,), "bias", fan_in, fan_out))
    return tuple(tensors)


def _convolutional(channels: tuple[int, ...], in_shape: tuple[int, ...], num_classes: int) -> tuple[TensorSpec, ...]:
    """3x3 convolutions with padding 1, a 2x2 max-pool after every second one, then two hidden dense layers."""
    if len(in_shape) != 3:
        raise ValueError(f"a convolutional network needs examples of shape (channels, height, width), got {in_shape}")
    inputs, height, width = in_shape
    tensors: list[TensorSpec] = []
    for i, outputs in enumerate(channels, start=1):
        shape = (outputs, inputs, 3, 3)
        tensors.append(TensorSpec(f"conv{i}.weight", shape, "conv", inputs * 9, outputs * 9))
        tensors.append(TensorSpec(f"conv{i}.bias", (outputs,), "bias", inputs * 9, outputs * 9))
        inputs = outputs
        if i % 2 == 0:
            height, width = height // 2, width // 2
    if min(height, width) < 1:
        raise ValueError(f"examples of {in_shape[1]}x{in_shape[2]} are too small for {len(channels) // 2} poolings")
    return (*tensors, *_dense((inputs * height * width, *CONV_HIDDEN, num_classes)))
