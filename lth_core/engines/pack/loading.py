"""From a plan or a checkpoint to the vectors of a slot, checked before anything is put on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lth_core.engines.base import Plan
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.pack.layout import Vector, buffers, joined, num_elements, parameters
from lth_core.engines.pack.shape import MOMENT_NAMES, optimizer_kind
from lth_core.masks import Mask, check_mask
from lth_core.tensor_spec import TensorSpec
from lth_core.weights import check_weights


@dataclass(frozen=True)
class Contents:
    """What a slot holds between two steps.

    Attributes:
        weights: Parameters, pruned ones 0.
        buffers: Running statistics.
        moments: What the optimizer remembers.
        count: Updates that it remembers.
        keep: Which parameters are kept.
    """

    weights: Vector
    buffers: Vector
    moments: list[Vector]
    count: int
    keep: npt.NDArray[np.bool_]


def beginning(plan: Plan) -> Contents:
    """Return what a plan's first step finds.

    Raises:
        ValueError: If weights, mask or the optimizer's state do not fit the network.
    """
    return _contents(plan, plan.start, plan.optimizer_state)


def continuation(plan: Plan, checkpoint: Checkpoint) -> Contents:
    """Return what the step after a checkpoint finds.

    Raises:
        ValueError: As `beginning`.
    """
    return _contents(plan, checkpoint.part("now"), checkpoint.part("optimizer"))


def keep_vector(mask: Mask | None, tensors: Sequence[TensorSpec]) -> npt.NDArray[np.bool_]:
    """Return which parameters are kept, in one vector; biases and scales always are."""
    owned = parameters(tensors)
    if mask is None:
        return np.ones(num_elements(owned), dtype=np.bool_)
    ordered = check_mask(mask, tensors)
    return np.concatenate([ordered[t.name].reshape(-1) if t.prunable else np.ones(t.size, np.bool_) for t in owned])


def _contents(plan: Plan, weights: Mapping[str, Any], state: Mapping[str, Any] | None) -> Contents:
    tensors = plan.lineage.tensors()
    checked = check_weights(weights, tensors)
    keep = keep_vector(plan.mask, tensors)
    moments, count = _remembered(plan, state, len(keep))
    zero = np.float32(0)
    return Contents(
        weights=np.where(keep, joined(checked, parameters(tensors)), zero),
        buffers=joined(checked, buffers(tensors)),
        moments=[np.where(keep, moment, zero) for moment in moments],
        count=count,
        keep=keep,
    )


def _remembered(plan: Plan, state: Mapping[str, Any] | None, num: int) -> tuple[list[Vector], int]:
    names = MOMENT_NAMES[optimizer_kind(plan.lineage.train)]
    if state is None:
        return [np.zeros(num, dtype=np.float32) for _ in names], 0
    shapes = dict.fromkeys(names, (num,)) | ({"count": ()} if "mean" in names else {})
    if set(state) != set(shapes):
        raise ValueError(f"the optimizer's state must have the arrays {sorted(shapes)}, got {sorted(state)}")
    for name, shape in shapes.items():
        array = state[name]
        if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
            wanted = f"finite float32 of shape {shape}"
            raise ValueError(f"{name} of the optimizer must be {wanted}, got {array.dtype} {array.shape}")
    return [np.asarray(state[name]) for name in names], int(state["count"]) if "count" in shapes else 0
