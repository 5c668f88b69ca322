"""Pruning: which weights leave, exactly as many as the rule says, the same ones on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lth_core import random
from lth_core.architecture import TensorSpec
from lth_core.counts import num_removed
from lth_core.criteria import Scores, score
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask, check_mask, full_mask
from lth_core.names import CountRule, MethodName
from lth_core.parts import Prune
from lth_core.scopes import kept_whole, scopes
from lth_core.targets import kept_at

Bits = npt.NDArray[np.bool_]
Rankable = npt.NDArray[np.floating[Any]]
Value = TypeVar("Value", bound=np.generic)


def prune_by_magnitude(weights: Scores, alive: Bits, prune_fraction: float, *, count_rule: CountRule = "round") -> Bits:
    """Remove the smallest surviving weights, exactly as many of them as the count rule says.

    Among equal magnitudes the lower index goes first, so the count is exact even under ties.

    Args:
        weights: Trained weights of one scope, flattened and joined.
        alive: Which of them survived the earlier levels.
        prune_fraction: Share of the survivors to remove, in [0, 1); 0 keeps all.
        count_rule: How the share becomes a count; `round` is half to even.

    Returns:
        The survivors of this level, always a subset of `alive`.

    Raises:
        ValueError: If `prune_fraction` is outside [0, 1) or a surviving weight is not finite.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 2.
    """
    return remove_smallest(np.abs(weights), alive, num_removed(count_rule, prune_fraction, int(alive.sum())))


def remove_smallest(scores: Rankable, alive: Bits, num: int) -> Bits:
    """Return `alive` without its `num` lowest scores, the lower index first among equals.

    Raises:
        ValueError: If a score of a survivor is not finite.
    """
    candidates = np.flatnonzero(alive)
    ranked = scores.reshape(-1)[candidates]
    if not np.isfinite(ranked).all():
        raise ValueError("scores of survivors must be finite")
    survivors = alive.copy()
    num = min(num, ranked.size)
    if num < 1:
        return survivors
    limit = np.partition(ranked, num - 1)[num - 1]  # as a stable sort would cut, in linear time
    equal = np.flatnonzero(ranked == limit)[: num - np.count_nonzero(ranked < limit)]
    survivors.reshape(-1)[candidates[ranked < limit]] = False
    survivors.reshape(-1)[candidates[equal]] = False
    return survivors


def next_mask(
    lineage: LineageSpec, mask: Mask | None, final: Mapping[str, Scores], *, rewind: Mapping[str, Scores], level: int
) -> Mask:
    """Return the mask of the next level: this level's survivors without those that the criterion ranks lowest.

    Args:
        lineage: Whose prune setting applies.
        mask: This level's survivors; None at level 0, where all weights are alive.
        final: Weights at the end of this level's training.
        rewind: W_k of the dense network, unmasked.
        level: The level that was trained; a random criterion draws anew at each.

    Returns:
        The survivors of the next level; tensors that are never pruned stay as they are.

    Raises:
        ValueError: If a tensor is missing or of another shape, or a surviving weight is not finite.

    References:
        Frankle & Carbin 2019, arXiv:1803.03635, section 2; Zhou et al. 2019, arXiv:1905.01067, section 3.
    """
    tensors = lineage.tensors()
    alive = full_mask(tensors) if mask is None else check_mask(mask, tensors)
    survivors = dict(alive)
    for scope, fraction in scopes(tensors, lineage.prune):
        joined = join(alive, scope)
        scores = score_scope(lineage, scope, alive, final, rewind=rewind, level=level)
        num = num_removed(lineage.prune.count_rule, fraction, int(joined.sum()))
        survivors.update(apart(remove_smallest(scores, joined, num), scope))
    return survivors


def score_scope(
    lineage: LineageSpec,
    scope: Sequence[TensorSpec],
    alive: Mask,
    final: Mapping[str, Scores],
    *,
    rewind: Mapping[str, Scores],
    level: int,
) -> Scores:
    """Score the survivors of tensors that are ranked together, by the lineage's criterion.

    Returns:
        One score per weight of the scope, flattened and joined; 0 where it does not survive.

    Raises:
        ValueError: If a tensor is missing or of another shape, or a surviving weight is not finite.
    """
    key = random.seed_key(lineage.replicate, "criterion")
    place = {tensor.name: index for index, tensor in enumerate(lineage.tensors())}
    joined = join(alive, scope)

    def drawn() -> Scores:
        draws = [random.uniforms(key, tensor.size, step=level, tensor=place[tensor.name]) for tensor in scope]
        return np.concatenate(draws)[joined]

    initial, trained = (join(weights, scope)[joined] for weights in (rewind, final))
    scores = np.zeros(joined.size, dtype=np.float32)
    scores[joined] = score(lineage.prune.criterion, initial, trained, drawn=drawn)
    return scores


def join(parts: Mapping[str, npt.NDArray[Value]], scope: Sequence[TensorSpec]) -> npt.NDArray[Value]:
    """Return the values of a scope's tensors, flattened and joined.

    Raises:
        ValueError: If a tensor is missing or of another shape.
    """
    return np.concatenate([_part_of(parts, tensor).reshape(-1) for tensor in scope])


def apart(joined: npt.NDArray[Value], scope: Sequence[TensorSpec]) -> dict[str, npt.NDArray[Value]]:
    """Return the values of a scope as one array per tensor: the inverse of `join`."""
    parts = np.split(joined, np.cumsum([tensor.size for tensor in scope])[:-1])
    return {tensor.name: values.reshape(tensor.shape) for tensor, values in zip(scope, parts, strict=True)}


def density_ladder(
    tensors: Sequence[TensorSpec], prune: Prune, num_levels: int, method: MethodName = "imp"
) -> tuple[int, ...]:
    """Return the kept weights of each level 0..num_levels-1, known before anything is trained.

    Tensors that are never pruned count in full. Under global scope the shares of the layers follow from training, the
    total does not.

    Raises:
        ValueError: If a level has no density, or the method takes over a mask that was found elsewhere.
    """
    return tuple(sum(kept for _, kept in kept_at(tensors, prune, method, level)) for level in range(num_levels))


def expected_kept(
    tensors: Sequence[TensorSpec], prune: Prune, mask: Mapping[str, Bits]
) -> list[tuple[tuple[str, ...], int]]:
    """Return, for each group ranked together, its names and how many weights the level after `mask` must keep.

    Tensors outside every group come as groups of their own that keep what they have.
    """
    expected = []
    for scope, fraction in scopes(tensors, prune):
        names = tuple(tensor.name for tensor in scope)
        alive = sum(int(np.count_nonzero(mask[name])) for name in names)
        expected.append((names, alive - num_removed(prune.count_rule, fraction, alive)))
    rest = [tensor.name for tensor in kept_whole(tensors, prune)]
    return expected + [((name,), int(np.count_nonzero(mask[name]))) for name in rest]


def _part_of(parts: Mapping[str, npt.NDArray[Value]], tensor: TensorSpec) -> npt.NDArray[Value]:
    found = parts.get(tensor.name)
    if found is None or found.shape != tensor.shape:
        described = "nothing" if found is None else f"shape {found.shape}"
        raise ValueError(f"{tensor.name} must have shape {tensor.shape}, got {described}")
    return found
