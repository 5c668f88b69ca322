"""Signs of life of a level in training, and the moment at which its caller may stop it."""

from __future__ import annotations

import time
from collections.abc import Callable

from lth_core.errors import LevelCancelled

MAX_SILENT_STEPS = 50
MAX_SILENCE_S = 0.25


class Pulse:
    """Tells the caller how far the training is, often enough for a watchdog, rarely enough to cost nothing.

    The clock decides only when the caller hears of a step; it enters no result.

    Args:
        on_progress: Called with the number of steps done.
        should_stop: Asked as often; True ends the level.
    """

    def __init__(
        self, on_progress: Callable[[int], None] | None = None, should_stop: Callable[[], bool] | None = None
    ) -> None:
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._beats = 0
        self._spoke_at = time.monotonic()

    def beat(self, step: int) -> None:
        """Note that work went on at a step; called for every training step and every evaluation batch.

        Raises:
            LevelCancelled: If the caller asked to stop.
        """
        self._beats += 1
        if self._beats >= MAX_SILENT_STEPS or time.monotonic() - self._spoke_at >= MAX_SILENCE_S:
            self.speak(step)

    def speak(self, step: int) -> None:
        """Tell the caller now.

        Raises:
            LevelCancelled: If the caller asked to stop.
        """
        self._beats = 0
        self._spoke_at = time.monotonic()
        if self._on_progress is not None:
            self._on_progress(step)
        if self._should_stop is not None and self._should_stop():
            raise LevelCancelled(step)
