"""The error along the straight line between two trained networks: instability, and the barrier between levels.

E(a) = test error of a W_1 + (1 - a) W_2 at 30 evenly spaced a, both ends included (so that 1/2 is none of them).
instability = max over a of E(a) - (E(0) + E(1)) / 2; the pair is linearly connected (stable) if it is below 0.02.
With W_1 and W_2 two trainings of one network under other data orders it is the instability of that network to the
noise of SGD; with the final weights of successive levels it is the barrier between the levels.

Networks with batch normalisation have their running statistics recomputed at every a, over the training examples in
fixed batches: those of a mixture of weights are no mixture of statistics.

References:
    Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis", arXiv:1912.05671, section 2;
    Paul et al. 2023, arXiv:2210.03044, for the barrier between levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lth_core.evaluation import EVAL_BATCH_SIZE, evaluate
from lth_core.models import FlatNetwork
from lth_core.weights import Weights

NUM_POINTS = 30
STABLE_BELOW = 0.02
BN_POLICY = "recomputed"
BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Examples:
    """What a path is measured on.

    Attributes:
        images: Test examples, normalised, [N, C, H, W].
        labels: Their classes, [N].
        statistics: Training examples over which running statistics are recomputed, [M, C, H, W].
    """

    images: Tensor
    labels: Tensor
    statistics: Tensor


@dataclass(frozen=True)
class Path:
    """The line between two networks, measured.

    Attributes:
        alphas: The points a.
        errors: E(a), shares in [0, 1].
        losses: Mean cross-entropy at a.
        batch_norm: `recomputed`, or `none` where the network has no running statistics.
    """

    alphas: tuple[float, ...]
    errors: tuple[float, ...]
    losses: tuple[float, ...]
    batch_norm: str

    @property
    def instability(self) -> float:
        """Largest error on the path above the mean of its ends; at least half the difference of the ends."""
        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2

    @property
    def is_stable(self) -> bool:
        """Whether the two networks are linearly connected."""
        return self.instability < STABLE_BELOW

    def as_json(self) -> dict[str, Any]:
        """Return the path with its instability."""
        return {
            "instability": self.instability,
            "stable": self.is_stable,
            "errors": list(self.errors),
            "losses": list(self.losses),
            "batch_norm": self.batch_norm,
        }


def alphas(num: int = NUM_POINTS) -> tuple[float, ...]:
    """Return `num` evenly spaced numbers from 0 to 1, both included."""
    return tuple(float(a) for a in np.linspace(0.0, 1.0, num))


def mixture(first: Weights, second: Weights, a: float) -> Weights:
    """Return a W_1 + (1 - a) W_2 in float32, tensor by tensor; a = 0 is the second, a = 1 the first."""
    one, other = np.float32(a), np.float32(1.0 - a)
    return {name: one * first[name] + other * second[name] for name in first}


def error_path(net: FlatNetwork, first: Weights, second: Weights, examples: Examples) -> Path:
    """Measure the line between two networks.

    Args:
        net: The network; its weights are overwritten.
        first: W_1, all tensors, masked where it was trained under a mask.
        second: W_2.
        examples: Test examples, and those for running statistics.

    Returns:
        Error and loss at `NUM_POINTS` evenly spaced points, from W_2 to W_1.
    """
    layers = [module for module in net.network.modules() if isinstance(module, BatchNorm)]
    errors, losses = [], []
    for a in alphas():
        net.load(mixture(first, second, a))
        if layers:
            recompute_statistics(net.network, layers, examples.statistics)
        score = evaluate(net.network, examples.images, examples.labels)
        errors.append(1.0 - score.accuracy)
        losses.append(score.loss)
    return Path(alphas(), tuple(errors), tuple(losses), BN_POLICY if layers else "none")


@torch.no_grad()
def recompute_statistics(network: nn.Module, layers: list[BatchNorm], images: Tensor) -> None:
    """Set running means and variances to their averages over fixed batches of the training examples.

    Batches have 500 examples in ascending order, each weighs the same, and a short last one is left out unless it is
    the only one. Nothing else of the network is in training mode, so dropout draws nothing.

    Args:
        network: The network.
        layers: Its batch-normalisation layers.
        images: Training examples, [M, C, H, W].
    """
    network.eval()
    momenta = [layer.momentum for layer in layers]
    num_batches = max(1, len(images) // EVAL_BATCH_SIZE)
    for layer in layers:
        layer.train()
    for i in range(num_batches):
        for layer in layers:
            layer.momentum = 1.0 / (i + 1)  # the running figure is then the mean of all batches so far
        network(images[i * EVAL_BATCH_SIZE : (i + 1) * EVAL_BATCH_SIZE])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
