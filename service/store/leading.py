"""What the leader does: lead, recover, and find the searches that want work."""

from __future__ import annotations

import time
from collections import defaultdict

from service.store import keys
from service.store.api_key_records import stored_keys
from service.store.core import Core
from service.store.datasets import stored_manifests
from service.store.errors import IndexEmpty
from service.store.lease import Lease, lead
from service.store.log import fold
from service.store.rebuild import rebuild

SearchName = tuple[str, str]
"""Tenant and search id."""


class Leading(Core):
    """The dispatcher's half of the record."""

    _lease: Lease | None = None

    async def lead(self, owner: str) -> Lease | None:
        """Try to become the leader; None while another one leads. `owner` is a name for people.

        Raises:
            RedisUnavailable: If the lease cannot be asked for.
            StoreUnavailable: If the epoch cannot be claimed.
        """
        self._lease = await lead(self.objects, self.index, owner)
        return self._lease

    async def recover(self, epoch: int) -> None:
        """Bring the index up to the objects: rebuild it if it is empty, mirror what it lacks of open searches.

        Raises:
            StaleEpoch: If a later leader has claimed an epoch.
            RedisUnavailable: If Redis does not answer.
            StoreUnavailable: If the store does not answer.
        """
        if self._lease is not None and self._lease.epoch == epoch:
            await self._lease.assert_anew()
        await self.ensure_index()
        open_now = set(await self.open_searches())
        live = await self.index.read_one(lambda pipe, own: pipe.zrange(f"{own}live", 0, -1))
        believed = {(tenant, name) for name, tenant in (member.decode().split("/") for member in live)}
        for record in await stored_keys(self.objects):
            await self.mirror.put("keys", record.id, record.to_bytes(), once=False)
        for manifest, raw in await stored_manifests(self.objects):
            await self.mirror.put("datasets", f"{manifest['name']}/{manifest['digest']}", raw)
        for tenant, name in sorted(open_now | believed):
            facts = await self.stored.facts(await self.plan(tenant, name))
            if facts is not None:
                await self.mirror_search(facts)

    async def ensure_index(self) -> bool:
        """Rebuild the index if Redis has lost it; return whether it had.

        Raises:
            RedisUnavailable: If Redis does not answer.
            StoreUnavailable: If the store does not answer.
        """
        try:
            await self.index.generation()
        except IndexEmpty:
            await rebuild(self)
            return True
        return False

    async def rebuild(self) -> str:
        """Build the index anew from the objects under a new generation; return the generation.

        Raises:
            RedisUnavailable: If Redis does not answer.
            StoreUnavailable: If the store does not answer.
        """
        return await rebuild(self)

    async def open_searches(self) -> list[SearchName]:
        """Return all accepted searches that have not ended, oldest first, from the store.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        found: set[SearchName] = set()
        for key in await self.objects.list("searches/"):
            name = keys.search_of(key)
            if name is not None and name not in self._ended and key == keys.spec(*name):
                found.add(name)
        for name in list(found):
            if fold(await self.logbook.read(*name)).terminal is not None:
                self._ended.add(name)
                found.remove(name)
        return sorted(found, key=lambda name: name[1])

    async def queued(self) -> list[SearchName]:
        """Return the searches that nobody has taken over: urgent ones first, tenants in turn, oldest first.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        await self.ensure_index()
        members = await self.index.read_one(lambda pipe, own: pipe.zrange(f"{own}queue", 0, -1, withscores=True))
        turns: dict[tuple[int, str], int] = defaultdict(int)
        order: list[tuple[int, int, str, str]] = []
        for member, score in members:
            search_id, tenant = member.decode().split("/")
            rank = int(score)
            order.append((rank, turns[rank, tenant], search_id, tenant))
            turns[rank, tenant] += 1
        return [(tenant, search_id) for _, _, search_id, tenant in sorted(order)]

    async def next_search(self, block_s: float) -> SearchName | None:
        """Return the search to take over next, waiting for one up to `block_s`; it stays queued until taken over.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        deadline_s = time.monotonic() + block_s
        position = "$"
        while True:
            try:
                position, _ = await self.index.wait_for_bell(position)
                waiting = await self.queued()
            except IndexEmpty:
                await self.ensure_index()
                continue
            if waiting or time.monotonic() >= deadline_s:
                return waiting[0] if waiting else None

    async def cancelling(self) -> dict[SearchName, str]:
        """Return the searches that a client wants cancelled and that have not ended, with the mode.

        Raises:
            RedisUnavailable: If Redis does not answer.
        """
        wishes = await self.index.read_one(lambda pipe, own: pipe.hgetall(f"{own}wishes"))
        found: dict[SearchName, str] = {}
        for member, mode in wishes.items():
            search_id, tenant = member.decode().split("/")
            found[tenant, search_id] = mode.decode()
        return found
