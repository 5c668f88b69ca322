"""Whether Redis and the object store answer: asked in the background, so that no reader waits to find out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service.store.errors import RecordError, StoreRefused, StoreUnavailable
from service.store.index import Index
from service.store.objects import ObjectStore
from service.store.selftest import self_test

PROBE_EVERY_S = 2.0
PROBE_TIMEOUT_S = 2.5
_log = logging.getLogger(__name__)


class Vitals:
    """The last sign of life of both parts."""

    def __init__(self, objects: ObjectStore, index: Index) -> None:
        self._objects = objects
        self._index = index
        self._task: asyncio.Task[None] | None = None
        self.redis_up = True
        self.store_up = True

    def start(self) -> None:
        """Begin to probe in the background."""
        self._task = asyncio.create_task(self._watch(), name="vitals")

    async def stop(self) -> None:
        """End the background task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def probe(self) -> dict[str, bool]:
        """Ask both parts now."""
        self.redis_up, self.store_up = await asyncio.gather(_answers(self._has_index), _answers(self._has_store))
        return {"redis": self.redis_up, "store": self.store_up}

    async def _has_store(self) -> None:
        await self._objects.ping()
        if self._objects.held is not None:
            raise StoreUnavailable(self._objects.held)

    async def _accept_store(self) -> None:
        """Test a store that could not be tested at the start, and let writes through if it passes."""
        try:
            await self_test(self._objects)
        except StoreRefused as refusal:
            _log.error("the object store is refused: %s", refusal)
            self._objects.held = str(refusal)
        except StoreUnavailable as error:
            _log.info("the object store does not answer yet: %s", error)
        else:
            self._objects.held = None

    async def _has_index(self) -> None:
        await self._index.ping()
        await self._index.generation()

    async def _watch(self) -> None:
        while True:
            if self._objects.held is not None:
                await self._accept_store()
            await self.probe()
            await asyncio.sleep(PROBE_EVERY_S)


async def _answers(ask: Callable[[], Awaitable[None]]) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await ask()
    except (RecordError, TimeoutError):
        return False
    return True
