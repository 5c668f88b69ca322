"""Slots in which levels are trained on one device: packed ones in lockstep, the others in turn, a segment at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from lth_core.data import TensorData
from lth_core.engines.base import Trained, Training
from lth_core.engines.checkpoint import Checkpoint, fitting
from lth_core.engines.choice import EngineKind
from lth_core.engines.pack.engine import PackEngine
from lth_core.engines.starting import engine_of_plan, start_training
from lth_core.errors import LevelCancelled
from lth_core.level import Level, LevelResult
from lth_core.level_task import LevelTask
from lth_core.pulse import Pulse

SEGMENT_S = 1.0
"""About how long the segment of a level lasts that trains alone; the clock decides where it is cut, not its bits."""
MAX_BRANCHES = 8
"""Slots of a pack of networks with convolutions: each fills much of a device, by its maps or as a branch of a graph."""


@dataclass(frozen=True)
class Ended:
    """A level that left its slot.

    Attributes:
        slot: The name under which it was admitted.
        result: What it left behind, None if it failed.
        error: Why it failed, None if it did not.
    """

    slot: str
    result: LevelResult | None
    error: Exception | None


@dataclass(eq=False)
class _Slot:
    name: str
    task: LevelTask
    data: TensorData
    checkpoint: Checkpoint | None
    level: Level | None = None
    training: Training | None = None
    step: int = 0
    segment_steps: int = 1
    resumed_at: int | None = None
    stop: Event = field(default_factory=Event)

    @property
    def pulse(self) -> Pulse:
        """What the training of the slot tells its steps to."""
        return Pulse(self._note, self.stop.is_set)

    def advance(self) -> None:
        """Train a level that is alone for a segment."""
        assert self.training is not None
        begun_s = time.monotonic()
        self.training.advance(min(self.training.step + self.segment_steps, self.task.lineage.train.steps))
        took_s = max(time.monotonic() - begun_s, 1e-3)
        self.segment_steps = max(1, min(round(self.segment_steps * SEGMENT_S / took_s), 4 * self.segment_steps))

    def result(self, trained: Trained, engine: EngineKind) -> LevelResult:
        """Return what the level leaves behind."""
        assert self.level is not None
        return replace(self.level.result(trained, engine), resumed_at=self.resumed_at)

    def _note(self, step: int) -> None:
        self.step = step


class LevelSlots:
    """Trains levels side by side; `admit`, `cancel` and what tells of progress may be called by any thread.

    The engine of a level is the one its lineage names. Levels of the pack engine share steps; every other level takes
    its turn of about a second beside them. No level's bits depend on its companions.

    Args:
        num_slots: Most levels at once.

    Raises:
        ValueError: If that is less than 1.
    """

    def __init__(self, num_slots: int) -> None:
        self.capacity = num_slots
        self._pack = PackEngine(num_slots=num_slots, num_branches=min(num_slots, MAX_BRANCHES))
        self._slots: dict[str, _Slot] = {}
        self._entering: deque[_Slot] = deque()
        self._packed: dict[str, _Slot] = {}
        self._alone: deque[_Slot] = deque()
        self._ended: list[Ended] = []

    def admit(self, slot: str, task: LevelTask, data: TensorData, checkpoint: Checkpoint | None = None) -> None:
        """Take a level into a free slot, to be trained by the next calls of `run`, on from a checkpoint if given one.

        Raises:
            RuntimeError: If no slot is free.
        """
        if len(self._slots) >= self.capacity:
            raise RuntimeError(f"all {self.capacity} slots are taken by {', '.join(self._slots)}")
        self._slots[slot] = found = _Slot(slot, task, data, checkpoint)
        self._entering.append(found)

    def run(self) -> None:
        """Train everything admitted for a segment; new levels come in between segments."""
        while self._entering:
            self._guarded(self._entering.popleft(), self._enter)
        for slot in [slot for slot in self._packed.values() if slot.stop.is_set()]:
            del self._packed[slot.name]
            self._pack.cancel(slot.name)
            self._end(slot, None, LevelCancelled(slot.step))
        if self._packed:
            self._pack.run()
            for name, trained in self._pack.collect().items():
                self._conclude(self._packed.pop(name), trained)
        if self._alone:
            self._guarded(self._alone.popleft(), self._take_turn)

    def collect(self) -> list[Ended]:
        """Return the levels that ended since the last call; their slots are free."""
        ended, self._ended = self._ended, []
        return ended

    def checkpoint(self, slot: str) -> Checkpoint | None:
        """Return how far a level is; None if it has just begun or ended."""
        found = self._slots.get(slot)
        if found is None:
            return None
        if slot in self._packed:
            return self._pack.checkpoint(slot)
        return None if found.training is None else found.training.checkpoint()

    def cancel(self, slot: str) -> None:
        """Stop a level at its next batch or segment; it is collected with `LevelCancelled`."""
        found = self._slots.get(slot)
        if found is not None:
            found.stop.set()

    @property
    def is_preparing(self) -> bool:
        """Whether something is being made ready that no steps tell of; asked by any thread."""
        return self._pack.is_building

    def progress(self) -> Mapping[str, int]:
        """Optimizer steps done, by slot."""
        return {name: slot.step for name, slot in list(self._slots.items())}

    def _enter(self, slot: _Slot) -> None:
        slot.level = Level(slot.task, slot.data)
        plan = slot.level.plan
        engine = engine_of_plan(plan)
        checkpoint = fitting(slot.checkpoint, plan.digest, engine)
        slot.checkpoint = None
        if checkpoint is not None and checkpoint.step > plan.first_step:
            slot.resumed_at = checkpoint.step
        if engine == "pack":
            self._pack.admit(slot.name, plan, slot.data, slot.pulse, checkpoint)
            self._packed[slot.name] = slot
            return
        slot.training = start_training(plan, slot.data, slot.pulse, engine=engine, checkpoint=checkpoint)
        self._alone.append(slot)

    def _take_turn(self, slot: _Slot) -> None:
        slot.advance()
        assert slot.training is not None
        if slot.training.step < slot.task.lineage.train.steps:
            self._alone.append(slot)
        else:
            self._end(slot, slot.result(slot.training.finish(), slot.training.engine), None)

    def _conclude(self, slot: _Slot, trained: Trained | Exception) -> None:
        if isinstance(trained, Exception):
            self._end(slot, None, trained)
        else:
            self._guarded(slot, lambda slot: self._end(slot, slot.result(trained, "pack"), None))

    def _guarded(self, slot: _Slot, action: Callable[[_Slot], None]) -> None:
        """Do something on behalf of one level; what it raises ends that level and no other."""
        try:
            action(slot)
        except Exception as error:  # noqa: BLE001 - the edge: every failure becomes the level's outcome
            self._end(slot, None, error)

    def _end(self, slot: _Slot, result: LevelResult | None, error: Exception | None) -> None:
        del self._slots[slot.name]
        self._ended.append(Ended(slot.name, result, error))
