"""Forward and backward through convolutions, poolings and fully connected layers, without autograd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.dropout import CounterDropout
from lth_core.engines.conv import kernels
from lth_core.engines.conv.arrangement import Layer

Kept = tuple[Tensor, Tensor, Tensor | None]
"""Of a convolution: its input, its output, and where the maxima lie if it is pooled."""


@dataclass(frozen=True)
class Parameters:
    """Weight and bias of a layer, and their gradients, as views of two vectors."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor


def cut(layers: Sequence[Layer], values: Tensor, gradients: Tensor) -> list[Parameters]:
    """Return the views of every layer into the work vector and its gradient: weight, then bias, layer by layer."""
    views: list[Parameters] = []
    start = 0
    for layer in layers:
        weight = slice(start, start + layer.size)
        bias = slice(weight.stop, weight.stop + layer.shape[0])
        parts = [vector[part] for vector in (values, gradients) for part in (weight, bias)]
        views.append(Parameters(parts[0].view(layer.shape), parts[1], parts[2].view(layer.shape), parts[3]))
        start = bias.stop
    return views


class Passes:
    """Both directions through a network whose second, fourth ... convolution is pooled.

    Deltas are computed from the weights as they are; nothing here changes a weight.

    Args:
        layers: Convolutions, then fully connected layers, the last one without ReLU.
        values: The work vector.
        gradients: Where the gradients go, as long.
        drops: Dropout of each hidden fully connected layer; empty if there is none.
    """

    def __init__(
        self, layers: Sequence[Layer], values: Tensor, gradients: Tensor, drops: Sequence[CounterDropout]
    ) -> None:
        views = cut(layers, values, gradients)
        num_convs = sum(layer.is_conv for layer in layers)
        self._convs, self._dense = views[:num_convs], views[num_convs:]
        self._hidden, self._drops = layers[num_convs:-1], drops
        self._weight_gradient = kernels.WeightGradient()

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of examples [N, C, H, W], as they are judged: nothing drops out."""
        x = images.contiguous(memory_format=torch.channels_last)
        for i, part in enumerate(self._convs, start=1):
            x = kernels.convolve(x, part.weight, part.bias)
            x = F.max_pool2d(x, 2).relu_() if i % 2 == 0 else x.relu_()
        x = _flat(x)
        for part in self._dense[:-1]:
            x = F.linear(x, part.weight, part.bias).relu_()
        return F.linear(x, self._dense[-1].weight, self._dense[-1].bias)

    def both(self, images: Tensor, labels: Tensor, smoothing: float, step: int) -> tuple[Tensor, Tensor]:
        """Write all gradients of the mean loss; return the loss and the logits.

        Args:
            images: Normalised examples, [N, C, H, W].
            labels: Classes, [N].
            smoothing: Share of the target spread over all classes.
            step: Number of the update; only dropout asks.
        """
        maps, kept = self._forward_convs(images)
        features = _flat(maps)
        inputs, drops = self._forward_dense(features, step)
        logits = inputs.pop()
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        delta = logits.softmax(1).sub_(smoothing / logits.shape[1])
        delta[torch.arange(len(labels)), labels] -= 1 - smoothing
        delta = self._backward_dense(delta.div_(len(labels)), inputs, drops)
        kernels.relu_backward_(delta, features)
        height, width = maps.shape[2:]
        self._backward_convs(delta.view(len(maps), height, width, -1).permute(0, 3, 1, 2), kept)
        return loss, logits

    def _forward_convs(self, images: Tensor) -> tuple[Tensor, list[Kept]]:
        x = images.contiguous(memory_format=torch.channels_last)
        kept: list[Kept] = []
        for i, part in enumerate(self._convs, start=1):
            y = kernels.convolve(x, part.weight, part.bias)
            if i % 2 == 0:
                pooled, places = kernels.pool(y)
                kept.append((x, y, places))
                x = pooled
            else:
                kept.append((x, y.relu_(), None))
                x = y
        return x, kept

    def _backward_convs(self, delta: Tensor, kept: list[Kept]) -> None:
        """Write all gradients of the convolutions, from the gradient by the last maps before their ReLU."""
        for i in range(len(self._convs) - 1, -1, -1):
            part, (x, y, places) = self._convs[i], kept[i]
            kernels.bias_gradient(delta, part.bias_gradient)  # a pooling only moves its gradient: the sum is the same
            if places is not None:
                delta = kernels.pool_backward(delta, y, places)
            self._weight_gradient.write(delta, x, part.weight, part.weight_gradient)
            if i:
                delta = kernels.relu_backward_(kernels.input_gradient(delta, x, part.weight), x)

    def _forward_dense(self, x: Tensor, step: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return the inputs of all fully connected layers and the logits, and what dropout multiplied by."""
        inputs, drops = [x], []
        for i, part in enumerate(self._dense[:-1]):
            x = F.linear(x, part.weight, part.bias).relu_()
            if self._drops:
                drops.append(self._dropped(i, len(x), step))
                x = x * drops[i]
            inputs.append(x)
        inputs.append(F.linear(x, self._dense[-1].weight, self._dense[-1].bias))
        return inputs, drops

    def _backward_dense(self, delta: Tensor, inputs: list[Tensor], drops: list[Tensor]) -> Tensor:
        """Write all gradients of the fully connected layers; return the one by the first one's input."""
        for i in range(len(self._dense) - 1, -1, -1):
            part = self._dense[i]
            torch.mm(delta.T, inputs[i], out=part.weight_gradient)
            torch.sum(delta, 0, out=part.bias_gradient)
            delta = kernels.features_gradient(delta, part.weight)
            if i:
                if drops:
                    delta.mul_(drops[i - 1])
                kernels.relu_backward_(delta, inputs[i])  # what was dropped is zero already
        return delta

    def _dropped(self, i: int, num: int, step: int) -> Tensor:
        """Return what the live units of a hidden layer are multiplied by: the counters are those of all units."""
        layer, drop = self._hidden[i], self._drops[i]
        drop.step = step
        drawn: Tensor = drop(torch.ones(num, layer.num_outputs))
        return drawn[:, torch.from_numpy(layer.outputs)]


def _flat(maps: Tensor) -> Tensor:
    """Return channels-last maps [N, C, H, W] as [N, H * W * C], without a copy."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1)
