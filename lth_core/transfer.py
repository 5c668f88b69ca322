"""A ticket on another data set: its weights and its mask, in a network that may have another output layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.expansion import LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, check_mask, unpack_mask
from lth_core.origins import origin_tensors
from lth_core.treatments import Origin
from lth_core.weights import Array, Weights, check_weights, weights_from_safetensors


@dataclass(frozen=True)
class Ticket:
    """A ticket as it was found: what it keeps, and the unmasked weights it rewinds to."""

    mask: Mask
    weights: Weights


def read_ticket(origin: Origin, mask: bytes, weights: bytes) -> Ticket:
    """Decode a ticket from its packed mask and the safetensors of its weights.

    Raises:
        ValueError: If they do not fit the network that the ticket was found in.
    """
    tensors = origin_tensors(origin)
    return Ticket(unpack_mask(mask, tensors), weights_from_safetensors(weights, tensors))


def transferred_weights(lineage: LineageSpec, origin: Origin, weights: Mapping[str, Array]) -> Weights:
    """Return the weights from which the dense network starts on the new data.

    Every tensor has the transferred ticket's values. Tensors of the output layer whose shape differs, because the
    data sets have other numbers of classes, are drawn afresh from the stream `init` of the replicate.

    Raises:
        ValueError: If the weights are not those of the ticket's network.

    References:
        Morcos et al. 2019, arXiv:1906.02773, section 3 (a fresh output layer where the classes differ).
    """
    tensors = lineage.tensors()
    found = check_weights(weights, origin_tensors(origin))
    fresh = glorot_normal(tensors, random.seed_key(lineage.replicate, "init"))
    return {t.name: found[t.name] if found[t.name].shape == t.shape else fresh[t.name] for t in tensors}


def transferred_mask(lineage: LineageSpec, origin: Origin, mask: Mapping[str, npt.NDArray[np.bool_]]) -> Mask:
    """Return the transferred ticket's mask in the new network; a fresh output layer is kept whole.

    Raises:
        ValueError: If the mask is not one of the ticket's network.
    """
    found = check_mask(mask, origin_tensors(origin))
    return {
        t.name: found[t.name] if found[t.name].shape == t.shape else np.ones(t.shape, dtype=np.bool_)
        for t in lineage.tensors()
        if t.prunable
    }
