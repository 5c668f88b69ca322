"""The crew: the engines of one cluster, started on demand, replaced when stuck, sent home when idle."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import ray
import structlog
from ray.exceptions import ActorDiedError, RayActorError, RayError

from service.store import clock
from service.store.scale import BoundsByDevice
from workers import engine_bounds
from workers.cluster_events import MAX_EVENTS, ClusterEvent, EventKind
from workers.draining import draining_nodes
from workers.engine import engine_class
from workers.engine_slots import Capacity, EngineClass, EngineSlot, Job, Limits
from workers.engines.orders import Failure, Reply

PROGRESS_TIMEOUT_S = 2.0
START_PAUSE_S = 1.0


class Crew:
    """Engines and what they hold; everything runs in one event loop.

    Args:
        limits: What bounds them.
        on_free: Called whenever an engine has room.
        actor_of: Returns the actor class of engines with so many slots.

    Attributes:
        engines: Those there are, starting ones included.
        bounds: How many of each device class there may be; may be set at any time, `shrink` and `grow` obey.
        events: What happened to engines, the newest last.
    """

    def __init__(
        self, limits: Limits, on_free: Callable[[], None], actor_of: Callable[[int], Any] = engine_class
    ) -> None:
        self._actor_of = actor_of
        self.engines: list[EngineSlot] = []
        self.bounds: BoundsByDevice = {}
        self.events: deque[ClusterEvent] = deque(maxlen=MAX_EVENTS)
        self._limits = limits
        self._draining: frozenset[str] = frozenset()
        self._on_free = on_free
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("crew")

    def capacity(self) -> Capacity:
        """What the cluster has, or may grow to where that is more."""
        return cluster_capacity(self._draining).reaching(self._limits)

    def train(self, slot: EngineSlot, job: Job, on_end: Callable[[Job, Reply], None]) -> None:
        """Put a job into an engine with room; `on_end` hears how it ended."""
        slot.take(job)
        self._spawn(self._train(slot, job, on_end))

    def cancel(self, job: Job) -> None:
        """Stop a job at its next batch."""
        if job.engine is not None:
            job.engine.actor.cancel.remote(job.slot)

    def kill(self, slot: EngineSlot, reason: str) -> None:
        """Kill an engine and all that it holds."""
        self._end(slot, "engine_lost", reason)

    def grow(self, waiting: Iterable[EngineClass]) -> None:
        """Start an engine for each waiting level that no starting one will serve, as far as cluster and bounds go.

        Engines that are kept without work come last: they never take the place of one that a level waits for.
        """
        coming = [slot.engine_class for slot in self.engines if not slot.is_ready for _ in range(self._room(slot))]
        capacity: Capacity | None = None
        for wanted in waiting:
            if wanted in coming:
                coming.remove(wanted)
                continue
            if not self._may_come(wanted):
                continue
            capacity = capacity or self.capacity()
            if not capacity.carries(wanted, self._classes()):
                self._make_room(wanted, self.engines)
                if not capacity.carries(wanted, self._classes()):
                    return
            self._start(wanted, capacity)
            coming += [wanted] * (self._limits.num_slots[wanted[0]] - 1)
        self._keep_warm()

    def shrink(self) -> None:
        """Send home what is above a maximum or on a draining node as soon as it is idle, and what was idle for long."""
        surplus = engine_bounds.surplus(self.bounds, self.engines)
        self._draining = draining_nodes()
        for slot in list(self.engines):
            slot.is_leaving = slot in surplus or slot.node_id in self._draining
            if slot.is_leaving and not slot.jobs:
                self._send_home(slot, "above the maximum" if slot in surplus else "its node is draining")
        for slot in engine_bounds.idle_too_long(self.bounds, self.engines, self._limits.idle_s, time.monotonic()):
            self._send_home(slot, "without work")

    async def watch(self) -> None:
        """Ask the engines how far they are, and kill those that are stuck."""
        ready = [slot for slot in self.engines if slot.is_ready]
        await asyncio.gather(*(self._look_at(slot) for slot in ready))
        now_s = time.monotonic()
        for slot in ready:
            if slot.is_stuck(now_s, self._limits.stuck_s):
                self.kill(slot, "stuck")

    def _room(self, slot: EngineSlot) -> int:
        return self._limits.num_slots[slot.engine_class[0]]

    def _classes(self) -> list[EngineClass]:
        """What occupies the nodes that stay."""
        return [slot.engine_class for slot in self.engines if slot.node_id not in self._draining]

    def _may_come(self, wanted: EngineClass) -> bool:
        """Tell whether one more engine stays within its maximum, once an idle one of its device has gone if need be."""
        device = wanted[0]
        if not engine_bounds.may_come(self.bounds, device, self.engines):
            self._make_room(wanted, [slot for slot in self.engines if slot.engine_class[0] == device])
        return engine_bounds.may_come(self.bounds, device, self.engines)

    def _keep_warm(self) -> None:
        """Start what lacks to a minimum and finds room."""
        wishes = engine_bounds.missing(self.bounds, self.engines)
        capacity = self.capacity() if wishes else None
        for wanted in wishes:
            if capacity is not None and capacity.carries(wanted, self._classes()):
                self._start(wanted, capacity)

    def _make_room(self, wanted: EngineClass, among: list[EngineSlot]) -> None:
        idle = [slot for slot in among if slot.is_ready and not slot.jobs and slot.engine_class != wanted]
        if idle:
            self._send_home(min(idle, key=lambda slot: slot.idle_since_s), "its place is needed")

    def _send_home(self, slot: EngineSlot, reason: str) -> None:
        """End an engine that holds nothing."""
        self._end(slot, "engine_idle", reason)

    def _end(self, slot: EngineSlot, kind: EventKind, reason: str) -> None:
        if slot in self.engines:
            self.engines.remove(slot)
            ray.kill(slot.actor, no_restart=True)
            self._tell(kind, slot, reason)

    def _tell(self, kind: EventKind, slot: EngineSlot, reason: str | None = None, **more: Any) -> None:
        """Note what happened to an engine, for the log and for whoever looks at the cluster."""
        device, threads = slot.engine_class
        event = ClusterEvent(clock.to_text(clock.now()), kind, slot.node, slot.name, device, threads, reason)
        self.events.append(event)
        self._log.info(kind.replace("_", " "), engine=slot.name, device=device, threads=threads, reason=reason, **more)

    def _start(self, engine_class: EngineClass, capacity: Capacity) -> None:
        device, threads = engine_class
        cpus, gpus = capacity.cost(engine_class)
        name = f"engine-{next(self._numbers)}"
        actor = (
            self._actor_of(self._limits.num_slots[device])
            .options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
            .remote(device, threads)
        )
        slot = EngineSlot(name, engine_class, actor, cpus, gpus)
        self.engines.append(slot)
        self._tell("engine_requested", slot)
        self._spawn(self._await_ready(slot))

    async def _await_ready(self, slot: EngineSlot) -> None:
        try:
            facts = await slot.actor.ready.remote()
        except RayError as error:
            self._log.warning("engine did not start", engine=slot.name, error=first_line(error))
            await asyncio.sleep(START_PAUSE_S)
            self.kill(slot, "did not start")
            return
        if slot not in self.engines:
            return
        slot.node, slot.node_id = facts["node"], facts["node_id"]
        slot.capacity, slot.is_ready = facts["capacity"], True
        slot.idle_since_s, slot.ready_at = time.monotonic(), clock.now()
        self._tell("engine_ready", slot, pid=facts["pid"])
        self._on_free()

    async def _train(self, slot: EngineSlot, job: Job, on_end: Callable[[Job, Reply], None]) -> None:
        try:
            reply: Reply = await slot.actor.train.remote(job.slot, job.order)
        except RayActorError as error:
            self._log.warning("engine died", engine=slot.name, error=first_line(error))
            self.kill(slot, "dead")
            # A node that was to go takes its engines along: no level is to blame for that.
            blamed = not (error.preempted or slot.node_id in self._draining)
            reply = Failure("infra", "the engine died while the level was in training", blamed=blamed)
        except RayError as error:
            reply = Failure("infra", f"the engine did not answer: {first_line(error)}", blamed=False)
        slot.release(job)
        if isinstance(reply, Failure) and reply.error_class == "resource":
            self.kill(slot, "out of memory")
        on_end(job, reply)
        self._on_free()

    async def _look_at(self, slot: EngineSlot) -> None:
        try:
            async with asyncio.timeout(PROGRESS_TIMEOUT_S):
                slot.note(await slot.actor.progress.remote(), time.monotonic())
        except ActorDiedError:
            if not slot.jobs:  # the training task of a busy one tells of its death
                self.kill(slot, "dead")
        except (RayError, TimeoutError):
            return  # the stuck detector tells of its silence

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def cluster_capacity(draining: frozenset[str] = frozenset()) -> Capacity:
    """What all living nodes of the cluster have, those that drain left out."""
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in known if node["Alive"] and node["NodeID"] not in draining]
    cpus = [float(node.get("CPU", 0.0)) for node in nodes]
    return Capacity(sum(cpus), sum(float(node.get("GPU", 0.0)) for node in nodes), max(cpus, default=0.0))


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a log."""
    return next(iter(str(error).splitlines()), type(error).__name__)
