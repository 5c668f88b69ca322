"""What the engine host tells of the cluster, once a second, and what it hears from the operator meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Protocol

import structlog

from service.store import clock
from service.store.errors import RecordError, StaleEpoch, StoreUnavailable
from service.store.log import fold
from service.store.record import Record
from service.store.scale import BoundsByDevice, Scale
from workers import cluster_picture
from workers.cluster_nodes import LostNode, Node, NodeWatch, SearchName
from workers.cluster_picture import Rules
from workers.engine_slots import EngineClass, Limits
from workers.pool_report import EngineReport, PoolReport

SHOW_EVERY_S = 1.0
SCALE_EVERY_S = 2.0


class ClusterLost(Exception):  # noqa: N818 - a state of the cluster
    """The cluster does not answer."""


class Cluster(Protocol):
    """What can be asked of a cluster; every question may raise `ClusterLost`."""

    async def report(self) -> PoolReport:
        """What the pool tells of itself."""

    async def nodes(self) -> list[Node]:
        """The living machines."""

    async def set_bounds(self, bounds: BoundsByDevice) -> None:
        """Keep the number of engines within bounds."""


class ClusterReporter:
    """Shows the cluster, hands the operator's bounds to the pool, and tells searches what concerns them.

    Args:
        record: The record, of the loop that `run` runs in.
        cluster: The cluster.
        limits: What bounds the engines.
        max_running: Lineages of one tenant that may run at once.
        epoch: The leader's epoch.
    """

    def __init__(self, record: Record, cluster: Cluster, limits: Limits, max_running: int, epoch: int) -> None:
        self._record = record
        self._cluster = cluster
        self._limits = limits
        self._max_running = max_running
        self._epoch = epoch
        self._scale: Scale | None = None
        self._scale_read_s = float("-inf")
        self._watch = NodeWatch()
        self._short_since: dict[EngineClass, str] = {}
        self._told: set[tuple[EngineClass, SearchName]] = set()
        self._log = structlog.get_logger("cluster")

    async def run(self) -> None:
        """Look and report for ever, through faults of Redis, the store and Ray.

        Raises:
            StaleEpoch: If a later leader has been seen.
        """
        while True:
            try:
                await self.follow_scale()
                await self.report()
            except StaleEpoch:
                raise
            except (RecordError, ClusterLost) as error:
                self._log.warning("cluster not shown", error=str(error))
            except Exception:  # noqa: BLE001 - the edge: engines must not die of what only tells about them
                self._log.exception("reporting failed")
            await asyncio.sleep(SHOW_EVERY_S)

    async def follow_scale(self) -> None:
        """Hand changed bounds to the pool; those last known hold while the store is down."""
        if time.monotonic() - self._scale_read_s < SCALE_EVERY_S:
            return
        self._scale_read_s = time.monotonic()
        try:
            scale = await self._record.scale()
        except StoreUnavailable as error:
            self._log.warning("bounds not read", error=str(error))
            return
        if scale != self._scale:
            await self._cluster.set_bounds(scale.bounds)
            self._scale = scale
            self._log.info("bounds", revision=scale.revision, bounds=scale.document())

    async def report(self) -> None:
        """Look at the cluster once, tell searches what concerns them, and show it.

        Raises:
            ClusterLost: If it does not answer.
            StaleEpoch: If a later leader has been seen.
            RedisUnavailable: If nobody could be shown anything.
        """
        report, nodes = await self._cluster.report(), await self._cluster.nodes()
        lost = self._watch.look(nodes, report.engines, clock.to_text(clock.now()))
        for node in lost:
            await self._tell_lost(node)
        await self._tell_short(report, cluster_picture.without_node(report.engines, nodes))
        rules = Rules(self._limits, self._max_running, self._scale or Scale())
        await self._record.show_cluster(cluster_picture.paint(self._watch, report, rules), self._epoch)

    async def _tell_lost(self, lost: LostNode) -> None:
        self._log.warning("node lost", node=lost.node.name, address=lost.node.address, searches=len(lost.searches))
        data = {"node": lost.node.name, "address": lost.node.address}
        for search in lost.searches:
            await self._tell(search, f"node:{lost.node.id}:lost", "cluster.node_lost", data)

    async def _tell_short(self, report: PoolReport, homeless: list[EngineReport]) -> None:
        """Tell searches, once per shortage, that their levels wait for a machine."""
        wanted = Counter(engine.engine_class for engine in homeless)
        now = clock.to_text(clock.now())
        self._short_since = {name: self._short_since.get(name, now) for name in wanted}
        self._told = {told for told in self._told if told[0] in wanted}
        for (device, threads), since in self._short_since.items():
            num_engines = wanted[device, threads]
            data = {"device": device, "threads": threads, "num_engines": num_engines, "since": since}
            for search in cluster_picture.waiting_searches(report, (device, threads)):
                told = (device, threads), search
                if told not in self._told:
                    self._told.add(told)
                    await self._tell(search, f"scaling:{device}:{threads}:{since}", "cluster.scaling", data)

    async def _tell(self, name: SearchName, event_id: str, kind: str, data: dict[str, Any]) -> None:
        """Tell a search's listeners something, unless the search has ended meanwhile."""
        tenant, search = name
        try:
            if fold(await self._record.logbook.read(tenant, search)).terminal is None:
                await self._record.emit(tenant, search, event_id, kind, None, None, data, self._epoch)
        except StaleEpoch:
            raise
        except RecordError as error:
            self._log.warning("event not told", search=search, kind=kind, error=str(error))
