"""Targets: how many weights every level keeps, known exactly before anything is trained, and what cannot be kept."""

from __future__ import annotations

from collections.abc import Sequence

from lth_core.architecture import TensorSpec, prunable
from lth_core.cells import SpecError
from lth_core.counts import num_removed
from lth_core.layer_densities import spread
from lth_core.model_spec import ModelSpec
from lth_core.names import MethodName
from lth_core.parts import Prune
from lth_core.scopes import Scope, kept_whole, scopes

HOMOGENEOUS = (
    *("alexnet", "densenet", "googlenet", "inception", "mnasnet", "regnet_x", "resnet", "resnext", "shufflenet"),
    *("squeezenet", "vgg", "wide_resnet"),
)
"""Beginnings of the names of torchvision's networks of convolutions, linear layers, batch norm, ReLU and pooling."""


def targets(tensors: Sequence[TensorSpec], prune: Prune, method: MethodName, level: int) -> list[tuple[Scope, int]]:
    """Return each group of pruned tensors that is ranked together, and how many weights it keeps at a level.

    Where `prune.densities` names the density D of the level, round(D N) of the network's N prunable weights are kept,
    tensors that are never pruned among them. Under layer scope all pruned layers then have one density, or those of
    `prune.layer_densities`; the counts are rounded by largest remainders, so that their sum is exact. Without
    `prune.densities` the counts are those of as many prunings in a row, also for methods that take a single step.

    Raises:
        ValueError: If the level has no density, the density is out of reach, or the method takes over a mask that was
            found elsewhere.
    """
    groups = list(scopes(tensors, prune))
    if level == 0:
        return [(scope, _size(scope)) for scope, _ in groups]
    if method == "transfer":
        raise ValueError("a transferred ticket keeps what its own mask keeps")
    if not prune.densities:
        return [(scope, _after(prune, fraction, _size(scope), level)) for scope, fraction in groups]
    if not 1 <= level <= len(prune.densities):
        raise ValueError(f"level must be >= 0 and <= {len(prune.densities)}, got {level}")
    total = _total(tensors, prune, prune.densities[level - 1])
    if prune.scope == "global":
        return [(scope, total) for scope, _ in groups]
    layers = [layer for scope, _ in groups for layer in scope]
    return [((layer,), kept) for layer, kept in zip(layers, spread(prune.layer_densities, layers, total), strict=True)]


def kept_at(
    tensors: Sequence[TensorSpec], prune: Prune, method: MethodName, level: int
) -> list[tuple[tuple[str, ...], int]]:
    """Return the names of each group of tensors and how many weights it keeps at a level of a chain.

    Groups that are ranked together come first, then every tensor that is never pruned as a group of its own.

    Raises:
        ValueError: As `targets`.
    """
    pruned = [(tuple(t.name for t in scope), kept) for scope, kept in targets(tensors, prune, method, level)]
    return pruned + [((tensor.name,), tensor.size) for tensor in kept_whole(tensors, prune)]


def smallest_density(tensors: Sequence[TensorSpec], prune: Prune) -> float:
    """Return the lowest density that can be asked for: one weight left beside the tensors that are never pruned."""
    whole = sum(tensor.size for tensor in kept_whole(tensors, prune))
    all_weights = sum(tensor.size for tensor in prunable(tuple(tensors)))
    return min((whole + 1) / all_weights, 1.0)


def refuse_impossible(model: ModelSpec, tensors: Sequence[TensorSpec], prune: Prune, method: MethodName) -> None:
    """Refuse what no computation can give: called at submission, for every setting.

    Raises:
        SpecError: Naming the field, its bound, its value, and what is possible.
    """
    _refuse_densities(tensors, prune)
    if prune.layer_densities != "uniform" and prune.scope == "global":
        detail = f"must be layer with layer_densities {prune.layer_densities}: they give every layer its count"
        raise SpecError("/prune/scope", f"{detail}, got global")
    if method == "gradual":
        _refuse_initial_sparsity(tensors, prune)
    if method == "synflow" and model.arch is not None and not model.arch.startswith(HOMOGENEOUS):
        detail = (
            f"synflow needs a network of convolutions, linear layers, batch norm and ReLU, which {model.arch} is not; "
            f"possible are every other model, torchvision networks whose names begin with {', '.join(HOMOGENEOUS)}, "
            "and methods snip, grasp, magnitude_at_init or random_at_init"
        )
        raise SpecError("/method", detail)


def _refuse_densities(tensors: Sequence[TensorSpec], prune: Prune) -> None:
    smallest = smallest_density(tensors, prune)
    for i, density in enumerate(prune.densities):
        pool = sum(_size(scope) for scope, _ in scopes(tensors, prune))
        if not 1 <= _total(tensors, prune, density) <= pool or pool == 0:
            whole = ", ".join(tensor.name for tensor in kept_whole(tensors, prune)) or "none"
            detail = f"must be >= {smallest:.6g}, what tensors that are never pruned ({whole}) and one weight keep"
            raise SpecError(f"/prune/densities/{i}", f"{detail}; got {density}")


def _refuse_initial_sparsity(tensors: Sequence[TensorSpec], prune: Prune) -> None:
    whole, kept = (sum(kept for _, kept in kept_at(tensors, prune, "gradual", level)) for level in (0, 1))
    lowest = (whole - kept) / whole
    if prune.initial_sparsity > lowest:
        detail = f"must be <= {lowest:.6g}, the network's sparsity at level 1, got {prune.initial_sparsity}"
        raise SpecError("/prune/initial_sparsity", detail)


def _total(tensors: Sequence[TensorSpec], prune: Prune, density: float) -> int:
    """Return how many weights of the pruned tensors are kept so that the network has a density."""
    whole = sum(tensor.size for tensor in kept_whole(tensors, prune))
    return round(density * sum(tensor.size for tensor in prunable(tuple(tensors)))) - whole


def _after(prune: Prune, fraction: float, alive: int, level: int) -> int:
    for _ in range(level):
        alive -= num_removed(prune.count_rule, fraction, alive)
    return alive


def _size(scope: Scope) -> int:
    return sum(tensor.size for tensor in scope)
