"""The crew: the engines of one cluster, started on demand, replaced when stuck, sent home when idle."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import ray
import structlog
from ray.exceptions import RayActorError, RayError

from workers.engine import engine_class as actor_of
from workers.engine_slots import Capacity, EngineClass, EngineSlot, Job, Limits
from workers.engines.orders import Failure, Reply

PROGRESS_TIMEOUT_S = 2.0
START_PAUSE_S = 1.0


class Crew:
    """Engines and what they hold; everything runs in one event loop.

    Args:
        limits: What bounds them.
        on_free: Called whenever an engine has room.
    """

    def __init__(self, limits: Limits, on_free: Callable[[], None]) -> None:
        self.engines: list[EngineSlot] = []
        self._limits = limits
        self._on_free = on_free
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("crew")

    def capacity(self) -> Capacity:
        """What the cluster has, or may grow to where that is more."""
        return cluster_capacity().reaching(self._limits)

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
        if slot in self.engines:
            self._log.info("engine killed", engine=slot.name, reason=reason)
            self.engines.remove(slot)
            ray.kill(slot.actor, no_restart=True)

    def grow(self, waiting: Iterable[EngineClass]) -> None:
        """Start an engine for each waiting level that no starting one will serve, as far as the cluster goes."""
        coming = [slot.engine_class for slot in self.engines if not slot.is_ready for _ in range(self._room(slot))]
        capacity: Capacity | None = None
        for wanted in waiting:
            if wanted in coming:
                coming.remove(wanted)
                continue
            capacity = capacity or self.capacity()
            if not capacity.carries(wanted, self._classes()):
                self._make_room(wanted)
                if not capacity.carries(wanted, self._classes()):
                    return
            self._start(wanted, capacity)
            coming += [wanted] * (self._limits.num_slots[wanted[0]] - 1)

    def shrink(self) -> None:
        """Send home what has been idle for long."""
        now_s = time.monotonic()
        for slot in list(self.engines):
            if slot.is_ready and not slot.jobs and now_s - slot.idle_since_s > self._limits.idle_s:
                self.kill(slot, "idle")

    async def watch(self) -> None:
        """Ask the busy engines how far they are, and kill those that are stuck."""
        busy = [slot for slot in self.engines if slot.jobs]
        await asyncio.gather(*(self._look_at(slot) for slot in busy))
        now_s = time.monotonic()
        for slot in busy:
            if slot.is_stuck(now_s, self._limits.stuck_s):
                self.kill(slot, "stuck")

    def _room(self, slot: EngineSlot) -> int:
        return self._limits.num_slots[slot.engine_class[0]]

    def _classes(self) -> list[EngineClass]:
        return [slot.engine_class for slot in self.engines]

    def _make_room(self, wanted: EngineClass) -> None:
        idle = [slot for slot in self.engines if slot.is_ready and not slot.jobs and slot.engine_class != wanted]
        if idle:
            self.kill(min(idle, key=lambda slot: slot.idle_since_s), "its place is needed")

    def _start(self, engine_class: EngineClass, capacity: Capacity) -> None:
        device, threads = engine_class
        cpus, gpus = capacity.cost(engine_class)
        name = f"engine-{next(self._numbers)}"
        actor = (
            actor_of(self._limits.num_slots[device])
            .options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
            .remote(device, threads)
        )
        slot = EngineSlot(name, engine_class, actor)
        self.engines.append(slot)
        self._log.info("engine starts", engine=name, device=device, threads=threads)
        self._spawn(self._await_ready(slot))

    async def _await_ready(self, slot: EngineSlot) -> None:
        try:
            facts = await slot.actor.ready.remote()
        except RayError as error:
            self._log.warning("engine did not start", engine=slot.name, error=first_line(error))
            await asyncio.sleep(START_PAUSE_S)
            self.kill(slot, "did not start")
            return
        slot.node, slot.capacity, slot.is_ready = facts["node"], facts["capacity"], True
        slot.idle_since_s = time.monotonic()
        self._log.info("engine ready", engine=slot.name, node=slot.node, pid=facts["pid"])
        self._on_free()

    async def _train(self, slot: EngineSlot, job: Job, on_end: Callable[[Job, Reply], None]) -> None:
        try:
            reply: Reply = await slot.actor.train.remote(job.slot, job.order)
        except RayActorError as error:
            self._log.warning("engine died", engine=slot.name, error=first_line(error))
            self.kill(slot, "dead")
            reply = Failure("infra", "the engine died while the level was in training")
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
        except (RayError, TimeoutError):
            return  # its training task tells of its death, the stuck detector of its silence

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def cluster_capacity() -> Capacity:
    """What all living nodes of the cluster have."""
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in known if node["Alive"]]
    cpus = [float(node.get("CPU", 0.0)) for node in nodes]
    return Capacity(sum(cpus), sum(float(node.get("GPU", 0.0)) for node in nodes), max(cpus, default=0.0))


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a log."""
    return next(iter(str(error).splitlines()), type(error).__name__)
