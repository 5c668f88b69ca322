"""An engine with one slot: one level at a time on the device, by whichever engine of the core its lineage names."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.engines.base import Training
from lth_core.engines.checkpoint import Checkpoint
from lth_core.engines.choice import EngineKind
from lth_core.engines.starting import start_training
from lth_core.expansion import DeviceClass
from lth_core.fingerprint import fingerprint
from lth_core.level import Level
from lth_core.level_task import LevelTask
from lth_core.pulse import Pulse
from workers.engines.base import Finished

SEGMENT_S = 1.0
"""About how long a segment lasts; the clock decides where it is cut, and never what is computed."""


@dataclass
class _Slot:
    name: str
    task: LevelTask
    data: TensorData
    checkpoint: Checkpoint | None
    step: int = 0
    segment_steps: int = 1
    level: Level | None = None
    training: Training | None = None
    resumed_at: int | None = None
    stop: Event = field(default_factory=Event)


class SingleEngine:
    """Trains one level at a time, segment by segment."""

    capacity = 1

    def __init__(self, device: DeviceClass, threads: int) -> None:
        self._device = device
        self._threads = threads
        self._slot: _Slot | None = None
        self._finished: list[Finished] = []

    def admit(self, slot: str, task: LevelTask, data: TensorData, checkpoint: Checkpoint | None = None) -> None:
        """Take a level into the slot; errors as the protocol says."""
        if self._slot is not None:
            raise RuntimeError(f"the slot is taken by {self._slot.name}")
        self._slot = _Slot(slot, task, data, checkpoint)

    def run(self) -> None:
        """Train the admitted level for a segment."""
        slot = self._slot
        if slot is None:
            return
        try:
            ended = self._advance(slot)
        except Exception as error:  # noqa: BLE001 - the edge: every failure becomes the level's outcome
            ended = Finished(slot.name, None, error)
        if ended is not None:
            self._finished.append(ended)
            self._slot = None

    def collect(self) -> list[Finished]:
        """Return what ended since the last call."""
        ended, self._finished = self._finished, []
        return ended

    def checkpoint(self, slot: str) -> Checkpoint | None:
        """Return how far a level is, between two segments; None if it has just begun or ended."""
        current = self._slot
        if current is None or current.name != slot or current.training is None:
            return None
        return current.training.checkpoint()

    def cancel(self, slot: str) -> None:
        """Stop the level at its next batch."""
        current = self._slot
        if current is not None and current.name == slot:
            current.stop.set()

    def progress(self) -> Mapping[str, int]:
        """Optimizer steps done, by slot."""
        current = self._slot
        return {} if current is None else {current.name: current.step}

    def fingerprint(self, engine: EngineKind) -> dict[str, object]:
        """The environment of the calling thread."""
        pin(self._threads)
        return fingerprint(self._device, os.environ, engine=engine)

    def _advance(self, slot: _Slot) -> Finished | None:
        steps = slot.task.lineage.train.steps
        if slot.training is None or slot.level is None:

            def note(step: int) -> None:
                slot.step = step

            pulse = Pulse(note, slot.stop.is_set)
            slot.level = Level(slot.task, slot.data)
            slot.training = start_training(slot.level.plan, slot.data, pulse, checkpoint=slot.checkpoint)
            slot.checkpoint = None
            if slot.training.step > slot.level.plan.first_step:
                slot.resumed_at = slot.training.step
        begun_s = time.monotonic()
        slot.training.advance(min(slot.training.step + slot.segment_steps, steps))
        took_s = max(time.monotonic() - begun_s, 1e-3)
        slot.segment_steps = max(1, min(round(slot.segment_steps * SEGMENT_S / took_s), 4 * slot.segment_steps))
        if slot.training.step < steps:
            return None
        result = slot.level.result(slot.training.finish(), slot.training.engine)
        return Finished(slot.name, replace(result, resumed_at=slot.resumed_at), None)
