"""Gaussian Glorot initialisation, drawn by counters: independent of the order in which anything is built."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lth_core import random
from lth_core.architecture import TensorSpec
from lth_core.weights import Weights

OTHER_SIGMA = 0.02
"""Standard deviation of what has no fans: tokens, positions, scales of branches, as vision transformers draw them."""


def glorot_normal(tensors: Sequence[TensorSpec], key: int, *, level: int = 0) -> Weights:
    """Draw the weights of a network: normal with sigma = sqrt(2 / (fan_in + fan_out)), biases zero.

    A normalisation begins as the identity: scale 1, shift 0, running mean 0, running variance 1. What is neither
    (the tokens and position tables of a transformer) is normal with sigma = .02.

    Args:
        tensors: The network's tensors in state_dict order; a tensor's place in it is part of the counter.
        key: 64-bit seed.
        level: Part of the counter; 0 for the initialisation itself.

    References:
        Glorot & Bengio 2010; Frankle & Carbin 2019, arXiv:1803.03635, section 2; Ioffe & Szegedy 2015,
        arXiv:1502.03167; for the rest Dosovitskiy et al. 2021, arXiv:2010.11929.
    """
    weights: Weights = {}
    for index, tensor in enumerate(tensors):
        if tensor.prunable or tensor.kind == "other":
            glorot = math.sqrt(2 / (tensor.fan_in + tensor.fan_out))
            sigma = glorot if tensor.prunable else OTHER_SIGMA
            drawn = random.normals(key, tensor.size, scale=sigma, step=level, tensor=index)
            weights[tensor.name] = drawn.reshape(tensor.shape)
        else:
            ones = tensor.kind == "norm" or tensor.name.endswith("running_var")
            weights[tensor.name] = np.full(tensor.shape, ones, dtype=np.float32)
    return weights
