"""Waiting for a worker: what he makes meanwhile is served, and after a while what he made before, or nothing yet."""

from __future__ import annotations

import asyncio
import time

import pytest
from fastapi import Request

from service.api import derived
from service.api.auth import Principal
from service.api.context import Caller, Services
from service.api.errors import ApiError
from service.store.errors import NotPossible
from service.store.record import Record
from tests.support.records import TENANT, commit, start

pytestmark = pytest.mark.anyio


def asked(method: str = "GET") -> Request:
    """A request whose client stays."""

    async def receive() -> dict[str, str]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "headers": [], "path": "/", "query_string": b""}
    return Request(scope, receive)


def caller(record: Record) -> Caller:
    services = Services(record.settings)
    services.use(record)
    return Caller(services, Principal(TENANT, None, frozenset({"read"})))


async def finish(record: Record, text: str | None, after_s: float = 0.0) -> None:
    """Do the next job as a worker would, a while later."""
    await asyncio.sleep(after_s)
    job = await record.next_derived(2.0)
    assert job is not None
    if text is None:
        await record.finish_derived(job, None, error="it was not kept")
    else:
        await record.finish_derived(job, await record.objects.put_blob(TENANT, text.encode()))


async def test_what_a_worker_makes_meanwhile_is_served(record: Record) -> None:
    search, _ = await start(record)
    working = asyncio.create_task(finish(record, "made", after_s=0.1))
    made = await derived.wait_for(asked(), caller(record), search, "report", "html")
    await working
    assert made == derived.Made(b"made", final=False)


async def test_a_failure_ends_the_wait_with_its_sentence(record: Record) -> None:
    search, _ = await start(record)
    working = asyncio.create_task(finish(record, None, after_s=0.1))
    with pytest.raises(NotPossible, match="it was not kept"):
        await derived.wait_for(asked(), caller(record), search, "report", "html")
    await working


async def test_the_wait_ends_and_a_head_does_not_wait_at_all(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    search, _ = await start(record)
    began_s = time.monotonic()
    assert await derived.wait_for(asked("HEAD"), caller(record), search, "report", "html") is None
    assert time.monotonic() - began_s < 1
    monkeypatch.setattr(derived, "WAIT_S", 0.6)
    began_s = time.monotonic()
    assert await derived.wait_for(asked(), caller(record), search, "report", "html") is None
    assert 0.6 <= time.monotonic() - began_s < 5


async def test_after_the_wait_an_earlier_version_of_a_running_search_is_served(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "WAIT_S", 0.3)
    search, truth = await start(record)
    working = asyncio.create_task(finish(record, "no level"))
    await derived.wait_for(asked(), caller(record), search, "report", "html")
    await working
    await commit(record, search, truth.lineages[0], 0)
    made = await derived.wait_for(asked(), caller(record), search, "report", "html")
    assert made == derived.Made(b"no level", final=False)
    assert await record.num_derived_waiting() == 1


async def test_a_service_that_stops_does_not_wait(record: Record) -> None:
    search, _ = await start(record)
    one = caller(record)
    one.services.draining.set()
    began_s = time.monotonic()
    assert await derived.wait_for(asked(), one, search, "report", "html") is None
    assert time.monotonic() - began_s < 2


async def test_what_nobody_makes_is_not_found(record: Record) -> None:
    search, _ = await start(record)
    with pytest.raises(ApiError, match="there is no such analysis") as refused:
        await derived.wait_for(asked(), caller(record), search, "analysis", "locality")
    assert refused.value.code == "not_found"
