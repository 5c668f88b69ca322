"""Data-free layer densities: how a network's kept weights are spread over its layers, in exact counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from lth_core.architecture import TensorSpec

LayerDensities = Literal["uniform", "er", "erk"]


def spread(kind: LayerDensities, layers: Sequence[TensorSpec], total: int) -> tuple[int, ...]:
    """Return how many weights each layer keeps, `total` in all.

    The exact shares d_l N_l are rounded down, and the weights still missing go one by one to the layers with the
    largest remainders, the earlier layer first among equals; no layer keeps more than it has.

    Args:
        kind: How densities differ between layers.
        layers: The pruned layers.
        total: Weights to keep in all of them together.

    Raises:
        ValueError: If `total` is below 0 or above the number of weights.
    """
    size = sum(layer.size for layer in layers)
    if not 0 <= total <= size:
        raise ValueError(f"total must be >= 0 and <= {size}, got {total}")
    if kind == "uniform":
        whole = [total * layer.size // size for layer in layers]
        remainders = [float(total * layer.size % size) for layer in layers]
    else:
        shares = [d * layer.size for d, layer in zip(densities(kind, layers, total), layers, strict=True)]
        whole = [min(math.floor(share), layer.size) for share, layer in zip(shares, layers, strict=True)]
        remainders = [share - count for share, count in zip(shares, whole, strict=True)]
    while (missing := total - sum(whole)) > 0:
        open_layers = [i for i, layer in enumerate(layers) if whole[i] < layer.size]
        for i in sorted(open_layers, key=lambda i: -remainders[i])[:missing]:
            whole[i] += 1
    return tuple(whole)


def densities(kind: LayerDensities, layers: Sequence[TensorSpec], total: float) -> tuple[float, ...]:
    """Return the density d_l of each layer so that sum(d_l N_l) = `total`.

    `uniform`: d_l = total / sum(N_l). `er` (Erdos-Renyi): d_l = e (n_in + n_out) / (n_in n_out) with the channels of
    a layer. `erk` (Erdos-Renyi kernel): d_l = e sum(dims_l) / prod(dims_l) with all dimensions of its weight, kernel
    included. e solves the sum; layers whose d_l would exceed 1 become dense, and e is solved again for the others.

    References:
        Mocanu et al. 2018, arXiv:1707.04780 (Erdos-Renyi); Evci et al. 2020, arXiv:1911.11134, section 3.
    """
    if kind == "uniform":
        return (total / sum(layer.size for layer in layers),) * len(layers)
    raw = [_connections(layer.shape if kind == "erk" else layer.shape[:2]) for layer in layers]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(layers)) if i not in dense]
        budget = total - sum(layers[i].size for i in dense)
        scale = budget / sum(raw[i] * layers[i].size for i in rest) if rest else 0.0
        above = {i for i in rest if scale * raw[i] > 1}
        if not above:
            return tuple(1.0 if i in dense else scale * raw[i] for i in range(len(layers)))
        dense |= above


def _connections(dims: Sequence[int]) -> float:
    return sum(dims) / math.prod(dims)
