"""Controls that keep the ticket's mask and start from other weights: does the initialisation matter, and what of it?

Prunable tensors are drawn in full, also under the mask, so that a draw depends on the mask only where its definition
says so; everything else (biases, normalisation, running statistics) stays at W_k, but for a fresh initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.given import Given
from lth_core.initialisation import glorot_normal
from lth_core.names import TreatmentName
from lth_core.tensor_spec import TensorSpec
from lth_core.weights import Weights

Values = npt.NDArray[np.float32]
Kept = npt.NDArray[np.bool_]


def random_reinit(given: Given) -> Weights:
    """Draw all weights afresh from the initial distribution, at every level anew; biases start at zero.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 2.
    """
    return glorot_normal(given.tensors, given.key, level=given.level)


def reuse(given: Given) -> Weights:
    """Draw every weight of a layer, with replacement, from pool_l: the layer's values of W_k where it is kept.

    A layer that keeps nothing stays as it is.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, appendix F.3.
    """

    def drawn(index: int, values: Values, kept: Kept) -> Values:
        return _from_pool(given, index, values, values[kept])

    return _each_layer(given, lambda _, index, values, kept: drawn(index, values, kept))


def reuse_sign(given: Given) -> Weights:
    """As `reuse`, but weights with W_k > 0 draw from the positive part of pool_l, the others from the rest of it.

    References:
        Zhou et al. 2019, arXiv:1905.01067, section 4.1, applied to the sampling of Frankle & Carbin 2019, F.3.
    """

    def drawn(index: int, values: Values, kept: Kept) -> Values:
        positive, pool = values > 0, values[kept]
        above = _from_pool(given, index, values, pool[pool > 0])
        below = _from_pool(given, index, values, pool[pool <= 0])
        return np.where(positive, above, below)

    return _each_layer(given, lambda _, index, values, kept: drawn(index, values, kept))


def signed_constant(given: Given) -> Weights:
    """Set every weight to sign(W_k) x s_l, with s_l the standard deviation of the whole layer's W_k.

    With `rescaled`, s_l is also multiplied by the layer's size over its kept count.

    References:
        Zhou et al. 2019, arXiv:1905.01067, section 4.1 (sign and constant) and section 5 (rescaled).
    """

    def constant(values: Values, kept: Kept) -> Values:
        deviation = float(np.std(values, dtype=np.float64))
        if given.treatment.rescaled:
            deviation *= kept.size / max(int(np.count_nonzero(kept)), 1)
        return np.sign(values) * np.float32(deviation)

    return _each_layer(given, lambda _, __, values, kept: constant(values, kept))


def noise(given: Given) -> Weights:
    """Add Gaussian noise to W_k: W_k + c sigma_l N(0, 1), c = `sigma` and sigma_l that of the layer's initial law.

    sigma_l = sqrt(2 / (fan_in + fan_out)).

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, appendix F.7.
    """

    def noisy(tensor: TensorSpec, index: int, values: Values) -> Values:
        scale = given.treatment.sigma * math.sqrt(2 / (tensor.fan_in + tensor.fan_out))
        added = random.normals(given.key, tensor.size, scale=scale, step=given.level, tensor=index)
        return values + added.reshape(tensor.shape)

    return _each_layer(given, lambda tensor, index, values, _: noisy(tensor, index, values))


WEIGHTS: dict[TreatmentName, Callable[[Given], Weights]] = {
    "random_reinit": random_reinit,
    "random_sparse": random_reinit,
    "reuse": reuse,
    "reuse_sign": reuse_sign,
    "signed_constant": signed_constant,
    "noise": noise,
}
"""Treatments that start from weights of their own; all others start from W_k."""


def _each_layer(given: Given, make: Callable[[TensorSpec, int, Values, Kept], Values]) -> Weights:
    """Replace the weights of every prunable tensor by those made of (tensor, its place, its W_k, its mask)."""
    return {
        tensor.name: make(tensor, index, given.rewind[tensor.name], given.mask[tensor.name])
        if tensor.prunable
        else given.rewind[tensor.name]
        for index, tensor in enumerate(given.tensors)
    }


def _from_pool(given: Given, index: int, values: Values, pool: Values) -> Values:
    """Return values of a pool, one drawn for every weight of a layer; the layer itself if the pool is empty."""
    if pool.size == 0:
        return values
    chosen = random.randint(given.key, values.size, pool.size, step=given.level, tensor=index)
    return pool[chosen].reshape(values.shape)
