"""One driver is kept ready, its imports done, so that a search does not wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from workers.backoff import Backoff
from workers.children import Child


class Spare:
    """Drivers are told their search when there is one; the next of them is started before.

    Args:
        spawn: Starts a driver that waits for its search.
    """

    def __init__(self, spawn: Callable[[], Child]) -> None:
        self._spawn = spawn
        self._child: Child | None = None
        self._backoff = Backoff()

    def give(self, word: str) -> Child:
        """Return a driver that was told a word: the one that is ready, or else a fresh one."""
        ready, self._child = self._child, None
        if ready is not None:
            if ready.exit_code is None and ready.tell(word):
                ready.started_at_s = time.monotonic()
                return ready
            self._bury(ready)
        fresh = self._spawn()
        fresh.tell(word)
        return fresh

    def keep(self) -> None:
        """See to it that one is ready or will be soon."""
        if self._child is not None and self._child.exit_code is not None:
            self._bury(self._child)
            self._child = None
        if self._child is None and self._backoff.is_over:
            self._child = self._spawn()

    def kill(self) -> None:
        """End the one that is ready: the cluster it was to join is gone."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _bury(self, dead: Child) -> None:
        self._backoff.died(time.monotonic() - dead.started_at_s)
        dead.kill()
