"""What the pool knows of its engines: which exist, what they hold, how they move on, what the cluster carries."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.store import clock
from workers.engines.orders import Order

STUCK_S = 60.0
"""An engine without progress for this long is stuck, unless its steps are known to be slower."""
PREPARING_FACTOR = 10
"""So many times longer may an engine be silent that compiles kernels and captures graphs."""
STUCK_STEPS = 10
"""So many median steps without progress are stuck as well; the longer of both counts."""
CPU_LEFT_FREE = 0.05
"""What an engine leaves of its last CPU, so that trials of next to nothing fit beside engines that fill a machine."""

EngineClass = tuple[str, int]


@dataclass
class Job:
    """One level in training or waiting for it, and who waits for it.

    Attributes:
        order: What is to be trained.
        slot: Its name in the engine.
        waiters: Searches that want it; none left means that it is stopped.
        engine: Where it trains, None while it waits.
        cancelled_at_s: When it was told to stop.
    """

    order: Order
    slot: str
    waiters: set[str] = field(default_factory=set)
    engine: EngineSlot | None = None
    cancelled_at_s: float | None = None


@dataclass(eq=False)
class EngineSlot:
    """One engine as the pool sees it; one that is leaving finishes what it holds and takes nothing more."""

    name: str
    engine_class: EngineClass
    actor: Any
    cpus: float = 0.0
    gpus: float = 0.0
    is_ready: bool = False
    is_leaving: bool = False
    node: str = ""
    node_id: str = ""
    requested_at: datetime = field(default_factory=clock.now)
    ready_at: datetime | None = None
    capacity: int = 1
    jobs: dict[str, Job] = field(default_factory=dict)
    idle_since_s: float = field(default_factory=time.monotonic)
    moved_at_s: float = field(default_factory=time.monotonic)
    steps: dict[str, int] = field(default_factory=dict)
    is_preparing: bool = False
    _last: object = None
    _step_s: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def num_free(self) -> int:
        """Levels it could take now."""
        return self.capacity - len(self.jobs) if self.is_ready and not self.is_leaving else 0

    def take(self, job: Job) -> None:
        """Note that a job is in the engine."""
        self.jobs[job.slot] = job
        job.engine = self
        self.moved_at_s = time.monotonic()

    def release(self, job: Job) -> None:
        """Note that a job has left the engine."""
        self.jobs.pop(job.slot, None)
        self.steps.pop(job.slot, None)
        self.idle_since_s = self.moved_at_s = time.monotonic()

    def note(self, report: dict[str, Any], now_s: float) -> None:
        """Take in what the engine says of itself; any change is progress."""
        before, self.steps = self.steps, dict(report["steps"])
        self.is_preparing = bool(report.get("preparing"))
        seen = (self.steps, report["beats"])
        if seen == self._last:
            return
        self._last = seen
        done = sum(max(0, step - before[slot]) for slot, step in self.steps.items() if slot in before)
        if done:
            self._step_s.append((now_s - self.moved_at_s) / done)
        self.moved_at_s = now_s

    def is_stuck(self, now_s: float, stuck_s: float = STUCK_S) -> bool:
        """Tell whether it holds a level and has not moved for too long."""
        median_s = statistics.median(self._step_s) if self._step_s else 0.0
        most_s = max(stuck_s, STUCK_STEPS * median_s) * (PREPARING_FACTOR if self.is_preparing else 1)
        return bool(self.jobs) and now_s - self.moved_at_s > most_s


@dataclass(frozen=True)
class Limits:
    """What bounds the engines of a cluster.

    Attributes:
        idle_s: After how long an unused engine goes.
        stuck_s: After how long without progress a busy engine is killed, if its steps are not known to be slower.
        num_slots: Levels that an engine trains at once, by class of device.
        cpus: CPUs that the cluster may grow to; 0 where it does not grow.
        gpus: GPUs that it may grow to.
    """

    idle_s: float
    stuck_s: float
    num_slots: Mapping[str, int]
    cpus: float = 0.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Capacity:
    """CPUs and GPUs of the cluster, in all, those it may grow to among them, and of its largest node."""

    cpus: float
    gpus: float
    largest_cpus: float

    def reaching(self, limits: Limits) -> Capacity:
        """Return what the cluster may grow to, where that is more."""
        return replace(self, cpus=max(self.cpus, limits.cpus), gpus=max(self.gpus, limits.gpus))

    def cost(self, engine_class: EngineClass) -> tuple[float, float]:
        """CPUs and GPUs that an engine reserves; one that wants more threads than any node has takes a whole one."""
        device, threads = engine_class
        wanted = float(threads)
        if self.largest_cpus:
            wanted = min(wanted, self.largest_cpus)
        return wanted - CPU_LEFT_FREE, 1.0 if device == "cuda" else 0.0

    def carries(self, engine_class: EngineClass, others: list[EngineClass]) -> bool:
        """Tell whether one more engine fits beside others.

        A class that no node can carry at all fits once: the wish for it makes an autoscaler start one.
        """
        costs = [self.cost(engine_class), *(self.cost(other) for other in others)]
        cpus, gpus = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
        if cpus <= self.cpus and gpus <= self.gpus:
            return True
        own_cpus, own_gpus = costs[0]
        impossible = own_cpus > self.cpus or own_gpus > self.gpus
        return impossible and engine_class not in others

    def engines(self, engine_class: EngineClass) -> int:
        """How many engines of one class fit alone, at least one."""
        cpus, gpus = self.cost(engine_class)
        by_gpu = self.gpus // gpus if gpus else float("inf")
        return max(1, int(min(self.cpus // cpus, by_gpu)))
