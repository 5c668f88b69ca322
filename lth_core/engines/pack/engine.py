"""The pack engine: trainings are admitted by name, run a segment at a time, and collected when they have ended."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from lth_core.data import TensorData
from lth_core.engines.base import Plan, Trained
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import FULLY_CONNECTED
from lth_core.engines.pack.loading import beginning
from lth_core.engines.pack.pack import Pack
from lth_core.engines.pack.resident import ResidentData
from lth_core.engines.pack.shape import PackShape, Variant
from lth_core.engines.pack.slot import Slot
from lth_core.names import NormalisationKind
from lth_core.pulse import Pulse


@dataclass(eq=False)
class _Waiting:
    name: str
    plan: Plan
    data: TensorData
    pulse: Pulse
    checkpoint: Checkpoint | None


class PackEngine:
    """Packs of several shapes on one device, a segment of each in turn; trainings enter and leave between segments.

    Which slot a training gets, who its neighbours are and when it enters change none of its bits, in the variants that
    promise so (see the package).

    Attributes:
        is_building: Whether a pack is being made, which on a GPU compiles kernels and captures graphs.

    Args:
        num_slots: Slots of a pack of fully connected networks.
        num_branches: Slots of a pack of networks with convolutions, whose outputs and branches take memory.
        segment_steps: Most steps of a segment; a multiple of the evaluation's cadence wastes nothing.
        variant: The arithmetic wanted, see `PackShape.of`.

    Raises:
        ValueError: If a number is less than 1.
    """

    def __init__(
        self,
        *,
        num_slots: int = 128,
        num_branches: int = 8,
        segment_steps: int = 500,
        variant: Variant = "own",
    ) -> None:
        sizes = {"num_slots": num_slots, "num_branches": num_branches, "segment_steps": segment_steps}
        for field, value in sizes.items():
            if value < 1:
                raise ValueError(f"{field} must be >= 1, got {value}")
        self.is_building = False
        self._num_slots, self._num_branches, self._segment_steps = num_slots, num_branches, segment_steps
        self._variant: Variant = variant
        self._packs: dict[PackShape, Pack] = {}
        self._waiting: dict[PackShape, deque[_Waiting]] = {}
        self._resident: dict[tuple[str, NormalisationKind], ResidentData] = {}
        self._done: dict[str, Trained | Exception] = {}

    def admit(
        self,
        name: str,
        plan: Plan,
        data: TensorData,
        pulse: Pulse | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Take a training; it enters a slot when the next segment begins, or when one is free.

        Args:
            name: The caller's name for it, until it is collected.
            plan: What is trained.
            data: The data set, on the device that trains.
            pulse: Hears of every segment and evaluation, and may end the training.
            checkpoint: Where an earlier training of it had come to, in whatever slot of whatever pack; one of another
                plan or engine is left aside.

        Raises:
            ValueError: If the name is taken, or the plan does not fit the network, the data or this engine.
        """
        if name in self.progress() or name in self._done:
            raise ValueError(f"name must be new, got {name!r}")
        if data.info.digest != plan.lineage.dataset_digest:
            raise ValueError(f"data must be {plan.lineage.dataset_digest}, got {data.info.digest}")
        if data.normalisation.kind != plan.lineage.normalisation:
            wanted = plan.lineage.normalisation
            raise ValueError(f"normalisation of the data must be {wanted}, got {data.normalisation.kind}")
        shape = PackShape.of(plan, wanted=self._variant)
        beginning(plan)
        waiting = _Waiting(name, plan, data, pulse or Pulse(), checkpoint)
        self._waiting.setdefault(shape, deque()).append(waiting)

    def run(self) -> bool:
        """Run one segment of every pack; True while there is anything to run.

        What a training raises ends that training, and is collected; its neighbours go on. What a device raises ends all
        that were in the pack, which is given up.
        """
        for shape, queue in list(self._waiting.items()):
            self._let_in(shape, queue)
        self._waiting = {shape: queue for shape, queue in self._waiting.items() if queue}
        for shape, pack in list(self._packs.items()):
            try:
                if pack.taken:
                    pack.run_segment()
            except Exception as error:  # noqa: BLE001 - the edge at which a lost device becomes its trainings' outcome
                self._done.update(dict.fromkeys((slot.name for slot in pack.taken), error))
                del self._packs[shape]
            self._done.update(pack.done)
            pack.done.clear()
        return bool(self._waiting) or any(pack.taken for pack in self._packs.values())

    def collect(self) -> dict[str, Trained | Exception]:
        """Return what ended since the last call, by name: what a training left behind, or why it failed."""
        done, self._done = self._done, {}
        return done

    def cancel(self, name: str) -> None:
        """Forget a training, wherever it is; an unknown name is none."""
        self._done.pop(name, None)
        for queue in self._waiting.values():
            for waiting in [one for one in queue if one.name == name]:
                queue.remove(waiting)
        for pack in self._packs.values():
            pack.remove(name)

    def progress(self) -> dict[str, int]:
        """Return the updates done of every training that was admitted and has not ended."""
        found = {one.name: one.plan.first_step for queue in self._waiting.values() for one in queue}
        return found | {slot.name: slot.step for slot in self._slots()}

    def checkpoint(self, name: str) -> Checkpoint | None:
        """Return everything that is needed to go on from here, in another pack or process too; None without a slot."""
        found = next((slot for slot in self._slots() if slot.name == name), None)
        return None if found is None else found.checkpoint()

    def _slots(self) -> list[Slot]:
        return [slot for pack in self._packs.values() for slot in pack.taken]

    def _let_in(self, shape: PackShape, queue: deque[_Waiting]) -> None:
        """Fill the free slots of a shape."""
        while queue:
            one = queue[0]
            try:
                if not self._room(shape, one.data):
                    return
                self._packs[shape].admit(one.name, one.plan, one.pulse, one.checkpoint)
            except Exception as error:  # noqa: BLE001 - no pack for it, or no slot: its own outcome
                self._done[one.name] = error
            queue.popleft()

    def _room(self, shape: PackShape, data: TensorData) -> bool:
        """Tell whether a slot of a shape is free; its pack is made when there is none, idle ones give way to it."""
        if shape not in self._packs:
            self._packs = {other: pack for other, pack in self._packs.items() if pack.taken or other in self._waiting}
            self._packs[shape] = self._build(shape, data)
        return self._packs[shape].has_room

    def _build(self, shape: PackShape, data: TensorData) -> Pack:
        held = shape.dataset, shape.normalisation
        if held not in self._resident:
            self._resident[held] = ResidentData.of(data)
        is_small = shape.variant != "branches" and shape.model.name in FULLY_CONNECTED
        num_slots = self._num_slots if is_small else self._num_branches
        self.is_building = True
        try:
            return Pack(shape, data, self._resident[held], num_slots=num_slots, segment_steps=self._segment_steps)
        finally:
            self.is_building = False
