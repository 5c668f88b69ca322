"""The parts of a step on channels-last tensors, forward and backward by hand: no graph, and nothing that is not needed.

Images and maps are logically [N, C, H, W] with the channels innermost in memory; weights of a convolution are
[O, 3, 3, I]. All convolutions are 3x3 with padding 1, all poolings 2x2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

_ATEN = torch.ops.aten
MIN_GEMM_CHANNELS = 16
"""Fewer inputs than these make rows too short for a product of matrices to beat the library's own gradient."""

INPUT_BLOCK = 1024
"""Inputs of a fully connected layer whose gradient is computed together."""


def convolve(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the convolution [N, O, H, W] of maps [N, I, H, W]."""
    return F.conv2d(maps, weight.permute(0, 3, 1, 2), bias, padding=1)


def pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return relu(max-pool) [N, C, H // 2, W // 2], and where the maxima lie.

    Equal to the pooling of relu(maps), at a quarter of its cost.
    """
    pooled, places = _ATEN.max_pool2d_with_indices(maps, [2, 2], [2, 2])
    return pooled.relu_(), places


def pool_backward(delta: Tensor, maps: Tensor, places: Tensor) -> Tensor:
    """Return the gradient [N, C, H, W] by what was pooled, of the gradient by the maxima."""
    found: Tensor = _ATEN.max_pool2d_with_indices_backward(delta, maps, [2, 2], [2, 2], [0, 0], [1, 1], False, places)
    return found


def relu_backward_(delta: Tensor, active: Tensor) -> Tensor:
    """Set the gradient to zero in place wherever the output of a ReLU is not positive."""
    found: Tensor = _ATEN.threshold_backward.grad_input(delta, active, 0, grad_input=delta)
    return found


def input_gradient(delta: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient [N, I, H, W] by the maps that were convolved."""
    found: Tensor = _backward(delta, maps, weight, [True, False, False])[0]
    return found


def features_gradient(delta: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient [N, I] by what a fully connected layer with weights [O, I] reads.

    A block of inputs at a time, whose weights stay in the cache while all examples pass.
    """
    found = delta.new_empty(len(delta), weight.shape[1])
    for start in range(0, weight.shape[1], INPUT_BLOCK):
        block = slice(start, start + INPUT_BLOCK)
        torch.mm(delta, weight[:, block], out=found[:, block])
    return found


def bias_gradient(delta: Tensor, out: Tensor) -> None:
    """Write the gradient by the biases, [O], of the gradient by a convolution's output."""
    torch.sum(delta, (0, 2, 3), out=out)


class WeightGradient:
    """Gradients by the weights of convolutions, as products of matrices over one image at a time.

    The three columns of the window are laid side by side once per image, with zeros around; the three rows of the
    window are then three products whose operands lie where they are.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[int, int, int], Tensor] = {}

    def write(self, delta: Tensor, maps: Tensor, weight: Tensor, out: Tensor) -> None:
        """Write the gradient by the weights.

        Args:
            delta: Gradient by the output, [N, O, H, W].
            maps: What was convolved, [N, I, H, W].
            weight: Weights of the layer, [O, 3, 3, I].
            out: Where the gradient goes, contiguous, [O, 3, 3, I].
        """
        num_outputs, num_inputs = out.shape[0], out.shape[3]
        if num_inputs < MIN_GEMM_CHANNELS:
            out.copy_(_backward(delta, maps, weight, [False, True, False])[1].permute(0, 2, 3, 1))
            return
        rows = out.view(num_outputs, 3, 3 * num_inputs).unbind(1)
        height, width = maps.shape[2:]
        columns = self._columns_for(height, width, num_inputs)
        lines = [columns[r : r + height].view(height * width, 3 * num_inputs) for r in range(3)]
        left, middle, right = (columns[1:-1, 1:, 0], columns[1:-1, :, 1], columns[1:-1, :-1, 2])
        deltas = delta.permute(0, 2, 3, 1).reshape(len(delta), height * width, num_outputs).transpose(1, 2)
        out.zero_()
        for one, image in zip(deltas.unbind(), maps.permute(0, 2, 3, 1).unbind(), strict=True):
            left.copy_(image[:, :-1])
            middle.copy_(image)
            right.copy_(image[:, 1:])
            for row, line in zip(rows, lines, strict=True):
                row.addmm_(one, line)

    def _columns_for(self, height: int, width: int, channels: int) -> Tensor:
        shape = height, width, channels
        if shape not in self._columns:
            self._columns[shape] = torch.zeros(height + 2, width, 3, channels)
        return self._columns[shape]


def _backward(delta: Tensor, maps: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = _ATEN.convolution_backward(
        delta, maps, weight.permute(0, 3, 1, 2), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
    )
    return found
