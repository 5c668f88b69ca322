"""The pool: gives waiting levels to engines, fairly over searches; one actor, found by name.

A level that is asked for again, by another search or by the next driver of the same one, joins the training that
already runs, and a trained level waits a while for a driver that died meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from ray.exceptions import RayError

from service.store.scale import BoundsByDevice
from workers.crew import Crew, first_line
from workers.engine import engine_class
from workers.engine_slots import EngineClass, Job, Limits
from workers.engines.orders import Admission, Failure, Order, Reply, Trained
from workers.fair_queue import FairQueue, Party
from workers.pool_report import PoolReport, report_of_pool
from workers.tenant_share import TenantShare

NAME = "pool"
NAMESPACE = "lth"
TICK_S = 0.5
ABANDONED_S = 20.0
"""A search whose driver has not been heard of for this long gives up its levels."""
KILL_AFTER_S = 20.0
"""A level that was told to stop and still runs after this long takes its engine with it."""
KEEP_S = 60.0
"""How long the outcome of a level can be collected."""

JobKey = tuple[str, str, int]


@dataclass(eq=False)
class Work:
    """A job with the moments that others wait for."""

    job: Job
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Reply | None = None
    ended_at_s: float = 0.0


class Pool:
    """Orders in, outcomes out; every method runs in one event loop."""

    engine_class = staticmethod(engine_class)

    def __init__(self, limits: Limits, max_running: int) -> None:
        self._max_running = max_running
        self._num_slots = limits.num_slots
        self._crew = Crew(limits, self._serve, self.engine_class)
        self._queue: FairQueue[Work] = FairQueue()
        self._tickets: dict[str, Work] = {}
        self._open: dict[JobKey, Work] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._heard_s: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._log = structlog.get_logger("pool")

    async def run(self) -> None:
        """Tend queue and engines for ever."""
        while True:
            try:
                self._forget()
                self._serve()
                self._crew.shrink()
                await self._crew.watch()
            except RayError as error:
                self._log.warning("tending failed", error=first_line(error))
            await asyncio.sleep(TICK_S)

    async def ping(self) -> bool:
        """Answer."""
        return True

    async def slots(self, device: str, threads: int) -> int:
        """How many levels of one class can be in training at once, with all that the cluster has or may grow to."""
        return self._crew.capacity().engines((device, threads)) * self._num_slots[device]

    async def prepare(self, device: str, threads: int, num: int) -> None:
        """Have room for so many levels of one class, as far as the cluster goes, before they are asked for."""
        wanted = (device, threads)
        ready = sum(slot.capacity for slot in self._crew.engines if slot.engine_class == wanted and slot.is_ready)
        self._crew.grow([wanted] * (num - ready))

    async def open(self, search: str) -> None:
        """Take orders of a search, from a new driver."""
        self._stops.pop(search, None)
        self._heard_s[search] = time.monotonic()

    async def admit(self, order: Order) -> Admission | Failure:
        """Let a level wait for an engine; answers when its training begins, or has begun already."""
        stop = self._stops.setdefault(order.search, asyncio.Event())
        if stop.is_set():
            return _given_up()
        self._heard_s.setdefault(order.search, time.monotonic())
        work = self._open.get(order.job)
        joined = work is not None
        if work is None:
            work = self._enqueue(order)
        work.job.waiters.add(order.search)
        self._serve()
        if not await _first(work.begun, stop):
            return _given_up()
        engine = work.job.engine
        return Admission(work.job.slot, engine.node if engine else "", joined)

    async def collect(self, ticket: str, search: str) -> Reply:
        """Wait for the end of a level that was admitted."""
        work = self._tickets.get(ticket)
        if work is None:
            return Failure("infra", "the pool does not know this level any more", blamed=False)
        stop = self._stops.setdefault(search, asyncio.Event())
        if not await _first(work.ended, stop):
            return _given_up()
        assert work.reply is not None
        return work.reply

    async def attend(self, search: str) -> dict[str, Any]:
        """Keep a search's levels going; tell how far those in training are, and how many wait for an engine."""
        self._heard_s[search] = time.monotonic()
        jobs = [work.job for work in self._open.values() if search in work.job.waiters and not work.ended.is_set()]
        levels = [
            {
                "key": job.order.key,
                "level": job.order.level,
                "step": job.engine.steps.get(job.slot, 0),
                "node": job.engine.node,
            }
            for job in jobs
            if job.engine is not None
        ]
        return {"levels": levels, "num_waiting": len(jobs) - len(levels)}

    async def stop(self, search: str) -> int:
        """Give up all levels of a search; answers how many that only it wanted are still in engines."""
        self._stops.setdefault(search, asyncio.Event()).set()
        self._drop(search)
        mine = [work for work in self._tickets.values() if work.job.order.search == search]
        return sum(work.begun.is_set() and work.reply is None and not work.job.waiters for work in mine)

    async def report(self) -> PoolReport:
        """What engines there are and what they hold, what waits, and what happened to engines."""
        waiting = [work.job for work in self._queue]
        crew = self._crew
        return report_of_pool(crew.engines, waiting, crew.events, self._num_slots, time.monotonic())

    async def set_bounds(self, bounds: BoundsByDevice) -> None:
        """Keep the number of engines of each device class within bounds, from the next round on."""
        self._crew.bounds = bounds

    def _enqueue(self, order: Order) -> Work:
        work = Work(Job(order, slot=f"{next(self._numbers)}"))
        self._tickets[work.job.slot] = work
        self._open[order.job] = work
        self._queue.push(_party(work.job), work, priority=order.priority, rank=int(order.is_control))
        return work

    def _serve(self) -> None:
        """Give waiting levels to engines with room, and ask for engines for the rest."""
        held = [_party(job) for slot in self._crew.engines for job in slot.jobs.values()]
        self._queue.settle(held, time.monotonic())
        share = TenantShare(self._max_running, (party.tenant for party in held))
        for slot in list(self._crew.engines):
            while slot.num_free:
                work = self._queue.pop(partial(_fits, slot.engine_class, share))
                if work is None:
                    break
                share.take(work.job.order.tenant)
                self._crew.train(slot, work.job, self._end)
                work.begun.set()
        orders = [work.job.order for work in self._queue]
        self._crew.grow([order.engine_class for order in orders if share.take(order.tenant)])

    def _end(self, job: Job, reply: Reply) -> None:
        work = self._tickets[job.slot]
        work.reply, work.ended_at_s = reply, time.monotonic()
        work.begun.set()
        work.ended.set()
        if not isinstance(reply, Trained) and self._open.get(job.order.job) is work:
            del self._open[job.order.job]

    def _drop(self, search: str) -> None:
        """Stop what nobody wants any more."""
        for work in list(self._open.values()):
            work.job.waiters.discard(search)
            if work.job.waiters or work.ended.is_set():
                continue
            del self._open[work.job.order.job]
            if work.job.engine is None:
                self._queue.discard(work)
                self._end(work.job, _given_up())
            else:
                work.job.cancelled_at_s = time.monotonic()
                self._crew.cancel(work.job)

    def _forget(self) -> None:
        """Give up searches without a driver, kill what does not stop, and drop outcomes that nobody collected."""
        now_s = time.monotonic()
        for search in [name for name, heard_s in self._heard_s.items() if now_s - heard_s > ABANDONED_S]:
            self._log.info("search abandoned", search=search)
            del self._heard_s[search]
            self._stops.pop(search, asyncio.Event()).set()
            self._drop(search)
        for ticket, work in list(self._tickets.items()):
            if work.ended.is_set():
                if now_s - work.ended_at_s > KEEP_S:
                    del self._tickets[ticket]
                    if self._open.get(work.job.order.job) is work:
                        del self._open[work.job.order.job]
            elif work.job.engine and work.job.cancelled_at_s and now_s - work.job.cancelled_at_s > KILL_AFTER_S:
                self._crew.kill(work.job.engine, "a level that was told to stop did not")


def _party(job: Job) -> Party:
    return Party(job.order.tenant, job.order.search)


def _fits(engine_class: EngineClass, share: TenantShare, work: Work) -> bool:
    """Tell whether a level can be trained by engines of a class, and its tenant holds less than its share."""
    order = work.job.order
    return order.engine_class == engine_class and share.has_room(order.tenant)


async def _first(wanted: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for an event unless another comes first; tell whether it came."""
    waits = [asyncio.ensure_future(event.wait()) for event in (wanted, stop)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return wanted.is_set() and not stop.is_set()


def _given_up() -> Failure:
    return Failure("cancelled", "the search gave the level up", blamed=False)
