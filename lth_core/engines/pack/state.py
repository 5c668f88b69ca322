"""The state of a pack on its device: one row per slot at an address that never changes, and the clock of its steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lth_core.engines.pack.layout import Arrangement, Vector, row_size
from lth_core.engines.pack.rates import NUM_COLUMNS


class Clock:
    """Which step a pack is at, how many steps each slot takes, and what each step has shown.

    Attributes:
        cursor: Steps done since it was started, int32 [1].
        limit: Steps that each slot takes; from then on it is left alone, int32 [G].
        losses: Per step and slot, float32 [S, G].
        correct: Examples classified correctly per step and slot, int32 [S, G].

    Args:
        num_steps: Most steps it counts, S.
        num_slots: G.
        device: Where it lives.
    """

    def __init__(self, num_steps: int, num_slots: int, device: torch.device) -> None:
        self.cursor = torch.zeros(1, dtype=torch.int32, device=device)
        self.limit = torch.zeros(num_slots, dtype=torch.int32, device=device)
        self.losses = torch.zeros(num_steps, num_slots, device=device)
        self.correct = torch.zeros(num_steps, num_slots, dtype=torch.int32, device=device)

    def start(self, limits: list[int]) -> None:
        """Begin at 0."""
        self.cursor.zero_()
        self.limit.copy_(torch.tensor(limits, dtype=torch.int32))

    def running(self) -> list[int]:
        """Return the slots that take the next step; reads the device."""
        now = int(self.cursor)
        return [slot for slot, limit in enumerate(self.limit.tolist()) if now < limit]

    def active(self) -> Tensor:
        """Return which slots take the next step, bool [G], without reading the device."""
        return self.cursor < self.limit

    def note(self, losses: Tensor, correct: Tensor, slots: slice = slice(None)) -> None:
        """Write down a step of some slots where they take it, without reading the device."""
        steps = torch.arange(len(self.losses), device=self.cursor.device)
        here = (steps == self.cursor)[:, None] & self.active()[slots]
        self.losses[:, slots] = torch.where(here, losses, self.losses[:, slots])
        self.correct[:, slots] = torch.where(here, correct, self.correct[:, slots])

    def tick(self) -> None:
        """Go on to the next step."""
        self.cursor.add_(1)


class PackState:
    """Everything that a step reads or writes per slot.

    Attributes:
        weights: Parameters, float32 [G, P], P padded to whole cache lines.
        best: Their copy at each slot's lowest validation loss, float32 [G, P].
        buffers: Running statistics, float32 [G, Q].
        best_buffers: Their copies.
        decay: Coupled weight decay, float32 [G].
        momentum: Coefficient of the momentum buffer, float32 [G].
        smoothing: Label smoothing, float32 [G].
        rates: Columns of `lth_core.engines.pack.rates.Rates` per step, float32 [S, G, 3].
        order: Training examples per slot and step, int32 [G, S, batch_size].
        clock: The clock of training.
        arrangement: Where the parameters of a network lie in a row.

    Args:
        num_slots: G.
        arrangement: Where the parameters of the network lie in a row.
        num_buffers: Its running statistics.
        num_steps: Most steps of a segment, S.
        batch_size: Examples of a step.
        device: Where it lives.
    """

    def __init__(
        self,
        num_slots: int,
        arrangement: Arrangement,
        num_buffers: int,
        num_steps: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        rows = num_slots, row_size(arrangement.num)
        self.num_slots, self.num_parameters, self.num_buffers = num_slots, arrangement.num, num_buffers
        self.arrangement = arrangement
        self.device = device
        self.weights = torch.zeros(rows, device=device)
        self.best = torch.zeros(rows, device=device)
        self.buffers = torch.zeros(num_slots, row_size(num_buffers), device=device)
        self.best_buffers = torch.zeros_like(self.buffers)
        self.decay = torch.zeros(num_slots, device=device)
        self.momentum = torch.zeros(num_slots, device=device)
        self.smoothing = torch.zeros(num_slots, device=device)
        self.rates = torch.ones(num_steps, num_slots, NUM_COLUMNS, device=device)
        self.order = torch.zeros(num_slots, num_steps, batch_size, dtype=torch.int32, device=device)
        self.clock = Clock(num_steps, num_slots, device)

    def write(self, slot: int, rows: Tensor, vector: Vector) -> None:
        """Copy a vector into a slot's row of one of the tensors; what the row is longer stays."""
        rows[slot, : len(vector)].copy_(torch.from_numpy(np.ascontiguousarray(vector)))

    def read(self, slot: int, rows: Tensor, num: int) -> Vector:
        """Return a copy of the first `num` numbers of a slot's row."""
        return rows[slot, :num].cpu().numpy().copy()

    def write_parameters(self, slot: int, rows: Tensor, vector: Vector) -> None:
        """Put a vector over all parameters, in state_dict order, into a slot's row of one of the tensors."""
        self.write(slot, rows, self.arrangement.row_of(vector))

    def read_parameters(self, slot: int, rows: Tensor) -> Vector:
        """Return a slot's row of one of the tensors as a vector over all parameters, in state_dict order."""
        return self.arrangement.vector_of(self.read(slot, rows, self.num_parameters))

    def rates_now(self, slots: slice) -> Tensor:
        """Return what scales the next update of some slots, float32 [n, 3], without reading the device."""
        step = self.clock.cursor.clamp(max=len(self.rates) - 1)
        return self.rates[:, slots].index_select(0, step)[0]

    def keep_best(self, slots: list[int]) -> None:
        """Copy weights and statistics of some slots."""
        for slot in slots:
            self.best[slot].copy_(self.weights[slot])
            self.best_buffers[slot].copy_(self.buffers[slot])

    def go_to_best(self, slot: int) -> None:
        """Put a slot's copy in the place of its weights."""
        self.weights[slot].copy_(self.best[slot])
        self.buffers[slot].copy_(self.best_buffers[slot])
