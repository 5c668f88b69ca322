"""The drivers that run: which search gets one next, when a dead one comes back, and when a search is poison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from workers.backoff import Backoff
from workers.children import Child

SearchName = tuple[str, str]
"""Tenant and search id."""

MAX_CRASHES = 5
"""So many crashes of a driver in a row without a new level make the search fail."""
UNCOUNTED_EXITS = frozenset({3, 4})
"""Exit codes of a driver that was overtaken, or whose cluster was lost."""


@dataclass
class Watch:
    """How the drivers of one search fared."""

    backoff: Backoff = field(default_factory=Backoff)
    num_crashes: int = 0
    levels_done: int = -1


class Fleet:
    """At most `max_drivers` drivers, one per search.

    Args:
        max_drivers: Drivers at once.
        start: Starts the driver of a search.
    """

    def __init__(self, max_drivers: int, start: Callable[[SearchName], Child]) -> None:
        self.drivers: dict[SearchName, Child] = {}
        self._max_drivers = max_drivers
        self._start = start
        self._watches: dict[SearchName, Watch] = {}

    def reap(self) -> list[tuple[SearchName, int, float]]:
        """Take out the drivers that ended: search, exit code and seconds lived."""
        ended = []
        for name, child in list(self.drivers.items()):
            code = child.exit_code
            if code is not None:
                child.kill()
                del self.drivers[name]
                ended.append((name, code, time.monotonic() - child.started_at_s))
        return ended

    def crashed(self, name: SearchName, code: int, lived_s: float, levels_done: int) -> bool:
        """Note that a driver ended without ending its search; tell whether the search is poison."""
        watch = self._watches.setdefault(name, Watch())
        watch.backoff.died(lived_s)
        if levels_done != watch.levels_done:
            watch.num_crashes, watch.levels_done = 0, levels_done
        if code not in UNCOUNTED_EXITS:
            watch.num_crashes += 1
        return watch.num_crashes >= MAX_CRASHES

    def ended(self, name: SearchName) -> None:
        """Forget a search."""
        self._watches.pop(name, None)

    def launch(self, waiting: Iterable[SearchName]) -> list[SearchName]:
        """Start drivers for the first of `waiting` that have none, as far as there is room; return them."""
        started = []
        for name in waiting:
            if len(self.drivers) >= self._max_drivers:
                break
            if name in self.drivers or not self._watches.setdefault(name, Watch()).backoff.is_over:
                continue
            self.drivers[name] = self._start(name)
            started.append(name)
        return started

    def kill_all(self) -> None:
        """Kill all drivers; it does not count against their searches."""
        for child in self.drivers.values():
            child.kill()
        self.drivers.clear()
