"""The pool as a driver's loop sees it: found by name anew whenever it was lost, and never waited for too long."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray
import structlog
from ray.exceptions import GetTimeoutError, RayError

from workers.crew import first_line
from workers.pool import NAME
from workers.ray_session import CALL_TIMEOUT_S, NAMESPACE


class PoolLost(Exception):  # noqa: N818 - a state of the cluster
    """There is no pool that answers."""


class PoolClient:
    """Calls the pool from a thread, so that the caller's loop goes on."""

    def __init__(self, search: str) -> None:
        self._search = search
        self._actor: Any = None
        self._heard_at_s = time.monotonic()
        self._log = structlog.get_logger("pool_client")

    @property
    def silent_s(self) -> float:
        """Seconds since the pool last answered."""
        return time.monotonic() - self._heard_at_s

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the pool.

        Raises:
            PoolLost: If no pool answers within a few seconds.
        """
        try:
            return await asyncio.to_thread(self._call, method, *arguments)
        except (RayError, GetTimeoutError, ValueError, ConnectionError) as error:
            self._actor = None
            raise PoolLost(first_line(error)) from error

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._actor is None:
            found: Any = ray.get_actor(NAME, namespace=NAMESPACE)
            ray.get(found.open.remote(self._search), timeout=CALL_TIMEOUT_S)
            self._actor = found
        answer: Any = ray.get(getattr(self._actor, method).remote(*arguments), timeout=CALL_TIMEOUT_S)
        self._heard_at_s = time.monotonic()
        return answer
