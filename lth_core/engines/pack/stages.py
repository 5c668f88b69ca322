"""What the packs' own arithmetic computes one after the other: convolutions, pools, fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lth_core.engines.pack.layout import Arrangement, num_elements
from lth_core.tensor_spec import TensorSpec


@dataclass(frozen=True)
class Layer:
    """One fully connected layer within a row.

    Attributes:
        inputs: Units it reads.
        outputs: Units it has.
        weight: Where its weights [outputs, inputs] begin.
        bias: Where its biases begin.
    """

    inputs: int
    outputs: int
    weight: int
    bias: int

    @property
    def size(self) -> int:
        """Numbers that it puts out for one example."""
        return self.outputs


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution with padding 1 and ReLU: a layer that reads the patch around every place of a map.

    Attributes:
        layer: Its weights [outputs, 9 * channels], a patch's numbers ordered by row, column and channel.
        channels: Channels it reads.
        height: Of the maps that it reads and puts out.
        width: Of the same.
    """

    layer: Layer
    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Numbers that it puts out for one example, ordered by row, column and channel."""
        return self.height * self.width * self.layer.outputs


@dataclass(frozen=True)
class Pool:
    """The largest of every 2x2 places; a last odd row or column is left out.

    Attributes:
        channels: Channels it reads.
        height: Of the maps that it reads.
        width: Of the same.
    """

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Numbers that it puts out for one example, ordered by row, column and channel."""
        return (self.height // 2) * (self.width // 2) * self.channels


Stage = Layer | Convolution | Pool
"""What reads the output of the stage before it, or the examples; all but the last and the pools end in ReLU."""


def stages(tensors: Sequence[TensorSpec], in_shape: tuple[int, ...]) -> tuple[Stage, ...]:
    """Return a network's stages: 3x3 convolutions with a pool behind every second one, then fully connected layers.

    Args:
        tensors: Its tensors, weight and bias of each layer in turn.
        in_shape: Shape of one example, channels first.
    """
    found: list[Stage] = []
    start, (height, width) = 0, in_shape[-2:]
    for number, (weight, bias) in enumerate(zip(tensors[::2], tensors[1::2], strict=True), start=1):
        outputs = weight.shape[0]
        layer = Layer(weight.size // outputs, outputs, start, start + weight.size)
        start += weight.size + bias.size
        if weight.kind != "conv":
            found.append(layer)
            continue
        found.append(Convolution(layer, weight.shape[1], height, width))
        if number % 2 == 0:
            found.append(Pool(outputs, height, width))
            height, width = height // 2, width // 2
    return tuple(found)


def layers_of(found: Sequence[Stage]) -> tuple[Layer, ...]:
    """Return the layers of all stages that have weights."""
    return tuple(
        stage.layer if isinstance(stage, Convolution) else stage for stage in found if not isinstance(stage, Pool)
    )


def arrangement_for_stages(tensors: Sequence[TensorSpec], in_shape: tuple[int, ...]) -> Arrangement:
    """Return where the stages of a network look for its parameters: channels are the last dimension everywhere.

    Args:
        tensors: The network's tensors.
        in_shape: Shape of one example, channels first.
    """
    parts: list[npt.NDArray[np.int64]] = []
    before: Stage | None = None
    for stage in stages(tensors, in_shape):
        if not isinstance(stage, Pool):
            layer = stage.layer if isinstance(stage, Convolution) else stage
            channels = 1
            if isinstance(stage, Convolution):
                channels = stage.channels
            elif isinstance(before, Pool):
                channels = before.channels
            elif isinstance(before, Convolution):
                channels = before.layer.outputs
            places = (layer.weight + np.arange(layer.outputs * layer.inputs)).reshape(layer.outputs, channels, -1)
            parts += [places.transpose(0, 2, 1).reshape(-1), layer.bias + np.arange(layer.outputs)]
        before = stage
    return Arrangement(num_elements(tensors), np.concatenate(parts))
