"""Methods: how the mask of a level is found from the dense network, without iterating over levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.errors import UserError
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask, full_mask
from lth_core.pruning import apart, join, next_mask, remove_smallest, score_scope
from lth_core.scopes import scopes
from lth_core.targets import targets
from lth_core.weights import Weights

if TYPE_CHECKING:
    from lth_core.data import TensorData

MethodScores = Mapping[str, npt.NDArray[np.floating[Any]]]


def find_mask(
    lineage: LineageSpec, level: int, *, rewind: Weights, dense_final: Weights | None, data: TensorData
) -> Mask:
    """Return a level's mask where the method takes it from the dense network: of W_k, W_T or data.

    `imp` finds its first mask so. `one_shot` ranks by the criterion on (W_k, W_T) and `magnitude_at_init` by |W_k|;
    `random_at_init` has one draw for all levels; `snip` and `grasp` look at batches, `synflow` at the network alone.
    Every level is pruned straight to its count; masks of one ranking are nested, those of `synflow` need not be.

    Args:
        lineage: Network, recipe and method.
        level: 1 or more; 1 for `imp`.
        rewind: W_k of the dense network.
        dense_final: W_T of the dense network; only `imp` and `one_shot` need it.
        data: The data set, on the device that trains.

    Raises:
        UserError: If the weights that the method ranks are missing, or SynFlow ranks nothing.
        ValueError: If the method finds no masks this way, or a score is not finite.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 1 (one-shot) and F.4 (magnitude at initialisation); for the
        others `scores_at_init` and `synflow`.
    """
    if lineage.method in ("gradual", "transfer") or (lineage.method == "imp" and level != 1):
        raise ValueError(f"method {lineage.method} finds no mask for level {level} from the dense network alone")
    if lineage.method == "imp":
        return next_mask(lineage, None, _trained(dense_final, lineage), rewind=rewind, level=0)
    tensors = lineage.tensors()
    wanted = targets(tensors, lineage.prune, lineage.method, level)
    if lineage.method == "synflow":
        from lth_core.synflow import synflow_mask

        return synflow_mask(lineage, rewind, wanted, data.device)
    scores = method_scores(lineage, rewind=rewind, dense_final=dense_final, data=data)
    mask = full_mask(tensors)
    for scope, kept in wanted:
        joined = join(scores, scope)
        mask.update(apart(remove_smallest(joined, np.ones(joined.size, np.bool_), joined.size - kept), scope))
    return mask


def method_scores(
    lineage: LineageSpec, *, rewind: Weights, dense_final: Weights | None, data: TensorData | None
) -> MethodScores:
    """Return the scores by which a lineage's method ranks the weights of the dense network, the largest kept.

    Methods that train first rank by the criterion on (W_k, W_T) of the dense network; of SynFlow it is the flow
    through the whole network, before its first iteration.

    Raises:
        UserError: If what the method looks at is missing.
    """
    at_init: dict[str, Callable[[], MethodScores]] = {
        "magnitude_at_init": lambda: {t.name: np.abs(rewind[t.name]) for t in lineage.tensors() if t.prunable},
        "random_at_init": lambda: _drawn(lineage),
        "snip": lambda: _from_network(lineage, rewind, data),
        "grasp": lambda: _from_network(lineage, rewind, data),
        "synflow": lambda: _from_network(lineage, rewind, data),
    }
    if lineage.method in at_init:
        return at_init[lineage.method]()
    final = _trained(dense_final, lineage)
    alive = full_mask(lineage.tensors())
    scores: dict[str, npt.NDArray[np.float32]] = {}
    for scope, _ in scopes(lineage.tensors(), lineage.prune):
        scores.update(apart(score_scope(lineage, scope, alive, final, rewind=rewind, level=0), scope))
    return scores


def _drawn(lineage: LineageSpec) -> MethodScores:
    """Return uniform numbers of a stream of their own, the same at every level."""
    key = random.seed_key(lineage.replicate, "random_at_init")
    return {
        tensor.name: random.uniforms(key, tensor.size, tensor=index).reshape(tensor.shape)
        for index, tensor in enumerate(lineage.tensors())
        if tensor.prunable
    }


def _from_network(lineage: LineageSpec, rewind: Weights, data: TensorData | None) -> MethodScores:
    """Return scores that need the network itself; torch is imported here, so that counting needs none."""
    if data is None:
        raise UserError(f"method {lineage.method} scores weights by a network: its data set is needed")
    from lth_core.scores_at_init import grasp, scores_from_data, snip
    from lth_core.synflow import synaptic_flow

    if lineage.method == "synflow":
        return synaptic_flow(lineage, rewind, full_mask(lineage.tensors()), data.device)
    return scores_from_data(snip if lineage.method == "snip" else grasp, lineage, rewind, data)


def _trained(dense_final: Weights | None, lineage: LineageSpec) -> Weights:
    if dense_final is None:
        raise UserError(f"method {lineage.method} ranks trained weights: those of the dense network are needed")
    return dense_final
