"""Events of a search: pages, and streams that one reader per process wakes."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from service.store.core import Core
from service.store.documents import EventPage
from service.store.errors import BadCursor, RedisUnavailable
from service.store.event_docs import LAST_EVENTS
from service.store.index import Index
from service.store.plans import Plan
from service.store.rebuild import reset_event

START = "0-0"
BATCH = 200
RETRY_S = 1.0
_POSITION = re.compile(r"(\d{1,20})\.(\d{1,20}-\d{1,20})")


class Bell:
    """The one task per process that waits for news in Redis, and wakes whoever listens to the search they are of."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def listen(self, member: str) -> asyncio.Event:
        """Return a flag that is set at every news of a search (`id/tenant`), and when Redis fails."""
        flag = asyncio.Event()
        self._listeners[member].add(flag)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read(), name="bell")
        return flag

    def leave(self, member: str, flag: asyncio.Event) -> None:
        """Stop listening."""
        self._listeners[member].discard(flag)
        if not self._listeners[member]:
            del self._listeners[member]

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _read(self) -> None:
        position = "$"
        while self._listeners:
            try:
                position, rung = await self._index.wait_for_bell(position)
            except RedisUnavailable:
                self._wake(list(self._listeners))
                await asyncio.sleep(RETRY_S)
                position = "$"
                self._wake(list(self._listeners))
                continue
            self._wake(rung)

    def _wake(self, members: list[str]) -> None:
        for member in set(members):
            for flag in self._listeners.get(member, ()):
                flag.set()


class Events(Core):
    """The part of the record that tells what happens."""

    bell: Bell

    async def events(self, tenant: str, search_id: str, *, after: str | None = None, limit: int = 50) -> EventPage:
        """Return a page of a search's events, oldest first.

        Args:
            tenant: Whose search.
            search_id: The search.
            after: Position (an event's `id`) to go on from. One of an older index, or one whose successors were
                trimmed, is answered from the start by a `reset` event with a snapshot.
            limit: Events per page.

        Raises:
            NotFound: If the tenant has no such search.
            BadCursor: If `after` is no position.
            RedisUnavailable: If Redis does not answer; the objects hold no live events.
        """
        if after is not None and not _POSITION.fullmatch(after):
            raise BadCursor("the event position is malformed")
        plan = await self.plan(tenant, search_id, source=self.indexed)
        page = await self._page(plan, after, limit)
        if not page.data and after is None:
            await self.facts_of(self.indexed, plan)
            page = await self._page(plan, after, limit)
        return page

    async def follow(self, tenant: str, search_id: str, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield a search's events as they come, until its last one; end quietly when Redis is lost.

        Raises:
            NotFound: Before the first event, if the tenant has no such search.
            BadCursor: Before the first event, if `after` is no position.
            RedisUnavailable: Before the first event, if Redis does not answer.
        """
        page = await self.events(tenant, search_id, after=after, limit=BATCH)
        member = f"{search_id}/{tenant}"
        flag = self.bell.listen(member)
        try:
            while True:
                for event in page.data:
                    yield event
                if page.ended:
                    return
                if not page.data:
                    await flag.wait()
                flag.clear()
                page = await self.events(tenant, search_id, after=page.position, limit=BATCH)
        except RedisUnavailable:
            return
        finally:
            self.bell.leave(member, flag)

    async def _page(self, plan: Plan, after: str | None, limit: int) -> EventPage:
        stream, search = f"events:{plan.tenant}:{plan.id}", f"search:{plan.tenant}:{plan.id}"
        own = await self.index.generation()
        start = _start(after, own)

        def queue(pipe: Any, prefix: str) -> None:
            pipe.hget(f"{prefix}{search}", "state")
            pipe.xrange(f"{prefix}{stream}", "-", "+", count=1)
            pipe.xrange(f"{prefix}{stream}", f"({start}", "+", count=limit + 1)

        state, first, entries = await self.index.read(queue)
        data = [{**json.loads(fields[b"event"]), "id": f"{own}.{name.decode()}"} for name, fields in entries]
        lost = after is not None and not after.startswith(f"{own}.")
        gone = after is None and not first and state == b"ended"
        if (lost or gone or await self._was_trimmed(stream, start, first)) and not _begins_anew(data):
            data.insert(0, await self._reset(plan, own))
        shown, more = data[:limit], len(data) > limit
        position = shown[-1]["id"] if shown else f"{own}.{start}"
        ended = not more and (state == b"ended" or bool(shown and shown[-1]["type"] in LAST_EVENTS))
        return EventPage(shown, position if more else None, position, ended)

    async def _was_trimmed(self, stream: str, start: str, first: list[Any]) -> bool:
        """Tell whether entries after a position may have been dropped from a stream that grew too long."""
        if not first or not _is_before(start, first[0][0].decode()):
            return False
        info = await self.index.read_one(lambda pipe, own: pipe.xinfo_stream(f"{own}{stream}"))
        return int(info["entries-added"]) > int(info["length"])

    async def _reset(self, plan: Plan, generation: str) -> dict[str, Any]:
        facts = await self.facts_of(self.indexed, plan)
        return {**reset_event(facts, generation), "id": f"{generation}.{START}"}


def _start(after: str | None, generation: str) -> str:
    """Return where to read on in the stream: from the start, unless the position is of this generation."""
    match = _POSITION.fullmatch(after) if after else None
    return match[2] if match and match[1] == generation else START


def _begins_anew(data: list[dict[str, Any]]) -> bool:
    return bool(data) and data[0]["type"] == "reset"


def _is_before(one: str, other: str) -> bool:
    return tuple(map(int, one.split("-"))) < tuple(map(int, other.split("-")))
