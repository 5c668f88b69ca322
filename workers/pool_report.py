"""What the pool tells of itself: its engines, who trains in them, who waits, and what happened to engines lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from service.store import clock
from workers.cluster_events import ClusterEvent
from workers.engine_slots import EngineClass, EngineSlot, Job

EngineStatus = Literal["starting", "ready", "leaving"]


@dataclass(frozen=True)
class LevelReport:
    """A level that trains or waits: whose it is, which searches want it, and which engines can take it."""

    tenant: str
    searches: tuple[str, ...]
    engine_class: EngineClass

    @property
    def names(self) -> list[tuple[str, str]]:
        """Tenant and search of everyone who wants it."""
        return [(self.tenant, search) for search in self.searches]


@dataclass(frozen=True)
class EngineReport:
    """One engine.

    Attributes:
        name: Its name.
        engine_class: Its class of device and its threads.
        cpus: CPUs that it reserves.
        gpus: GPUs that it reserves.
        status: A leaving one takes no level any more.
        node: Machine it runs on, empty while it starts.
        node_id: Ray's name of that machine.
        num_slots: Levels it trains at once.
        requested_at: When it was asked for.
        ready_at: When it could take levels.
        idle_since: When it last held a level, None while it does.
        levels: What it holds.
    """

    name: str
    engine_class: EngineClass
    cpus: float
    gpus: float
    status: EngineStatus
    node: str
    node_id: str
    num_slots: int
    requested_at: str
    ready_at: str | None
    idle_since: str | None
    levels: tuple[LevelReport, ...]


@dataclass(frozen=True)
class PoolReport:
    """Engines, levels that wait for one, and the last events."""

    engines: tuple[EngineReport, ...] = ()
    waiting: tuple[LevelReport, ...] = ()
    events: tuple[ClusterEvent, ...] = ()


def report_of_pool(
    engines: Iterable[EngineSlot],
    waiting: Iterable[Job],
    events: Iterable[ClusterEvent],
    num_slots: Mapping[str, int],
    now_s: float,
) -> PoolReport:
    """Report of a pool.

    Args:
        engines: Its engines.
        waiting: Its levels that have none.
        events: What happened to engines.
        num_slots: Slots of an engine that is still starting, by class of device.
        now_s: The time on the clock by which engines note when they fell idle.
    """
    now = clock.now()
    shown = tuple(_engine(slot, num_slots[slot.engine_class[0]], now, now_s) for slot in engines)
    return PoolReport(shown, tuple(_level(job) for job in waiting), tuple(events))


def _engine(slot: EngineSlot, num_slots: int, now: datetime, now_s: float) -> EngineReport:
    idle = slot.is_ready and not slot.jobs
    return EngineReport(
        slot.name,
        slot.engine_class,
        slot.cpus,
        slot.gpus,
        ("leaving" if slot.is_leaving else "ready") if slot.is_ready else "starting",
        slot.node,
        slot.node_id,
        slot.capacity if slot.is_ready else num_slots,
        clock.to_text(slot.requested_at),
        clock.to_text(slot.ready_at) if slot.ready_at else None,
        clock.to_text(now - timedelta(seconds=now_s - slot.idle_since_s)) if idle else None,
        tuple(_level(job) for job in slot.jobs.values()),
    )


def _level(job: Job) -> LevelReport:
    return LevelReport(job.order.tenant, tuple(sorted(job.waiters)), job.order.engine_class)
