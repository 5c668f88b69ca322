"""Pruning: which weights leave, exactly as many as the rule says, the same ones on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lth_core.architecture import TensorSpec, prunable
from lth_core.counts import num_removed
from lth_core.expansion import LineageSpec
from lth_core.masks import Mask, check_mask, full_mask
from lth_core.names import CountRule
from lth_core.parts import Prune

Bits = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float32]


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


def remove_smallest(scores: Scores, alive: Bits, num: int) -> Bits:
    """Return `alive` without its `num` lowest scores, the lower index first among equals.

    Raises:
        ValueError: If a score of a survivor is not finite.
    """
    candidates = np.flatnonzero(alive)
    ranked = scores.reshape(-1)[candidates]
    if not np.isfinite(ranked).all():
        raise ValueError("scores of survivors must be finite")
    survivors = alive.copy()
    survivors.reshape(-1)[candidates[np.argsort(ranked, kind="stable")[:num]]] = False
    return survivors


def next_mask(lineage: LineageSpec, mask: Mask | None, final: Mapping[str, Scores]) -> Mask:
    """Return the mask of the next level: this level's survivors without the smallest trained weights.

    Args:
        lineage: Whose prune setting applies.
        mask: This level's survivors; None at level 0, where all weights are alive.
        final: Weights at the end of this level's training.

    Returns:
        The survivors of the next level; tensors that are never pruned stay as they are.

    Raises:
        ValueError: If a tensor is missing or of another shape, or a surviving weight is not finite.
    """
    tensors = lineage.tensors()
    alive = full_mask(tensors) if mask is None else check_mask(mask, tensors)
    survivors = dict(alive)
    for scope, fraction in scopes(tensors, lineage.prune):
        joined = np.concatenate([alive[tensor.name].reshape(-1) for tensor in scope])
        weights = np.concatenate([_weights_of(final, tensor).reshape(-1) for tensor in scope])
        kept = prune_by_magnitude(weights, joined, fraction, count_rule=lineage.prune.count_rule)
        start = 0
        for tensor in scope:
            survivors[tensor.name] = kept[start : start + tensor.size].reshape(tensor.shape)
            start += tensor.size
    return survivors


def scopes(tensors: Sequence[TensorSpec], prune: Prune) -> Iterator[tuple[tuple[TensorSpec, ...], float]]:
    """Yield the groups of tensors that are ranked together, each with the share of its survivors to remove.

    Layer scope ranks every tensor alone, global scope all of them as one pool. Excluded tensors, and kinds whose
    fraction is 0, belong to no group and stay whole.
    """
    excluded = {name.removesuffix(".weight") for name in prune.exclude}
    pruned = [
        tensor
        for tensor in prunable(tuple(tensors))
        if tensor.name.removesuffix(".weight") not in excluded and prune.fraction_of_kind(tensor.prune_kind) > 0
    ]
    if prune.scope == "global":
        if pruned:
            yield tuple(pruned), prune.fraction
        return
    for tensor in pruned:
        yield (tensor,), prune.fraction_of_kind(tensor.prune_kind)


def density_ladder(tensors: Sequence[TensorSpec], prune: Prune, num_levels: int) -> tuple[int, ...]:
    """Return the kept weights of each level 0..num_levels-1, known before anything is trained.

    Excluded tensors count in full. Under global scope the shares of the layers follow from training, the total
    does not.
    """
    groups = [(sum(tensor.size for tensor in scope), fraction) for scope, fraction in scopes(tensors, prune)]
    whole = sum(tensor.size for tensor in prunable(tuple(tensors))) - sum(size for size, _ in groups)
    alive = [size for size, _ in groups]
    totals = []
    for _ in range(num_levels):
        totals.append(whole + sum(alive))
        alive = [
            count - num_removed(prune.count_rule, fraction, count)
            for count, (_, fraction) in zip(alive, groups, strict=True)
        ]
    return tuple(totals)


def expected_kept(
    tensors: Sequence[TensorSpec], prune: Prune, mask: Mapping[str, Bits]
) -> list[tuple[tuple[str, ...], int]]:
    """Return, for each group ranked together, its names and how many weights the level after `mask` must keep.

    Tensors outside every group come as groups of their own that keep what they have.
    """
    expected = []
    grouped: set[str] = set()
    for scope, fraction in scopes(tensors, prune):
        names = tuple(tensor.name for tensor in scope)
        alive = sum(int(np.count_nonzero(mask[name])) for name in names)
        expected.append((names, alive - num_removed(prune.count_rule, fraction, alive)))
        grouped.update(names)
    rest = [tensor.name for tensor in prunable(tuple(tensors)) if tensor.name not in grouped]
    return expected + [((name,), int(np.count_nonzero(mask[name]))) for name in rest]


def _weights_of(final: Mapping[str, Scores], tensor: TensorSpec) -> Scores:
    weights = final.get(tensor.name)
    if weights is None or weights.shape != tensor.shape:
        found = "nothing" if weights is None else f"shape {weights.shape}"
        raise ValueError(f"{tensor.name} must have shape {tensor.shape}, got {found}")
    return weights
