"""Rebuilding the index: everything the objects say, written under a new generation, which then becomes current."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any

from service.store import event_docs, keys, views
from service.store.api_key_records import stored_keys
from service.store.core import Core
from service.store.datasets import stored_manifests
from service.store.errors import IndexEmpty, RedisUnavailable
from service.store.facts import Facts
from service.store.index import Index
from service.store.mirror import Mirror

BUILD_TTL_MS = 15_000
WAIT_FOR_OTHER_S = 120.0
GENERATIONS_PER_S = 1_000_000
"""A generation is the time of its building and a random part: it never comes back, not even in an empty Redis."""

PERSISTENT = (
    "search:",
    "searches:",
    "levels:",
    "lineage:",
    "live",
    "queue",
    "wishes",
    "datasets",
    "keys",
    "gpu:",
    "quota:",
)
"""What a rebuilt index must hold exactly as before; the rest passes, or is derived from this."""


async def rebuild(core: Core) -> str:
    """Build the index anew and make it current; return its generation.

    Another process that is building already is waited for instead.

    Raises:
        RedisUnavailable: If Redis does not answer, or another process builds for too long.
        StoreUnavailable: If the store does not answer.
    """
    deadline_s = time.monotonic() + WAIT_FOR_OTHER_S
    old = await _current(core.index)
    while time.monotonic() < deadline_s:
        new = str(max(int(old or 0), int(time.time()) * GENERATIONS_PER_S) + secrets.randbelow(GENERATIONS_PER_S))
        if await core.index.call_plain("build", new, BUILD_TTL_MS):
            renewing = asyncio.create_task(_renew(core.index, new))
            try:
                return await _build(core, old, new)
            finally:
                renewing.cancel()
        await asyncio.sleep(0.1)
        if (now := await _current(core.index)) not in ("", old):
            return now
    raise RedisUnavailable("another process is rebuilding the index")


async def _build(core: Core, old: str, new: str) -> str:
    index = core.index.at(new)
    mirror = Mirror(index, live=False)
    for manifest, raw in await stored_manifests(core.objects):
        await mirror.put("datasets", f"{manifest['name']}/{manifest['digest']}", raw)
    for record in await stored_keys(core.objects):
        await mirror.put("keys", record.id, record.to_bytes(), once=False)
    ended: set[tuple[str, str]] = set()
    for name in await _stored_searches(core):
        facts = await core.stored.facts(await core.plan(*name))
        if facts is not None:
            await mirror.announce(facts.plan, [reset_event(facts, new), *_last_event(facts)])
            await core.mirror_search(facts, index, mirror)
            ended |= {name} if facts.log.terminal else set()
    if not await core.index.call_plain("flip", old, new):
        raise RedisUnavailable("another process changed the index's generation")
    await _catch_up(core, ended)
    await _sweep(core.index, new)
    return new


async def _catch_up(core: Core, ended: set[tuple[str, str]]) -> None:
    """Mirror what was written to the old generation while the new one was being built."""
    for name in await _stored_searches(core):
        if name not in ended:
            facts = await core.stored.facts(await core.plan(*name))
            if facts is not None:
                await core.mirror_search(facts)


async def _renew(index: Index, generation: str) -> None:
    """Say every few seconds that this generation is still being built."""
    while True:
        await asyncio.sleep(BUILD_TTL_MS / 4000)
        with suppress(RedisUnavailable):
            await index.call_plain("build", generation, BUILD_TTL_MS)


def reset_event(facts: Facts, generation: str) -> event_docs.Event:
    """The event with which a stream begins again: a snapshot of the search."""
    plan = facts.plan
    return event_docs.make(plan.id, f"{plan.id}:{generation}:reset", "reset", data=views.search_document(facts))


async def dump(index: Index) -> dict[str, Any]:
    """Read the lasting content of the current generation, to be compared with that of a rebuilt one.

    Raises:
        IndexEmpty: If there is no generation.
        RedisUnavailable: If Redis does not answer.
    """
    prefix = f"lth:{await index.generation()}:"
    content: dict[str, Any] = {}
    async with index.guarded() as redis:
        async for name in redis.scan_iter(match=f"{prefix}*", count=1000):
            own = name.decode().removeprefix(prefix)
            if not own.startswith(PERSISTENT):
                continue
            if await redis.type(name) == b"hash":
                content[own] = await redis.hgetall(name)
                continue
            members = await redis.zrange(name, 0, -1, withscores=True)
            lasting = own.startswith("quota:")
            content[own] = [pair for pair in members if not lasting or pair[1] == float("inf")]
    return {name: value for name, value in content.items() if value}


def _last_event(facts: Facts) -> list[event_docs.Event]:
    return event_docs.logged(facts.plan, facts.records[-1]) if facts.log.terminal and facts.records else []


async def _current(index: Index) -> str:
    try:
        return await index.generation()
    except IndexEmpty:
        return ""


async def _stored_searches(core: Core) -> list[tuple[str, str]]:
    """List all accepted searches, oldest first."""
    found = []
    for key in await core.objects.list("searches/"):
        name = keys.search_of(key)
        if name is not None and key == keys.spec(*name):
            found.append(name)
    return sorted(found, key=lambda name: name[1])


async def _sweep(index: Index, generation: str) -> None:
    """Remove the keys of every other generation."""
    async with index.guarded() as redis:
        async for name in redis.scan_iter(match="lth:[0-9]*:*", count=1000):
            if not name.startswith(f"lth:{generation}:".encode()):
                await redis.unlink(name)
