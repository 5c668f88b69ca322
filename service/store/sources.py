"""Where facts are read from: the index as long as Redis answers, and the objects themselves when it does not."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol

from service.store import keys
from service.store.errors import ObjectNotFound
from service.store.facts import Facts
from service.store.index import Index
from service.store.log import LogRecord, fold
from service.store.logbook import Logbook
from service.store.mirror import SPEC, results_field
from service.store.objects import ObjectStore
from service.store.plans import Plan
from service.store.summaries import Levels, Summary, summarise

MAX_PARALLEL_READS = 32
MAX_CACHED_SUMMARIES = 65_536


class Source(Protocol):
    """A place that knows the facts of searches."""

    async def accepted(self, tenant: str, search_id: str) -> bytes | None:
        """Return the stored specification of a search, None if this place knows none."""

    async def facts(self, plan: Plan) -> Facts | None:
        """Return all that is known of a search, None if this place knows nothing of it."""

    async def search_ids(self, tenant: str) -> list[str]:
        """Return the ids of a tenant's searches, newest first."""

    async def manifest(self, tenant: str, key: str, level: int) -> dict[str, Any] | None:
        """Return a committed level's manifest, None if it is not committed."""


class IndexSource:
    """Facts out of the index: one round trip for each question."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def accepted(self, tenant: str, search_id: str) -> bytes | None:
        """Return the indexed specification."""
        raw: bytes | None = await self._index.read_one(
            lambda pipe, own: pipe.hget(f"{own}search:{tenant}:{search_id}", SPEC)
        )
        return raw

    async def facts(self, plan: Plan) -> Facts | None:
        """Return all that is known of a search, with its driver's passing picture."""
        member = f"{plan.id}/{plan.tenant}"

        def queue(pipe: Any, own: str) -> None:
            pipe.hgetall(f"{own}search:{plan.tenant}:{plan.id}")
            pipe.get(f"{own}overlay:{plan.tenant}:{plan.id}")
            pipe.zrank(f"{own}queue", member)
            for key in plan.keys:
                pipe.hgetall(f"{own}levels:{plan.tenant}:{key}")

        search, overlay, position, *levels = await self._index.read(queue)
        if SPEC not in search:
            return None
        numbered = sorted(name for name in search if name.startswith(b"log:"))
        records = tuple(LogRecord.from_bytes(search[name]) for name in numbered)
        if [record.n for record in records] != list(range(2, len(records) + 2)):
            return None
        terminal = fold(records).terminal
        results = search.get(results_field(terminal.results).encode()) if terminal and terminal.results else None
        if terminal and terminal.results and results is None:
            return None
        found: Levels = {
            key: {int(level): json.loads(raw) for level, raw in own.items()}
            for key, own in zip(plan.keys, levels, strict=True)
        }
        return Facts(
            plan,
            records,
            found,
            json.loads(results) if results else None,
            json.loads(overlay) if overlay else {},
            position,
        )

    async def search_ids(self, tenant: str) -> list[str]:
        """Return the ids of a tenant's searches, newest first."""
        found = await self._index.read_one(lambda pipe, own: pipe.zrange(f"{own}searches:{tenant}", 0, -1, desc=True))
        return [name.decode() for name in found]

    async def manifest(self, tenant: str, key: str, level: int) -> dict[str, Any] | None:
        """Return an indexed manifest."""
        raw = await self._index.read_one(lambda pipe, own: pipe.hget(f"{own}lineage:{tenant}:{key}", str(level)))
        return json.loads(raw) if raw else None


class ObjectSource:
    """Facts out of the objects: slower, complete, and what the index is rebuilt from."""

    def __init__(self, objects: ObjectStore, logbook: Logbook) -> None:
        self._objects = objects
        self._logbook = logbook
        self._summaries: OrderedDict[str, Summary] = OrderedDict()
        self._reads = asyncio.Semaphore(MAX_PARALLEL_READS)

    async def accepted(self, tenant: str, search_id: str) -> bytes | None:
        """Return the stored specification."""
        try:
            return await self._objects.get(keys.spec(tenant, search_id))
        except ObjectNotFound:
            return None

    async def facts(self, plan: Plan) -> Facts | None:
        """Return all that is stored of a search."""
        records, levels = await asyncio.gather(
            self._logbook.read(plan.tenant, plan.id), self.levels(plan.tenant, plan.keys)
        )
        terminal = fold(records).terminal
        results = await self.results(plan, terminal.results) if terminal and terminal.results else None
        return Facts(plan, records, levels, results)

    async def results(self, plan: Plan, sha256: str) -> dict[str, Any]:
        """Return a search's stored results."""
        found: dict[str, Any] = json.loads(await self._objects.get(keys.results(plan.tenant, plan.id, sha256)))
        return found

    async def search_ids(self, tenant: str) -> list[str]:
        """Return the ids of a tenant's searches, newest first."""
        names = await self._objects.list_folders(keys.searches(tenant))
        return [name for name in reversed(names) if keys.is_search_id(name)]

    async def manifest(self, tenant: str, key: str, level: int) -> dict[str, Any] | None:
        """Return a stored manifest."""
        try:
            return json.loads(await self._objects.get(keys.manifest(tenant, key, level)))  # type: ignore[no-any-return]
        except ObjectNotFound:
            return None

    async def manifests(self, tenant: str, key: str) -> dict[int, dict[str, Any]]:
        """Return all stored manifests of a key, by level."""
        names = await self._level_names(tenant, key)
        raws = await asyncio.gather(*(self._get(name) for name in names.values()))
        return dict(zip(names, (json.loads(raw) for raw in raws), strict=True))

    async def levels(self, tenant: str, lineage_keys: Iterable[str]) -> Levels:
        """Return the summaries of all stored levels of these keys."""
        wanted = tuple(lineage_keys)
        found = await asyncio.gather(*(self._summaries_of(tenant, key) for key in wanted))
        return dict(zip(wanted, found, strict=True))

    async def _summaries_of(self, tenant: str, key: str) -> dict[int, Summary]:
        async with self._reads:
            names = await self._level_names(tenant, key)
        return {level: await self._summary(name) for level, name in names.items()}

    async def _level_names(self, tenant: str, key: str) -> dict[int, str]:
        found: dict[int, str] = {}
        for name in await self._objects.list(keys.lineage(tenant, key)):
            level = keys.level_of(name)
            if level is not None:
                found[level] = name
        return found

    async def _summary(self, name: str) -> Summary:
        if name not in self._summaries:
            self._summaries[name] = summarise(json.loads(await self._get(name)))
            while len(self._summaries) > MAX_CACHED_SUMMARIES:
                self._summaries.popitem(last=False)
        return self._summaries[name]

    async def _get(self, name: str) -> bytes:
        async with self._reads:
            return await self._objects.get(name)
