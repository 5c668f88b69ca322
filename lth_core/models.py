"""A network for training: the one flat vector its parameters live in, its running statistics, and masks over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lth_core.architecture import TensorSpec, architecture
from lth_core.dropout import CounterDropout
from lth_core.masks import Mask, check_mask
from lth_core.model_spec import ModelSpec
from lth_core.networks.build import build_network
from lth_core.weights import Array, Weights, check_weights


@dataclass(frozen=True)
class Snapshot:
    """A copy of all parameters and running statistics of a network."""

    vector: Tensor
    buffers: Tensor


class FlatNetwork:
    """A network whose parameters are views of one vector, so that optimizer and masks touch one array.

    Attributes:
        network: The module; calling it uses the vectors' current values. It is in train mode at first.
        tensors: All its tensors in state_dict order, running statistics too.
        parameters: The module's parameters, views of `vector`.
        vector: All parameters joined in state_dict order, float32.
        buffers_vector: All running means and variances joined likewise, float32; empty without normalisation.

    Args:
        model: Which network.
        in_shape: Shape of one example, channels first.
        num_classes: Size of the output layer.
        device: Where it lives.
        dropout_key: Seed of dropout, of purpose "dropout"; None for a network that is only evaluated.

    Raises:
        ValueError: If the network does not fit the data.
    """

    def __init__(
        self,
        model: ModelSpec,
        in_shape: tuple[int, ...],
        num_classes: int,
        device: torch.device,
        *,
        dropout_key: int | None = None,
    ) -> None:
        self.network: nn.Module = build_network(model, in_shape, num_classes, dropout_key=dropout_key).to(device)
        self.tensors: Sequence[TensorSpec] = architecture(model, in_shape, num_classes)
        owned = dict(self.network.named_parameters())
        self.parameters = [owned.pop(tensor.name) for tensor in self.tensors if tensor.is_parameter]
        assert not owned
        self.vector = self._join(self.parameters, device)
        buffers = dict(self.network.named_buffers())
        self.buffers_vector = self._join(
            [buffers[tensor.name] for tensor in self.tensors if not tensor.is_parameter], device
        )
        self._drops = [part for part in self.network.modules() if isinstance(part, CounterDropout)]

    @staticmethod
    def _join(parts: Sequence[Tensor], device: torch.device) -> Tensor:
        """Make one vector of zeros and turn the tensors into views of it."""
        vector = torch.zeros(sum(part.numel() for part in parts), device=device)
        start = 0
        for part in parts:
            part.data = vector[start : start + part.numel()].view(part.shape)
            start += part.numel()
        return vector

    def at_step(self, step: int) -> None:
        """Say which update comes next, for networks with dropout: its masks are a function of the step."""
        for drop in self._drops:
            drop.step = step

    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy weights and running statistics into the vectors; the arrays stay the caller's.

        Raises:
            ValueError: If a tensor is missing, unknown, or of another shape or type.
        """
        checked = check_weights(weights, self.tensors)
        for vector, tensors in self._halves():
            if tensors:
                vector.copy_(torch.from_numpy(np.concatenate([checked[t.name].reshape(-1) for t in tensors])))

    def read(self) -> Weights:
        """Return copies of the current weights and running statistics as arrays, in state_dict order."""
        found: Weights = {}
        for vector, tensors in self._halves():
            joined = vector.cpu().numpy()
            start = 0
            for tensor in tensors:
                found[tensor.name] = joined[start : start + tensor.size].reshape(tensor.shape).copy()
                start += tensor.size
        return {tensor.name: found[tensor.name] for tensor in self.tensors}

    def snapshot(self) -> Snapshot:
        """Return a copy of the current parameters and running statistics, on the device."""
        return Snapshot(self.vector.clone(), self.buffers_vector.clone())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a copy."""
        self.vector.copy_(snapshot.vector)
        self.buffers_vector.copy_(snapshot.buffers)

    def _halves(self) -> Iterator[tuple[Tensor, list[TensorSpec]]]:
        yield self.vector, [tensor for tensor in self.tensors if tensor.is_parameter]
        yield self.buffers_vector, [tensor for tensor in self.tensors if not tensor.is_parameter]


class KeepBits:
    """A mask over a flat vector; applying it sets pruned entries to exactly +0.0 and touches no other bit.

    `torch.where(mask, values, 0)` written as a bitwise AND of the float bits with all ones or all zeros: the same
    result, also for NaN, infinity and -0.0 under the mask, at a twentieth of its time on a CPU. The vector is that of
    the parameters; running statistics are no part of it.
    """

    def __init__(self, mask: Mask, tensors: Sequence[TensorSpec], device: torch.device) -> None:
        ordered = check_mask(mask, tensors)
        parts = [
            ordered[tensor.name].reshape(-1) if tensor.prunable else np.ones(tensor.size, dtype=np.bool_)
            for tensor in tensors
            if tensor.is_parameter
        ]
        self._bits = torch.from_numpy(-np.concatenate(parts).astype(np.int32)).to(device)

    def apply_(self, vector: Tensor) -> None:
        """Set the pruned entries of a float32 vector to +0.0, in place."""
        vector.view(torch.int32).bitwise_and_(self._bits)
