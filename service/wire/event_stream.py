"""Following a search's events over broken connections: resume by position, drop repeats, end at the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import httpx2

from service.wire.documents import Event, event_from
from service.wire.problems import ProblemError
from service.wire.transport import RETRIED_STATUSES, AsyncTransport, Transport, Tries


class Follower:
    """What a reader of one event stream must remember between connections.

    Args:
        after: Position to go on behind, or None for the beginning.
    """

    def __init__(self, after: str | None) -> None:
        self.position = after
        self.ended = False
        self.heard = False
        self._seen: set[str] = set()

    def headers(self) -> dict[str, str]:
        """Headers of the next connection."""
        accept = {"Accept": "text/event-stream"}
        return accept | ({"Last-Event-ID": self.position} if self.position else {})

    def take(self, message: httpx2.ServerSentEvent) -> Event | None:
        """The event of one message, or None if it was seen before.

        After a `reset` the service has no memory of the position, so it tells everything again.
        """
        self.heard = True
        if message.id:
            self.position = message.id
        document = json.loads(message.data) if message.data else {}
        event = event_from(document, kind=message.event, position=message.id)
        self.ended = self.ended or event.ends_search
        if event.type != "reset" and event.event_id:
            if event.event_id in self._seen:
                return None
            self._seen.add(event.event_id)
        return event


def _pause_s(tries: Tries, error: Exception) -> float:
    """How long to wait before connecting again, or the error itself if it is final."""
    if isinstance(error, ProblemError):
        if error.status not in RETRIED_STATUSES:
            raise error
        pause = tries.after_refusal(error.retry_after_s)
        if pause is None:
            raise error
        return pause
    assert isinstance(error, httpx2.TransportError)
    return tries.after_error(error)


def follow(transport: Transport, path: str, after: str | None) -> Iterator[Event]:
    """Yield the events of a search until it ends; a broken stream is taken up where it broke."""
    state, tries = Follower(after), transport.tries()
    while not state.ended:
        state.heard = False
        pause = 0.0
        try:
            with transport.stream(path, state.headers()) as response:
                if response.status_code == httpx2.codes.NO_CONTENT:
                    return
                for message in httpx2.EventSource(response):
                    event = state.take(message)
                    if event is not None:
                        yield event
        except (httpx2.TransportError, ProblemError) as error:
            tries = transport.tries() if state.heard else tries
            pause = _pause_s(tries, error)
        if not state.ended:
            time.sleep(pause or tries.first_pause_s)


async def follow_async(transport: AsyncTransport, path: str, after: str | None) -> AsyncIterator[Event]:
    """Yield the events of a search until it ends; a broken stream is taken up where it broke."""
    state, tries = Follower(after), transport.tries()
    while not state.ended:
        state.heard = False
        pause = 0.0
        try:
            async with transport.stream(path, state.headers()) as response:
                if response.status_code == httpx2.codes.NO_CONTENT:
                    return
                async for message in httpx2.EventSource(response):
                    event = state.take(message)
                    if event is not None:
                        yield event
        except (httpx2.TransportError, ProblemError) as error:
            tries = transport.tries() if state.heard else tries
            pause = _pause_s(tries, error)
        if not state.ended:
            await asyncio.sleep(pause or tries.first_pause_s)
