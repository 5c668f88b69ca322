"""Controls that keep the ticket's weights and each layer's count, and choose other positions: does the mask matter?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lth_core import random
from lth_core.given import Given
from lth_core.masks import Mask
from lth_core.methods import method_scores
from lth_core.names import TreatmentName
from lth_core.pruning import Rankable, remove_smallest
from lth_core.scopes import scopes


def random_mask(given: Given) -> Mask:
    """Choose the positions at random; the masks of a chain are nested.

    A layer's positions have one random order for all levels, and the first ones of it are kept.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, appendix E (with fresh weights: `random_sparse`).
    """
    drawn: Mask = {}
    for index, tensor in enumerate(given.tensors):
        if tensor.prunable:
            order = random.permutation(given.key, tensor.size, tensor=index)
            kept = np.zeros(tensor.size, dtype=np.bool_)
            kept[order[: np.count_nonzero(given.mask[tensor.name])]] = True
            drawn[tensor.name] = kept.reshape(tensor.shape)
    return drawn


def shuffled_mask(given: Given) -> Mask:
    """Permute the mask inside each tensor, anew at every level.

    References:
        Su et al. 2020, arXiv:2009.11094; Frankle et al. 2021, arXiv:2009.08576.
    """
    shuffled: Mask = {}
    for index, tensor in enumerate(given.tensors):
        if tensor.prunable:
            order = random.permutation(given.key, tensor.size, step=given.level, tensor=index)
            shuffled[tensor.name] = given.mask[tensor.name].reshape(-1)[order].reshape(tensor.shape)
    return shuffled


def invert_scores(given: Given) -> Mask:
    """Keep in each layer the lowest scores of the method that found the mask, the higher index among equals.

    The scores are those of the dense network, see `method_scores`; tensors that are never pruned stay whole.

    References:
        Frankle et al. 2021, arXiv:2009.08576, section 5.
    """
    scores = method_scores(given.lineage, rewind=given.rewind, dense_final=given.dense_final, data=given.data)
    inverted = dict(given.mask)
    for scope, _ in scopes(given.tensors, given.lineage.prune):
        for tensor in scope:
            inverted[tensor.name] = _keep_largest(-scores[tensor.name], given.mask[tensor.name])
    return inverted


def magnitude_at_init(given: Given) -> Mask:
    """Keep in each layer the largest |W_k|: pruning before training.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, appendix F.4.
    """
    return {name: _keep_largest(np.abs(given.rewind[name]), kept) for name, kept in given.mask.items()}


MASKS: dict[TreatmentName, Callable[[Given], Mask]] = {
    "random_mask": random_mask,
    "random_sparse": random_mask,
    "shuffled_mask": shuffled_mask,
    "invert_scores": invert_scores,
    "magnitude_at_init": magnitude_at_init,
}
"""Treatments that have a mask of their own; all others have the ticket's."""


def _keep_largest(scores: Rankable, like: np.typing.NDArray[np.bool_]) -> np.typing.NDArray[np.bool_]:
    """Return the largest scores, as many as a layer of the ticket's mask keeps."""
    return remove_smallest(scores, np.ones(like.shape, dtype=np.bool_), like.size - int(np.count_nonzero(like)))
