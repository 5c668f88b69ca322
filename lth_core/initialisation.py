"""Gaussian Glorot initialisation, drawn by counters: independent of the order in which anything is built."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lth_core import random
from lth_core.architecture import TensorSpec
from lth_core.weights import Weights


def glorot_normal(tensors: Sequence[TensorSpec], key: int, *, level: int = 0) -> Weights:
    """Draw the weights of a network: normal with sigma = sqrt(2 / (fan_in + fan_out)), biases zero.

    Args:
        tensors: The network's tensors in state_dict order; a tensor's place in it is part of the counter.
        key: 64-bit seed.
        level: Part of the counter; 0 for the initialisation itself.

    References:
        Glorot & Bengio 2010; Frankle & Carbin 2019, arXiv:1803.03635, section 2.
    """
    weights: Weights = {}
    for index, tensor in enumerate(tensors):
        if tensor.kind == "bias":
            weights[tensor.name] = np.zeros(tensor.shape, dtype=np.float32)
            continue
        sigma = math.sqrt(2 / (tensor.fan_in + tensor.fan_out))
        drawn = random.normals(key, tensor.size, scale=sigma, step=level, tensor=index)
        weights[tensor.name] = drawn.reshape(tensor.shape)
    return weights
