"""A pack: slots that are trained together on one device, a segment at a time; what happens in one stays in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch

from lth_core.data import TensorData
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint, fitting
from lth_core.engines.pack.arithmetic import build_steps
from lth_core.engines.pack.graphs import Program
from lth_core.engines.pack.layout import buffers, num_elements
from lth_core.engines.pack.orders import OrderBook, OrderRequest
from lth_core.engines.pack.rates import NUM_COLUMNS
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.scoring import Scoring
from lth_core.engines.pack.shape import PackShape
from lth_core.engines.pack.slot import ENGINE, Slot
from lth_core.engines.pack.state import PackState
from lth_core.engines.pack.steps import Stretch
from lth_core.pulse import Pulse


class Pack:
    """Slots of one shape.

    Attributes:
        shape: What they have in common.
        slots: Who is in which slot; None is free.
        done: What ended since it was last taken: what it left behind, or why it failed.

    Args:
        shape: What the slots have in common.
        data: The data set, on the device that trains.
        resident: The same as bytes.
        num_slots: Slots.
        segment_steps: Most steps between two moments at which slots may change hands.
    """

    def __init__(
        self, shape: PackShape, data: TensorData, resident: ResidentData, *, num_slots: int, segment_steps: int
    ) -> None:
        self.shape = shape
        self.slots: list[Slot | None] = [None] * num_slots
        self.done: dict[str, Trained | Exception] = {}
        self._segment_steps = segment_steps
        self._state = PackState(
            num_slots,
            shape.arrangement(),
            num_elements(buffers(shape.tensors)),
            segment_steps,
            shape.batch_size,
            data.device,
        )
        self._orders = OrderBook(data.info.num_train, shape.batch_size, data.device)
        self._steps = build_steps(shape, self._state, resident)
        self._program = Program(self._steps.train, self._state.clock)
        self._scoring = Scoring(self._steps, resident, data, num_slots)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return None in self.slots

    @property
    def taken(self) -> list[Slot]:
        """The trainings in the pack."""
        return [slot for slot in self.slots if slot is not None]

    def admit(self, name: str, plan: Plan, pulse: Pulse, checkpoint: Checkpoint | None = None) -> None:
        """Put a training into the first free slot; a checkpoint of another plan or engine is left aside.

        Raises:
            ValueError: If weights, mask or the optimizer's state do not fit the network.
        """
        checkpoint = fitting(checkpoint, plan.digest, ENGINE)
        place = self.slots.index(None)
        parts = self._orders.parts(plan.lineage.replicate)
        moments, score = self._steps.moments, self._scoring.score_one
        slot = Slot(place, name, plan, pulse, self._state, moments, score, parts.validation_sha256, checkpoint)
        self._scoring.validation.choose(place, parts.validation)
        self._steps.admit(place, plan)
        self.slots[place] = slot

    def remove(self, name: str) -> None:
        """Take a training out of its slot."""
        self.slots = [None if slot is not None and slot.name == name else slot for slot in self.slots]

    def run_segment(self, limit: int | None = None) -> None:
        """Train every slot on: to the end of the segment, or of its training.

        Args:
            limit: Most steps of this segment, if it is to be shorter than others.
        """
        self._look([slot for slot in self.taken if slot.is_fresh])
        self._finish([slot for slot in self.taken if not slot.remaining])
        most = self._segment_steps if limit is None else min(limit, self._segment_steps)
        length = min(most, max((slot.remaining for slot in self.taken), default=0))
        if not length:
            return
        self._upload(length)
        position = 0
        while position < length and self.taken:
            position = self._stride(position, length)
        for slot in self.taken:
            self._guarded(slot, partial(slot.pulse.speak, slot.step))

    def _upload(self, length: int) -> None:
        state, limits = self._state, [0] * len(self.slots)
        rates = np.ones((length, len(self.slots), NUM_COLUMNS), dtype=np.float32)
        self._orders.prepare(self._requests(length))
        for slot, request in zip(self.taken, self._requests(length), strict=True):
            limits[slot.place] = request.num_steps
            rates[: request.num_steps, slot.place] = slot.rates.columns(slot.step, request.num_steps, slot.count)
            state.order[slot.place, : request.num_steps].copy_(self._orders.batches(request))
        state.rates[:length].copy_(torch.from_numpy(rates))
        state.clock.start(limits)

    def _requests(self, length: int, ahead: int = 0) -> list[OrderRequest]:
        """Return the batches of every slot for so many steps, from `ahead` steps after those done."""
        return [
            OrderRequest(
                slot.plan.lineage.replicate,
                slot.plan.streams.order,
                slot.step + ahead,
                min(length, max(slot.remaining - ahead, 0)),
            )
            for slot in self.taken
        ]

    def _stride(self, position: int, length: int) -> int:
        """Train to the next step at which the host has to look at some slot; return the new position."""
        running = [slot for slot in self.taken if slot.remaining]
        ahead = [slot.next_border - slot.step for slot in running]
        num = min(length - position, self._steps.max_steps, *ahead)
        self._steps.ready(position, [Stretch(slot.place, slot.step, num) for slot in running])
        self._program.run(num)
        if position + num == length:  # while the device works, the next segment's order is made
            self._orders.prepare(self._requests(self._segment_steps, ahead=num))
        clock = self._state.clock
        losses, correct = (seen[position : position + num].cpu() for seen in (clock.losses, clock.correct))
        for slot in running:
            slot.took(losses[:, slot.place].tolist(), int(correct[:, slot.place].sum()))
            slot.record()
        self._look([slot for slot in running if slot.is_due])
        self._finish([slot for slot in self.taken if not slot.remaining])
        return position + num

    def _look(self, due: list[Slot]) -> None:
        """Evaluate slots: the parts that all need at once, then each one's judgement."""
        self._scoring.prepare(due, "validation")
        self._scoring.prepare([slot for slot in due if slot.reads_test], "test")
        for slot in due:
            self._guarded(slot, slot.look)

    def _finish(self, ended: Iterable[Slot]) -> None:
        for slot in ended:
            self._guarded(slot, partial(self._conclude, slot))

    def _conclude(self, slot: Slot) -> None:
        self._end(slot, slot.finish())

    def _guarded(self, slot: Slot, action: Callable[[], None]) -> None:
        """Do something on behalf of one slot; what it raises ends that slot and no other."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the edge at which a failure becomes the slot's result
            self._end(slot, error)

    def _end(self, slot: Slot, result: Trained | Exception) -> None:
        self.done[slot.name] = result
        self.slots[slot.place] = None
        self._state.clock.limit[slot.place] = 0
