"""Controls: what is trained in the ticket's place, to learn whether its mask or its initialisation matters.

Every draw has a stream of its own, named by the control and the number of the draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lth_core import random
from lth_core.architecture import TensorSpec
from lth_core.errors import UserError
from lth_core.expansion import WINNING_TICKET, LineageSpec
from lth_core.initialisation import glorot_normal
from lth_core.masks import Mask, check_mask
from lth_core.weights import Weights

Control = Callable[[Sequence[TensorSpec], int, int, Mask, Weights], tuple[Mask, Weights]]
"""(tensors, seed, level, the ticket's mask, W_k) -> (the control's mask, the weights it starts from)."""


def random_reinit(
    tensors: Sequence[TensorSpec], key: int, level: int, mask: Mask, rewind: Weights
) -> tuple[Mask, Weights]:
    """Keep the mask, draw the weights afresh at every level; biases start at zero.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 2.
    """
    del rewind
    return mask, glorot_normal(tensors, key, level=level)


def random_mask(
    tensors: Sequence[TensorSpec], key: int, level: int, mask: Mask, rewind: Weights
) -> tuple[Mask, Weights]:
    """Keep the weights and each layer's count, choose the positions at random; the masks of a chain are nested.

    A layer's positions have one random order for all levels, and the first ones of it are kept.
    """
    del level
    drawn: Mask = {}
    for index, tensor in enumerate(tensors):
        if tensor.prunable:
            order = random.permutation(key, tensor.size, tensor=index)
            kept = np.zeros(tensor.size, dtype=np.bool_)
            kept[order[: np.count_nonzero(mask[tensor.name])]] = True
            drawn[tensor.name] = kept.reshape(tensor.shape)
    return drawn, rewind


def shuffled_mask(
    tensors: Sequence[TensorSpec], key: int, level: int, mask: Mask, rewind: Weights
) -> tuple[Mask, Weights]:
    """Keep the weights, permute the mask inside each tensor, anew at every level.

    References:
        Su et al. 2020, arXiv:2009.11094; Frankle et al. 2021, arXiv:2009.08576.
    """
    shuffled: Mask = {}
    for index, tensor in enumerate(tensors):
        if tensor.prunable:
            order = random.permutation(key, tensor.size, step=level, tensor=index)
            shuffled[tensor.name] = mask[tensor.name].reshape(-1)[order].reshape(tensor.shape)
    return shuffled, rewind


def identity(tensors: Sequence[TensorSpec], key: int, level: int, mask: Mask, rewind: Weights) -> tuple[Mask, Weights]:
    """Change nothing: must equal the ticket bit for bit."""
    del tensors, key, level
    return mask, rewind


CONTROLS: dict[str, Control] = {
    "random_reinit": random_reinit,
    "random_mask": random_mask,
    "shuffled_mask": shuffled_mask,
    "identity": identity,
}


def purpose(lineage: LineageSpec) -> str:
    """Return the name of a control's random stream, such as `random_reinit:0`."""
    return f"{lineage.treatment}:{lineage.repeat}"


def starting_point(lineage: LineageSpec, level: int, mask: Mask, rewind: Weights) -> tuple[Mask, Weights]:
    """Return a lineage's own mask and start weights at a level, from the ticket's mask and W_k.

    Args:
        lineage: A ticket's chain, which takes both as they are, or a control.
        level: 1 or more.
        mask: The ticket's mask at this level.
        rewind: W_k of the dense network, unmasked.

    Raises:
        UserError: If the treatment is not known.
        ValueError: If the mask does not fit the network.
    """
    tensors = lineage.tensors()
    mask = check_mask(mask, tensors)
    if lineage.treatment == WINNING_TICKET:
        return mask, rewind
    control = CONTROLS.get(lineage.treatment)
    if control is None:
        raise UserError(f"treatment must be one of {sorted(CONTROLS)}, got {lineage.treatment!r}")
    return control(tensors, random.seed_key(lineage.replicate, purpose(lineage)), level, mask, rewind)
