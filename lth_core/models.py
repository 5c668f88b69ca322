"""The networks as torch modules, built from their tensors, and the one flat vector their parameters live in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from lth_core.architecture import TensorSpec, architecture
from lth_core.masks import Mask, check_mask
from lth_core.model_spec import ModelSpec
from lth_core.weights import Array, Weights, check_weights


class Network(nn.Module):
    """A plain network: 3x3 convolutions with a 2x2 max-pool after every second one, then dense layers, all ReLU.

    Its `state_dict` has the names, shapes and order of `architecture()`; nothing in it is drawn at random.

    Args:
        model: Which network.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.

    Raises:
        ValueError: If the network does not fit the data.
    """

    def __init__(self, model: ModelSpec, in_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.tensors = architecture(model, in_shape, num_classes)
        convs: list[nn.Module] = []
        dense: list[nn.Module] = []
        for tensor in self.tensors:
            if not tensor.prunable:
                continue
            name = tensor.name.removesuffix(".weight")
            layer = _zero_layer(tensor)
            self.add_module(name, layer)
            (convs if tensor.kind == "conv" else dense).append(layer)
        self._convs, self._dense = tuple(convs), tuple(dense)  # tuples: no second name in the state_dict

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N, num_classes] of examples [N, C, H, W]."""
        for i, conv in enumerate(self._convs, start=1):
            x = F.relu(conv(x))
            if i % 2 == 0:
                x = F.max_pool2d(x, 2)
        x = x.flatten(1)
        for layer in self._dense[:-1]:
            x = F.relu(layer(x))
        logits: Tensor = self._dense[-1](x)
        return logits


def _zero_layer(tensor: TensorSpec) -> nn.Conv2d | nn.Linear:
    """Make the layer of a weight with zero parameters, drawing nothing from torch's generator."""
    layer: nn.Conv2d | nn.Linear
    if tensor.kind == "conv":
        layer = nn.Conv2d(tensor.shape[1], tensor.shape[0], 3, padding=1, device="meta")
    else:
        layer = nn.Linear(tensor.shape[1], tensor.shape[0], device="meta")
    layer.weight = nn.Parameter(torch.zeros(tensor.shape))
    layer.bias = nn.Parameter(torch.zeros(tensor.shape[0]))
    return layer


class FlatNetwork:
    """A network whose parameters are views of one vector, so that optimizer and masks touch one array.

    Attributes:
        network: The module; calling it uses the vector's current values.
        vector: All parameters joined in state_dict order, float32.
    """

    def __init__(self, model: ModelSpec, in_shape: tuple[int, ...], num_classes: int, device: torch.device) -> None:
        self.network = Network(model, in_shape, num_classes).to(device)
        self.tensors: Sequence[TensorSpec] = self.network.tensors
        self.parameters = list(self.network.parameters())
        names = [name for name, _ in self.network.named_parameters()]
        assert names == [tensor.name for tensor in self.tensors]
        self.vector = torch.zeros(sum(tensor.size for tensor in self.tensors), device=device)
        start = 0
        for parameter, tensor in zip(self.parameters, self.tensors, strict=True):
            parameter.data = self.vector[start : start + tensor.size].view(tensor.shape)
            start += tensor.size

    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy weights into the vector; the arrays stay the caller's.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape or type.
        """
        checked = check_weights(weights, self.tensors)
        joined = np.concatenate([checked[tensor.name].reshape(-1) for tensor in self.tensors])
        self.vector.copy_(torch.from_numpy(joined))

    def read(self) -> Weights:
        """Return copies of the current weights as arrays."""
        joined = self.vector.cpu().numpy()
        weights: Weights = {}
        start = 0
        for tensor in self.tensors:
            weights[tensor.name] = joined[start : start + tensor.size].reshape(tensor.shape).copy()
            start += tensor.size
        return weights


class KeepBits:
    """A mask over a flat vector; applying it sets pruned entries to exactly +0.0 and touches no other bit.

    `torch.where(mask, values, 0)` written as a bitwise AND of the float bits with all ones or all zeros: the same
    result, also for NaN, infinity and -0.0 under the mask, at a twentieth of its time on a CPU.
    """

    def __init__(self, mask: Mask, tensors: Sequence[TensorSpec], device: torch.device) -> None:
        ordered = check_mask(mask, tensors)
        parts = [
            ordered[tensor.name].reshape(-1) if tensor.prunable else np.ones(tensor.size, dtype=np.bool_)
            for tensor in tensors
        ]
        self._bits = torch.from_numpy(-np.concatenate(parts).astype(np.int32)).to(device)

    def apply_(self, vector: Tensor) -> None:
        """Set the pruned entries of a float32 vector to +0.0, in place."""
        vector.view(torch.int32).bitwise_and_(self._bits)
