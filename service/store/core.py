"""What every part of the record stands on, and the rule by which a read finds its facts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.settings import Settings
from service.store import keys
from service.store.documents import Degraded
from service.store.errors import NotFound, RedisUnavailable, StoreUnavailable
from service.store.facts import Facts
from service.store.index import Index
from service.store.logbook import Logbook
from service.store.mirror import Mirror, results_field
from service.store.objects import ObjectStore
from service.store.plans import Accepted, Plan, PlanCache
from service.store.sources import IndexSource, ObjectSource, Source
from service.store.ticket_views import ticket_places
from service.store.vitals import Vitals

T = TypeVar("T")
READ_TIMEOUT_S = 4.5
"""Every answer comes within 5 s; what takes longer is given up here."""


class Core:
    """The parts that the record is assembled on: objects, index, logs, plans, and what reads and mirrors them."""

    def __init__(self, objects: ObjectStore, index: Index, settings: Settings) -> None:
        self.objects = objects
        self.index = index
        self.settings = settings
        self.logbook = Logbook(objects)
        self.mirror = Mirror(index)
        self.vitals = Vitals(objects, index)
        self._ended: set[tuple[str, str]] = set()
        self._plans = PlanCache()
        self.indexed = IndexSource(index)
        self.stored = ObjectSource(objects, self.logbook)

    async def health(self) -> dict[str, bool]:
        """Tell whether Redis (with an index in it) and the object store answer."""
        return await self.vitals.probe()

    async def plan(self, tenant: str, search_id: str, *, source: Source | None = None) -> Plan:
        """Return an accepted search with its lineages.

        Args:
            tenant: Whose search it must be.
            search_id: Its id; any text is allowed.
            source: Where to look first; what is not there is looked for among the objects.

        Raises:
            NotFound: If the tenant has no such search.
            StoreUnavailable: If only the store could say, and does not answer.
        """
        if not keys.is_search_id(search_id):
            raise NotFound("there is no such search")
        cached = self._plans.get(tenant, search_id)
        if cached is not None:
            return cached
        raw = await source.accepted(tenant, search_id) if source else None
        if raw is None:
            raw = await self.stored.accepted(tenant, search_id)
        if raw is None:
            raise NotFound("there is no such search")
        plan = await asyncio.to_thread(Plan.of, Accepted.from_bytes(raw), raw)
        return self._plans.add(plan)

    async def read(self, operation: Callable[[Source], Awaitable[T]]) -> tuple[T, Degraded | None]:
        """Run a read on the index, or on the objects while Redis is down.

        Raises:
            StoreUnavailable: If neither answers in time.
        """
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if self.vitals.redis_up:
                    try:
                        found = await operation(self.indexed)
                    except RedisUnavailable:
                        self.vitals.redis_up = False
                    else:
                        return found, None if self.vitals.store_up else "store"
                return await operation(self.stored), "redis"
        except TimeoutError:
            raise StoreUnavailable("neither index nor store answered in time") from None

    async def facts_of(self, source: Source, plan: Plan) -> Facts:
        """Return all that is known of a search; an index that lacks it is repaired on the way.

        Raises:
            NotFound: If not even the store knows it.
        """
        facts = await source.facts(plan)
        if facts is None:
            facts = await self.stored.facts(plan)
            if facts is None:
                raise NotFound("there is no such search")
            await self.mirror_search(facts)
        return facts

    async def facts(self, tenant: str, search_id: str) -> tuple[Facts, Degraded | None]:
        """Return all that is known of a search, and which part was down.

        Raises:
            NotFound: If the tenant has no such search.
        """

        async def operation(source: Source) -> Facts:
            return await self.facts_of(source, await self.plan(tenant, search_id, source=source))

        return await self.read(operation)

    async def mirror_search(self, facts: Facts, index: Index | None = None, mirror: Mirror | None = None) -> None:
        """Bring the index, or one being built, up to what the objects say of a search.

        Raises:
            RedisUnavailable: If the index does not take it.
        """
        plan, terminal = facts.plan, facts.log.terminal
        index, mirror = index or self.index, mirror or self.mirror
        seconds = float((facts.results or {}).get("usage", {}).get("gpu_seconds", 0.0))
        if terminal is not None and terminal.results is not None:
            raw = await self.objects.get(keys.results(plan.tenant, plan.id, terminal.results))
            await mirror.put(f"search:{plan.tenant}:{plan.id}", results_field(terminal.results), raw)
        await mirror.logged(plan, facts.records, facts.records, gpu_seconds=seconds)
        for key, levels in facts.levels.items():
            known = await _indexed_levels(index, plan.tenant, key)
            for level in sorted(set(levels) - known):
                manifest = await self.stored.manifest(plan.tenant, key, level)
                if manifest is not None:
                    await mirror.committed(plan, key, manifest)
        await mirror.accepted(plan)
        if terminal is not None:
            await mirror.tickets(plan.tenant, ticket_places(facts))


async def _indexed_levels(index: Index, tenant: str, key: str) -> set[int]:
    names = await index.read_one(lambda pipe, own: pipe.hkeys(f"{own}lineage:{tenant}:{key}"))
    return {int(name) for name in names}
