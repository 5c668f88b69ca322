"""`python -m workers.engine_host`: owns the pool and through it all engines of the cluster.

A named actor dies with the process that created it, so engines live exactly as long as this process: drivers come
and go without harming each other, and a killed host leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import Future
from typing import Any

import ray
import structlog
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from service.settings import Settings
from service.store.record import Record
from workers import logs, pool, ray_session
from workers.bridge import Bridge
from workers.cluster_link import ClusterLink
from workers.cluster_reporter import ClusterReporter
from workers.engine_slots import Limits
from workers.parent import die_with_parent

PING_EVERY_S = 1.0
MAX_MISSED_PINGS = 6
MAX_CALLS = 10_000
NUM_PREPARED = 2
"""Engines that a local service starts with."""


def main(pool_type: type[pool.Pool] = pool.Pool) -> None:
    """Create the pool and watch it; end when it or the cluster is gone."""
    die_with_parent()
    settings = Settings()
    logs.configure(settings, process="engine_host")
    ray_session.connect(settings.ray_address)
    _bury_predecessor()
    limits = Limits(
        settings.engine_idle_s,
        settings.engine_stuck_s,
        {device: settings.slots_of(device) for device in ("cpu", "cuda")},
        settings.cluster_cpus,
        settings.cluster_gpus,
    )
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = (
        ray.remote(pool_type)
        .options(name=pool.NAME, num_cpus=0, max_restarts=0, max_concurrency=MAX_CALLS, scheduling_strategy=here)
        .remote(limits, settings.quota_running_lineages)
    )
    ray.get(actor.ping.remote(), timeout=60)
    reporting = _report(actor, limits, settings)
    tending = actor.run.remote()
    if ray_session.is_local(settings.ray_address):
        # A search usually follows the start of a local service, and importing torch takes seconds.
        num_levels = NUM_PREPARED * limits.num_slots[settings.device_class]
        actor.prepare.remote(settings.device_class, 1, num_levels)
    structlog.get_logger().info("engine host ready")
    _watch(actor, tending, reporting)


def _report(actor: Any, limits: Limits, settings: Settings) -> Future[None]:
    """Hand the pool its bounds before it starts an engine, and begin to report."""
    bridge = Bridge("cluster")
    record = bridge.call(Record.open(settings, check=False))
    epoch = int(os.environ["LTH_EPOCH"])
    reporter = ClusterReporter(record, ClusterLink(actor), limits, settings.quota_running_lineages, epoch)
    bridge.call(reporter.follow_scale())
    return bridge.start(reporter.run())


def _bury_predecessor() -> None:
    """Kill a pool that an earlier host left; its owner is gone or overtaken."""
    with contextlib.suppress(ValueError, RayError):
        ray.kill(ray.get_actor(pool.NAME, namespace=ray_session.NAMESPACE), no_restart=True)
        time.sleep(0.5)


def _watch(actor: Any, tending: Any, reporting: Future[None]) -> None:
    """Return, by an exception, when the pool no longer answers or a later leader has its own."""
    num_missed = 0
    while True:
        time.sleep(PING_EVERY_S)
        try:
            ray.get(actor.ping.remote(), timeout=ray_session.CALL_TIMEOUT_S)
            num_missed = 0
        except GetTimeoutError:
            num_missed += 1
            if num_missed >= MAX_MISSED_PINGS:
                raise
        if ray.wait([tending], timeout=0)[0]:
            ray.get(tending)
        if reporting.done():
            reporting.result()


if __name__ == "__main__":
    main()
