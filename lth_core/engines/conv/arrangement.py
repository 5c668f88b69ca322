"""Which parts of a convolutional network are computed, and where their weights lie while they are.

A unit is dead if every weight that leaves it towards a live unit is pruned: nothing depends on it, and the gradient of
all its own weights is exactly zero. A unit without incoming weights is not dead, because it emits relu(bias).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lth_core.masks import Mask, check_mask
from lth_core.tensor_spec import TensorSpec, prunable

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """A convolution or a fully connected layer between live units.

    Attributes:
        is_conv: Whether it is a 3x3 convolution with padding 1.
        shape: Of its weights as they are computed with: [O, 3, 3, I] of a convolution, else [O, I], where the inputs
            of the first fully connected layer are ordered by row, column and channel.
        outputs: The live units among all outputs, ascending.
        num_outputs: All outputs, dead ones counted.
    """

    is_conv: bool
    shape: tuple[int, ...]
    outputs: Indices
    num_outputs: int

    @property
    def size(self) -> int:
        """Number of weights, without biases."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Arrangement:
    """Where everything lies: the state vector holds all parameters in state_dict order, the work vector live layers.

    The work vector has weight and bias of each layer in turn, pruned weights too. What is trained lies in a third
    vector without pruned weights: first what is live, in the order of the work vector, then what is dead.

    Attributes:
        layers: All layers in order.
        num_all: Length of the state vector.
        num_work: Length of the work vector.
        num_live: How many trained parameters are live.
        trained: Place of each trained parameter in the state vector, int64 [num_trained].
        live: Place of each live one in the work vector, int64 [num_live]; None if work and trained vector are one.
    """

    layers: tuple[Layer, ...]
    num_all: int
    num_work: int
    num_live: int
    trained: Indices
    live: Indices | None


def live_units(weights: Sequence[TensorSpec], mask: Mask | None) -> list[Indices]:
    """Return the live outputs of every layer, ascending; where all are dead, one of them all the same.

    Args:
        weights: The prunable tensors in the order of the layers.
        mask: What is kept; None keeps all.
    """
    found = [np.arange(tensor.shape[0]) for tensor in weights]
    if mask is None:
        return found
    for i in range(len(weights) - 1, 0, -1):
        num = weights[i - 1].shape[0]
        used = mask[weights[i].name][found[i]].reshape(len(found[i]), num, -1).any(axis=(0, 2))
        found[i - 1] = np.flatnonzero(used) if used.any() else np.arange(1)
    return found


def arrange(
    tensors: Sequence[TensorSpec], mask: Mask | None, map_size: tuple[int, int], *, remove: bool = True
) -> Arrangement:
    """Arrange a network of convolutions, then fully connected layers, each with a bias.

    Args:
        tensors: All its tensors in state_dict order.
        mask: What is kept; None keeps all.
        map_size: Height and width of the maps that the first fully connected layer reads.
        remove: Whether dead units are left out.

    Raises:
        ValueError: If the mask does not fit the network.
    """
    weights = prunable(tuple(tensors))
    if mask is not None:
        mask = check_mask(mask, tensors)
        mask = None if all(bits.all() for bits in mask.values()) else mask
    outputs = live_units(weights, mask if remove else None)
    layers: list[Layer] = []
    sources: list[Indices] = []
    start, inputs, was_conv = 0, np.arange(weights[0].shape[1]), True
    for weight, live in zip(weights, outputs, strict=True):
        is_conv, num = weight.kind == "conv", weight.shape[0]
        places = start + np.arange(weight.size).reshape(weight.shape)
        if is_conv:
            chosen = places[live][:, inputs].transpose(0, 2, 3, 1)
        elif was_conv:
            chosen = places.reshape(num, -1, *map_size)[live][:, inputs].transpose(0, 2, 3, 1).reshape(len(live), -1)
        else:
            chosen = places[live][:, inputs]
        layers.append(Layer(is_conv, chosen.shape, live, num))
        sources += [chosen.reshape(-1), start + weight.size + live]
        start, inputs, was_conv = start + weight.size + num, live, is_conv
    source = np.concatenate(sources)
    if mask is None:
        return Arrangement(tuple(layers), start, len(source), len(source), source, None)
    kept = _kept(tensors, mask)
    live_places = np.flatnonzero(kept[source])
    trained = source[live_places]
    kept[trained] = False
    order = np.concatenate([trained, np.flatnonzero(kept)])
    return Arrangement(tuple(layers), start, len(source), len(trained), order, live_places)


def _kept(tensors: Sequence[TensorSpec], mask: Mask) -> npt.NDArray[np.bool_]:
    """Return what is kept of the state vector, biases always."""
    parts = [mask[t.name].reshape(-1) if t.prunable else np.ones(t.size, dtype=np.bool_) for t in tensors]
    return np.concatenate(parts)
