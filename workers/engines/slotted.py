"""The engine of a device: slots for levels, as many as the device trains at once; one on a small machine."""

from __future__ import annotations

import os

from lth_core.determinism import pin
from lth_core.engines.choice import EngineKind
from lth_core.expansion import DeviceClass
from lth_core.fingerprint import fingerprint
from lth_core.level_slots import LevelSlots


class SlottedEngine(LevelSlots):
    """The interface is `workers.engines.base.Engine`.

    Args:
        device: What it trains on.
        threads: CPU threads of every training.
        num_slots: Most levels at once.
    """

    def __init__(self, device: DeviceClass, threads: int, num_slots: int = 1) -> None:
        super().__init__(num_slots)
        self._device = device
        self._threads = threads

    def fingerprint(self, engine: EngineKind) -> dict[str, object]:
        """The environment of the calling thread."""
        pin(self._threads)
        return fingerprint(self._device, os.environ, engine=engine)
