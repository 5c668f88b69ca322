"""The cluster as the engine host asks it: the pool by its actor, the machines by Ray; never waited for too long."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from service.store.scale import BoundsByDevice
from workers import ray_session
from workers.cluster_nodes import Node, living
from workers.cluster_reporter import ClusterLost
from workers.crew import first_line
from workers.pool_report import PoolReport


class ClusterLink:
    """Asks from a thread, so that the caller's loop goes on.

    Args:
        pool: The pool's actor.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def report(self) -> PoolReport:
        """What the pool tells of itself."""
        report: PoolReport = await self._ask("report")
        return report

    async def nodes(self) -> list[Node]:
        """The living machines."""
        return living(await asyncio.to_thread(ray.nodes))

    async def set_bounds(self, bounds: BoundsByDevice) -> None:
        """Keep the number of engines within bounds."""
        await self._ask("set_bounds", dict(bounds))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        call = getattr(self._pool, method).remote(*arguments)
        try:
            return await asyncio.to_thread(ray.get, call, timeout=ray_session.CALL_TIMEOUT_S)
        except (RayError, GetTimeoutError) as error:
            raise ClusterLost(first_line(error)) from error
