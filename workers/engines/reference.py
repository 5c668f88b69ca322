"""The reference engine: torch's autograd, one slot, a segment is a whole level."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event

from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.expansion import DeviceClass
from lth_core.fingerprint import fingerprint
from lth_core.level import LevelTask, train_level
from workers.engines.base import Finished


@dataclass
class _Slot:
    name: str
    task: LevelTask
    data: TensorData
    step: int = 0
    stop: Event = field(default_factory=Event)


class ReferenceEngine:
    """Trains one level at a time exactly as `lth_core.level` says."""

    kind = "reference"
    capacity = 1

    def __init__(self, device: DeviceClass, threads: int) -> None:
        self._device = device
        self._threads = threads
        self._slot: _Slot | None = None
        self._finished: list[Finished] = []

    def admit(self, slot: str, task: LevelTask, data: TensorData) -> None:
        """Take a level into the slot; errors as the protocol says."""
        if self._slot is not None:
            raise RuntimeError(f"the slot is taken by {self._slot.name}")
        self._slot = _Slot(slot, task, data)

    def run(self) -> None:
        """Train the admitted level to its end."""
        slot = self._slot
        if slot is None:
            return

        def note(step: int) -> None:
            slot.step = step

        try:
            result = train_level(slot.task, slot.data, on_progress=note, should_stop=slot.stop.is_set)
            ended = Finished(slot.name, result, None)
        except Exception as error:  # noqa: BLE001 - the edge: every failure becomes the level's outcome
            ended = Finished(slot.name, None, error)
        self._finished.append(ended)
        self._slot = None

    def collect(self) -> list[Finished]:
        """Return what ended since the last call."""
        ended, self._finished = self._finished, []
        return ended

    def cancel(self, slot: str) -> None:
        """Stop the level at its next batch."""
        current = self._slot
        if current is not None and current.name == slot:
            current.stop.set()

    def progress(self) -> Mapping[str, int]:
        """Optimizer steps done, by slot."""
        current = self._slot
        return {} if current is None else {current.name: current.step}

    def fingerprint(self) -> dict[str, object]:
        """The environment of the calling thread."""
        pin(self._threads)
        return fingerprint(self._device, os.environ)
