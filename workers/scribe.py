"""Writes down what a search's driver decides and sees: outcomes and rungs into the log, events for listeners."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from service.store import keys
from service.store.record import Record
from service.store.work import SearchTruth
from workers.coordinator import Deed
from workers.patience import persist
from workers.schedulers import Rung
from workers.usage import usage

PATIENCE_S = 600.0
"""How long the record may be down before the driver gives up."""


class Scribe:
    """The writing half of one driver; its methods belong to one event loop, except where they say otherwise.

    Args:
        record: The record, of this loop.
        truth: The search.
        epoch: The leader's epoch.
        manifests: Levels committed before, by key; new ones are added.

    Attributes:
        level_s: How long the last levels took.
    """

    def __init__(
        self, record: Record, truth: SearchTruth, epoch: int, manifests: dict[str, dict[int, dict[str, Any]]]
    ) -> None:
        self.manifests = manifests
        self.level_s: deque[float] = deque(maxlen=64)
        self._record = record
        self._truth = truth
        self._epoch = epoch
        self._loop = asyncio.get_running_loop()
        self._deeds: asyncio.Queue[Deed] = asyncio.Queue()

    def later(self, deed: Deed) -> None:
        """Take a deed from any thread, to be written in its turn."""
        self._loop.call_soon_threadsafe(self._deeds.put_nowait, deed)

    def record_rung(self, rung: Rung) -> None:
        """Record a scheduler's decision; called from another thread, returns when it is in the log."""
        work = self._append("rung", rung.to_data(), f"rung:{rung.setting}:{rung.level}")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def write(self) -> None:
        """Write deeds, in order, until cancelled.

        Raises:
            StaleEpoch: If a later leader took over.
        """
        while True:
            deed = await self._deeds.get()
            await self._write(deed)
            self._deeds.task_done()

    async def all_written(self) -> None:
        """Wait until every deed is written."""
        await self._deeds.join()

    async def emit(
        self,
        name: str,
        kind: str,
        data: dict[str, Any] | None = None,
        lineage: str | None = None,
        level: int | None = None,
    ) -> None:
        """Tell the search's listeners something, once for each name."""
        truth = self._truth
        await self._record.emit(truth.tenant, truth.id, name, kind, lineage, level, data or {}, self._epoch)

    def usage(self) -> dict[str, float]:
        """Seconds of devices that the search has used."""
        every = (one for levels in self.manifests.values() for one in levels.values())
        return usage(every, self._truth.id)

    async def _write(self, deed: Deed) -> None:
        if deed.kind == "end":
            await self._append("outcome", deed.data, f"outcome:{deed.lineage}:{deed.data['status']}")
        elif deed.kind == "committed":
            await self._take_in(deed.data["key"], deed.data["level"], deed.data["busy_s"])
        else:
            occasion = deed.data.get("attempt", deed.data.get("level"))
            name = f"{deed.lineage}:{deed.kind}" + ("" if occasion is None else f":{occasion}")
            await self.emit(name, f"lineage.{deed.kind}", deed.data, deed.lineage)

    async def _take_in(self, key: str, level: int, busy_s: float) -> None:
        """Read a new manifest, and make sure that the index has it."""
        truth = self._truth
        if busy_s:
            self.level_s.append(busy_s)
        place = keys.manifest(truth.tenant, key, level)
        manifest = json.loads(await persist(lambda: self._record.objects.get(place), PATIENCE_S))
        self.manifests.setdefault(key, {})[level] = manifest
        await self._record.announce_level(truth.tenant, truth.id, key, manifest, self._epoch)

    async def _append(self, kind: str, data: dict[str, Any], op_id: str) -> None:
        truth = self._truth
        await persist(lambda: self._record.append(truth.tenant, truth.id, kind, data, op_id, self._epoch), PATIENCE_S)
