"""SGD, momentum and Adam on one flat vector, with coupled or decoupled weight decay and a state that can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core.parts import Train

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8

OptimizerState = dict[str, npt.NDArray[Any]]
"""An optimizer's state by name: float32 over all parameters joined in state_dict order, and the count of updates.

SGD has none, with momentum `momentum`; Adam has `mean`, `square` and the scalar `count`.
"""


class Optimizer(Protocol):
    """One update of all parameters, and what it remembers from one to the next."""

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place; the gradient, already masked, is scratch and may be overwritten."""

    def named_state(self) -> dict[str, Tensor]:
        """Return the tensors it remembers, the live ones."""


class Sgd:
    """Stochastic gradient descent, with momentum where it is not 0 (buffer = momentum * buffer + gradient).

    Coupled decay adds weight_decay * w to the gradient; decoupled decay takes lr * weight_decay * w off the weights
    before the update, with the same learning rate as the step, so that it follows the schedule.

    References:
        Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 1 (SGDW).
    """

    def __init__(self, weights: Tensor, *, momentum: float, weight_decay: float, decoupled: bool = False) -> None:
        self._weights = weights
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._decoupled = decoupled
        self._buffer = torch.zeros_like(weights) if momentum else None

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place."""
        if self._weight_decay:
            if self._decoupled:
                self._weights.mul_(1 - lr * self._weight_decay)
            else:
                gradient.add_(self._weights, alpha=self._weight_decay)
        if self._buffer is not None:
            gradient = self._buffer.mul_(self._momentum).add_(gradient)
        self._weights.add_(gradient, alpha=-lr)

    def named_state(self) -> dict[str, Tensor]:
        """Return the momentum buffer, if there is one."""
        return {} if self._buffer is None else {"momentum": self._buffer}


class Adam:
    """Adam with bias correction, through torch's fused kernel: one pass over weights, gradient and moments.

    Coupled decay adds weight_decay * w to the gradient; decoupled decay takes lr * weight_decay * w off the weights
    before the update (AdamW, with the learning rate as the paper's product of schedule and step size).

    References:
        Kingma & Ba 2015, arXiv:1412.6980, algorithm 1;
        Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2 (AdamW).
    """

    def __init__(self, weights: Tensor, *, weight_decay: float, decoupled: bool = False) -> None:
        self._weights = weights
        self._weight_decay = weight_decay
        self._update = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._mean = torch.zeros_like(weights)
        self._square = torch.zeros_like(weights)
        self._count = torch.zeros((), dtype=torch.float32, device=weights.device)

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place."""
        self._count.add_(1)
        self._update(
            [self._weights],
            [gradient],
            [self._mean],
            [self._square],
            [],
            [self._count],
            lr=lr,
            beta1=ADAM_BETAS[0],
            beta2=ADAM_BETAS[1],
            weight_decay=self._weight_decay,
            eps=ADAM_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def named_state(self) -> dict[str, Tensor]:
        """Return both moments and the count of updates."""
        return {"mean": self._mean, "square": self._square, "count": self._count}


def build_optimizer(train: Train, weights: Tensor) -> Optimizer:
    """Make the optimizer of a level, its state fresh: nothing is inherited unless `load_state` brings it."""
    decoupled = train.weight_decay_mode == "decoupled"
    if train.optimizer == "adam":
        return Adam(weights, weight_decay=train.weight_decay, decoupled=decoupled)
    return Sgd(weights, momentum=train.momentum, weight_decay=train.weight_decay, decoupled=decoupled)


def moments(optimizer: Optimizer) -> list[Tensor]:
    """Return what an optimizer remembers per parameter, for masks to be applied to: the live tensors."""
    return [tensor for tensor in optimizer.named_state().values() if tensor.ndim]


def read_state(optimizer: Optimizer) -> OptimizerState:
    """Return copies of what an optimizer remembers."""
    return {name: tensor.cpu().numpy().copy() for name, tensor in optimizer.named_state().items()}


def load_state(optimizer: Optimizer, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Copy a state that `read_state` returned into an optimizer; the arrays stay the caller's.

    Raises:
        ValueError: If a name is missing or unknown, or an array is not float32, of another shape, or not finite.
    """
    own = optimizer.named_state()
    if set(state) != set(own):
        raise ValueError(f"the optimizer's state must have the arrays {sorted(own)}, got {sorted(state)}")
    for name, tensor in own.items():
        array = state[name]
        if array.dtype != np.float32 or array.shape != tuple(tensor.shape):
            wanted = f"float32 of shape {tuple(tensor.shape)}"
            raise ValueError(f"{name} of the optimizer must be {wanted}, got {array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of the optimizer must be finite")
        tensor.copy_(torch.from_numpy(array.copy()))
