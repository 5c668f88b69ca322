"""SGD, momentum and Adam on one flat vector, with fresh state and coupled weight decay."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lth_core.parts import Train

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class Optimizer(Protocol):
    """One update of all parameters."""

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place; the gradient, already masked, is scratch and may be overwritten."""


class Sgd:
    """Stochastic gradient descent, with momentum where it is not 0 (buffer = momentum * buffer + gradient)."""

    def __init__(self, weights: Tensor, *, momentum: float, weight_decay: float) -> None:
        self._weights = weights
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._buffer = torch.zeros_like(weights) if momentum else None

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place."""
        if self._weight_decay:
            gradient.add_(self._weights, alpha=self._weight_decay)
        if self._buffer is not None:
            gradient = self._buffer.mul_(self._momentum).add_(gradient)
        self._weights.add_(gradient, alpha=-lr)


class Adam:
    """Adam with bias correction, through torch's fused kernel: one pass over weights, gradient and moments.

    References:
        Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """

    def __init__(self, weights: Tensor, *, weight_decay: float) -> None:
        self._weights = weights
        self._weight_decay = weight_decay
        self._mean = torch.zeros_like(weights)
        self._square = torch.zeros_like(weights)
        self._count = torch.zeros((), dtype=torch.float32, device=weights.device)

    def step(self, gradient: Tensor, lr: float) -> None:
        """Update the weights in place."""
        self._count.add_(1)
        torch._fused_adam_(
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


def build_optimizer(train: Train, weights: Tensor) -> Optimizer:
    """Make the optimizer of a level, its state fresh: no level inherits moments from another."""
    if train.optimizer == "adam":
        return Adam(weights, weight_decay=train.weight_decay)
    return Sgd(weights, momentum=train.momentum, weight_decay=train.weight_decay)
