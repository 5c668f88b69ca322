"""What every kind of process of a service costs: processor seconds and memory, sampled while it works."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from types import TracebackType
from typing import Self

import psutil

from service.local.processes import tagged

EVERY_S = 0.5
ROLES = {
    "service.api.server": "api",
    "workers.dispatcher": "dispatcher",
    "benchmarks.scale.dispatcher": "dispatcher",
    "workers.engine_host": "engine host",
    "benchmarks.scale.stand_in": "engine host",
    "workers.driver": "driver",
    "ray::StandInPool": "pool",
    "ray::Pool": "pool",
    "ray::StandInEngine": "engine",
    "ray::EngineProcess": "engine",
    "ray::IDLE": "trial",
    "ray::LineageTrial": "trial",
    "ray::DashboardAgent": "ray agents",
    "ray::RuntimeEnvAgent": "ray agents",
    "ray::": "trial",
    "gcs_server": "gcs",
    "raylet": "raylet",
    "valkey-server": "index",
}
"""Words of a command line, the telling ones first, and who that is; everything else is Ray's own."""


def role_of(line: str) -> str:
    """Return what a process is, by its command line."""
    return next((role for words, role in ROLES.items() if words in line), "ray agents")


class Costs:
    """Samples all processes with a tag in their environment, in a thread, for the length of a block.

    Attributes:
        cpu_s: Processor seconds by role, those of processes that ended meanwhile among them.
        peak_bytes: Most memory that a role held at once, what its processes share counted once per process.
        peak_num: Most processes of a role at once.

    Args:
        tag: `NAME=value`.
        more: Ids of processes that have no tag.
    """

    def __init__(self, tag: str, more: tuple[int, ...] = ()) -> None:
        self._tag, self._more = tag, more
        self._used_s: dict[tuple[int, float], tuple[str, float]] = {}
        self._first_s: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="costs")
        self.peak_bytes: Counter[str] = Counter()
        self.peak_num: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._sample(is_first=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    @property
    def cpu_s(self) -> dict[str, float]:
        """Processor seconds by role since the block began."""
        found: Counter[str] = Counter()
        for name, (role, used_s) in self._used_s.items():
            found[role] += used_s - self._first_s[name]  # type: ignore[assignment]
        return {role: round(used_s, 2) for role, used_s in sorted(found.items())}

    def num_processes(self, role: str) -> int:
        """Return how many processes of a role there were in all."""
        return sum(own == role for own, _ in self._used_s.values())

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self._sample()

    def _sample(self, *, is_first: bool = False) -> None:
        held: Counter[str] = Counter()
        num: Counter[str] = Counter()
        for pid in {*tagged(self._tag), *self._more}:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                times, role = process.cpu_times(), role_of(" ".join(process.cmdline()))
                name, used_s = (pid, process.create_time()), times.user + times.system
                self._first_s.setdefault(name, used_s if is_first else 0.0)
                self._used_s[name] = role, used_s
                held[role] += process.memory_info().rss
                num[role] += 1
        self.peak_bytes |= held
        self.peak_num |= num
