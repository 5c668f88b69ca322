"""What the optimizer remembers of every slot: vectors that an arithmetic keeps where it wants them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lth_core.engines.pack import plain
from lth_core.engines.pack.layout import Vector
from lth_core.engines.pack.shape import NUM_MOMENTS, OptimizerKind
from lth_core.engines.pack.state import PackState

Keep = npt.NDArray[np.bool_]


class Moments(Protocol):
    """What the optimizer remembers, and which weights it updates."""

    def load(self, slot: int, keep: Keep, vectors: list[Vector]) -> None:
        """Give a slot its mask and what its optimizer remembers, over all parameters in state_dict order."""

    def read(self, slot: int) -> list[Vector]:
        """Return copies of what a slot's optimizer remembers, over all parameters in state_dict order."""

    def update(self, gradient: Tensor, slots: slice) -> None:
        """Update weights and moments of some slots where their clock runs; what is not active keeps every bit.

        Args:
            gradient: float32 [n, P], what is longer than the parameters 0.
            slots: Which slots.
        """


class FullMoments:
    """Moments at every parameter, pruned ones 0: all slots in one operation. The interface is `Moments`.

    Args:
        kind: The optimizer.
        state: The pack's state.
    """

    def __init__(self, kind: OptimizerKind, state: PackState) -> None:
        self._kind, self._state = kind, state
        self._vectors = [torch.zeros_like(state.weights) for _ in range(NUM_MOMENTS[kind])]
        self._keep = torch.ones_like(state.weights, dtype=torch.bool)

    def load(self, slot: int, keep: Keep, vectors: list[Vector]) -> None:
        """See `Moments.load`."""
        state = self._state
        self._keep[slot, : len(keep)].copy_(torch.from_numpy(state.arrangement.row_of(keep)))
        for rows, vector in zip(self._vectors, vectors, strict=True):
            state.write_parameters(slot, rows, vector)

    def read(self, slot: int) -> list[Vector]:
        """See `Moments.read`."""
        return [self._state.read_parameters(slot, rows) for rows in self._vectors]

    def update(self, gradient: Tensor, slots: slice) -> None:
        """See `Moments.update`; it does not read the device from the host."""
        state = self._state
        active = state.clock.active()[slots, None]
        own = [state.weights[slots], *(rows[slots] for rows in self._vectors)]
        weights, moments = plain.update(
            self._kind,
            own[0],
            plain.select(self._keep[slots], gradient),
            own[1:],
            state.rates_now(slots),
            state.decay[slots],
            state.momentum[slots],
        )
        for old, new in zip(own, (weights, *moments), strict=True):
            old.copy_(torch.where(active, new, old))
