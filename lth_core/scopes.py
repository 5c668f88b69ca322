"""Scopes: which tensors are ranked together when weights are removed, and which are never pruned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lth_core.architecture import TensorSpec, prunable
from lth_core.parts import Prune

Scope = tuple[TensorSpec, ...]


def scopes(tensors: Sequence[TensorSpec], prune: Prune) -> Iterator[tuple[Scope, float]]:
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


def kept_whole(tensors: Sequence[TensorSpec], prune: Prune) -> Scope:
    """Return the prunable tensors that belong to no scope: they count in every density and are never pruned."""
    pruned = {tensor.name for scope, _ in scopes(tensors, prune) for tensor in scope}
    return tuple(tensor for tensor in prunable(tuple(tensors)) if tensor.name not in pruned)
