"""Server-sent events: one search's events as they happen, pinged while it is quiet, ended with the search."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from service.api.context import Caller
from service.store.errors import RecordError

PING_S = 15.0
_log = structlog.get_logger("lth.api")


@dataclass(frozen=True)
class Filter:
    """Which events a listener wants: all, or those of some types or of one lineage."""

    types: frozenset[str] | None
    lineage: str | None

    @classmethod
    def of(cls, types: str | None, lineage: str | None) -> Filter:
        """Read the query parameters."""
        return cls(None if types is None else frozenset(types.split(",")), lineage)

    def passes(self, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is wanted."""
        return (self.types is None or event["type"] in self.types) and (
            self.lineage is None or event.get("lineage") == self.lineage
        )


def encode_event(event: Mapping[str, Any]) -> bytes:
    """Return one event in the form of the stream; its `id` is the position to resume after."""
    data = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return format_sse_event(data_str=data, event=event["type"], id=event["id"])


Event = dict[str, Any]


async def stream(caller: Caller, search_id: str, after: str | None, wanted: Filter) -> AsyncIterator[bytes]:
    """Yield a search's events in the form of the stream until the search ends or the service stops.

    It ends and never raises: a listener whose stream broke comes back with the position he reached.
    """
    services = caller.services
    with services.streams.hold(caller.principal.name):
        services.metrics.sse_listeners.set(services.streams.num_open)
        try:
            async for event in _until_end(caller, search_id, after):
                if event is None:
                    yield KEEPALIVE_COMMENT
                elif wanted.passes(event) or event["type"] == "reset":
                    yield encode_event(event)
        except RecordError as failure:
            _log.warning("stream ended", search=search_id, reason=str(failure))
    services.metrics.sse_listeners.set(services.streams.num_open)


async def _until_end(caller: Caller, search_id: str, after: str | None) -> AsyncIterator[Event | None]:
    """Yield events, and None after every quiet spell, until the search ends or the service stops."""
    events = cast("AsyncGenerator[Event, None]", caller.record.follow(caller.tenant, search_id, after))
    stop = asyncio.create_task(caller.services.draining.wait())
    pending = asyncio.create_task(_next(events))
    try:
        while True:
            done, _ = await asyncio.wait({pending, stop}, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                return
            if pending not in done:
                yield None
                continue
            if (event := pending.result()) is None:
                return
            yield event
            pending = asyncio.create_task(_next(events))
    finally:
        await _end(stop)
        await _end(pending)
        await events.aclose()


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it is done: one cancellation can get lost in a read of the index that just ended."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    if not task.cancelled():
        task.exception()
