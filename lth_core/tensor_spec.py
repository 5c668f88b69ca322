"""What a network is made of: named tensors with shape, kind and fans, and the tensors of its usual layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lth_core.names import Kind

TensorKind = Literal["conv", "fc", "output", "bias", "norm", "buffer", "other"]
PRUNABLE: frozenset[TensorKind] = frozenset({"conv", "fc", "output"})


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a network: its state_dict name, shape, kind and the fans of Glorot's initialisation.

    Kinds: `conv`, `fc` and `output` are the weights that may be pruned; `bias` every bias, that of a normalisation
    too; `norm` the scale of a normalisation; `buffer` a running mean or variance, which no gradient reaches; `other`
    what is trained but never pruned, such as the tokens and position tables of a transformer.
    """

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
        """Weights of convolutions and fully connected layers are prunable, nothing else ever is."""
        return self.kind in PRUNABLE

    @property
    def is_parameter(self) -> bool:
        """Whether the optimizer updates it; a buffer follows the batches by itself."""
        return self.kind != "buffer"

    @property
    def prune_kind(self) -> Kind:
        """The kind whose fraction applies.

        Raises:
            ValueError: For a tensor that is never pruned.
        """
        if self.kind == "conv" or self.kind == "fc" or self.kind == "output":
            return self.kind
        raise ValueError(f"{self.name} is of kind {self.kind} and is never pruned")


def prunable(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Return the prunable tensors, in the same order."""
    return tuple(tensor for tensor in tensors if tensor.prunable)


def convolution(name: str, inputs: int, outputs: int, kernel: int, *, bias: bool) -> tuple[TensorSpec, ...]:
    """Return the tensors of a square convolution."""
    fans = inputs * kernel**2, outputs * kernel**2
    weight = TensorSpec(f"{name}.weight", (outputs, inputs, kernel, kernel), "conv", *fans)
    return (weight, TensorSpec(f"{name}.bias", (outputs,), "bias", *fans)) if bias else (weight,)


def linear(name: str, inputs: int, outputs: int, kind: Kind) -> tuple[TensorSpec, ...]:
    """Return weight and bias of a fully connected layer."""
    weight = TensorSpec(f"{name}.weight", (outputs, inputs), kind, inputs, outputs)
    return weight, TensorSpec(f"{name}.bias", (outputs,), "bias", inputs, outputs)


def batch_norm(name: str, channels: int) -> tuple[TensorSpec, ...]:
    """Return scale, shift, running mean and running variance of a batch normalisation, without its batch counter."""
    kinds: tuple[tuple[str, TensorKind], ...] = (
        ("weight", "norm"),
        ("bias", "bias"),
        ("running_mean", "buffer"),
        ("running_var", "buffer"),
    )
    return tuple(TensorSpec(f"{name}.{part}", (channels,), kind, channels, channels) for part, kind in kinds)
