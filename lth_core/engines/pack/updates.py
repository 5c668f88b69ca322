"""The update of some slots' rows from their gradients, in plain torch: what is not active keeps every bit."""

from __future__ import annotations

import torch
from torch import Tensor

from lth_core.engines.pack import plain
from lth_core.engines.pack.shape import OptimizerKind
from lth_core.engines.pack.state import PackState


def update_rows(kind: OptimizerKind, state: PackState, gradient: Tensor, slots: slice) -> None:
    """Update weights and moments of some slots where their clock runs, without reading the device.

    Args:
        kind: The optimizer.
        state: The pack's state.
        gradient: float32 [n, P], what is longer than the parameters 0.
        slots: Which slots.
    """
    active = state.clock.active()[slots, None]
    step = state.clock.cursor.clamp(max=len(state.rates) - 1)
    rates = state.rates[:, slots].index_select(0, step)[0]
    own = [state.weights[slots], *(moment[slots] for moment in state.moments)]
    weights, moments = plain.update(
        kind, own[0], gradient, own[1:], state.keep[slots], rates, state.decay[slots], state.momentum[slots]
    )
    for old, new in zip(own, (weights, *moments), strict=True):
        old.copy_(torch.where(active, new, old))
