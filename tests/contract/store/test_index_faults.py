"""Redis is an index: killed, flushed, paused or gone, it costs time and nothing else."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.settings import Settings
from service.store.errors import RedisUnavailable, StoreRefused, StoreUnavailable
from service.store.index import Index
from service.store.objects import ObjectStore
from service.store.rebuild import dump
from service.store.record import Record
from tests.support.records import TENANT, commit, commit_all, lead, register_tiny, start, submit
from tests.support.valkey import ValkeyServer, start_valkey, stop_valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
async def frail(valkey_server: ValkeyServer, tmp_path: Any) -> AsyncIterator[Record]:
    """A record whose Valkey the test may hurt."""
    settings = Settings(home=tmp_path / "home", redis_url=valkey_server.url)
    record = await Record.open(settings, objects=ObjectStore.from_url("memory://"), check=False)
    try:
        yield record
    finally:
        await record.close()


async def flush(index: Index) -> None:
    async with index.guarded() as redis:
        await redis.flushall()


async def documents(record: Record, search_id: str) -> dict[str, Any]:
    """Everything the API can show of a search."""
    lineages = (await record.lineages(TENANT, search_id, limit=200)).data
    levels = [list(await record.levels(TENANT, search_id, one["id"])) for one in lineages]
    tickets = (await record.tickets(TENANT, limit=200, search=search_id)).data
    search = dict(await record.search(TENANT, search_id))
    return {"search": search, "lineages": lineages, "levels": levels, "tickets": tickets}


async def ended_search(record: Record) -> str:
    """A search with everything: outcomes, results, an end."""
    name, truth = await start(record)
    await commit_all(record, name)
    await record.append(TENANT, name, "rung", {"setting": 0, "level": 1}, "rung:0:1", 1)
    best = {"key": truth.lineages[0].key, "level": 2}
    digest = await record.put_results(TENANT, name, {"levels": [], "best": best})
    await record.finish(TENANT, name, "succeeded", None, digest, 1)
    return name


async def test_after_a_flush_the_rebuilt_index_gives_the_same_documents(record: Record) -> None:
    done = await ended_search(record)
    live = (await submit(record, key="key-2"))[0]["id"]
    before = [await documents(record, name) for name in (done, live)]
    content = await dump(record.index)
    await flush(record.index)
    await record.recover(1)
    assert [await documents(record, name) for name in (done, live)] == before
    assert await dump(record.index) == content
    assert [name for _, name in await record.queued()] == [live]


async def test_a_rebuilt_index_equals_a_healthy_one(record: Record) -> None:
    await ended_search(record)
    name = (await submit(record, key="key-2"))[0]["id"]
    await record.create_api_key(TENANT, ("read",))
    await record.cancel(TENANT, name)
    before, old = await dump(record.index), await record.index.generation()
    assert before
    new = await record.rebuild()
    assert int(new) > int(old)
    assert await dump(record.index) == before


async def test_processes_that_rebuild_at_once_agree_on_one_generation(record: Record, settings: Settings) -> None:
    name = await ended_search(record)
    await flush(record.index)
    other = await Record.open(settings, objects=record.objects, check=False)
    try:
        await flush(record.index)
        await asyncio.gather(*(one.ensure_index() for one in (record, other, record, other)))
        assert await record.index.generation() == await other.index.generation()
        assert (await other.search(TENANT, name))["status"] == "succeeded"
    finally:
        await other.close()


async def test_a_process_that_missed_a_rebuild_writes_to_the_new_index(record: Record, settings: Settings) -> None:
    name, truth = await start(record)
    other = await Record.open(settings, objects=record.objects, check=False)
    try:
        await other.rebuild()
        await commit(record, name, truth.lineages[0], 0)
        assert (await other.search(TENANT, name))["progress"]["levels_done"] == 1
    finally:
        await other.close()


async def test_a_killed_valkey_comes_back_with_its_index_and_functions(
    frail: Record, valkey_server: ValkeyServer
) -> None:
    name, truth = await start(frail)
    await commit(frail, name, truth.lineages[0], 0)
    await asyncio.sleep(1.2)
    before = await dump(frail.index)
    valkey_server.kill()
    valkey_server.run()
    await asyncio.sleep(0.6)
    assert await dump(frail.index) == before
    assert await commit(frail, name, truth.lineages[0], 1) == "committed"
    assert (await frail.search(TENANT, name))["progress"]["levels_done"] == 2


async def test_functions_that_were_lost_are_loaded_again(record: Record) -> None:
    name, truth = await start(record)
    async with record.index.guarded() as redis:
        await redis.function_flush()
    await commit(record, name, truth.lineages[0], 0)
    assert (await record.search(TENANT, name))["progress"]["levels_done"] == 1


async def test_while_redis_is_down_reads_come_from_the_objects(frail: Record, valkey_server: ValkeyServer) -> None:
    name = await ended_search(frail)
    healthy = await documents(frail, name)
    assert (await frail.search(TENANT, name)).degraded is None
    valkey_server.kill()
    search = await frail.search(TENANT, name)
    assert search.degraded == "redis"
    assert await documents(frail, name) == healthy
    assert (await frail.searches(TENANT, limit=10)).degraded == "redis"
    assert (await frail.datasets()).degraded == "redis"
    ticket = healthy["tickets"][0]["id"]
    assert (await frail.ticket(TENANT, ticket))["id"] == ticket
    for refused in (
        frail.searches(TENANT, limit=10, status="queued"),
        frail.events(TENANT, name),
        frail.tickets(TENANT, limit=10),
        submit(frail, key="key-9"),
        frail.lead("x"),
        frail.queued(),
    ):
        with pytest.raises(RedisUnavailable):
            await refused
    assert await frail.health() == {"redis": False, "store": True}


async def test_work_goes_on_while_redis_is_down_and_shows_afterwards(
    frail: Record, valkey_server: ValkeyServer
) -> None:
    name, truth = await start(frail)
    await asyncio.sleep(1.2)
    valkey_server.kill()
    chain = truth.lineages[0]
    assert [await commit(frail, name, chain, level) for level in range(3)] == ["committed"] * 3
    await frail.cancel(TENANT, name)
    assert await frail.cancel_wish(TENANT, name) == "kill"
    valkey_server.run()
    await asyncio.sleep(0.6)
    assert await frail.heartbeat(TENANT, name, 1, {"status": "running"}) == "kill"
    assert await frail.health() == {"redis": True, "store": True}
    search = await frail.search(TENANT, name)
    assert (search.degraded, search["progress"]["levels_done"]) == (None, 3)
    await frail.recover(1)
    assert (await frail.search(TENANT, name))["status"] == "cancelling"


async def test_a_paused_redis_costs_seconds_and_doubles_nothing(frail: Record, valkey_server: ValkeyServer) -> None:
    name, truth = await start(frail)
    valkey_server.signal(signal.SIGSTOP)
    async with asyncio.timeout(5):
        assert await commit(frail, name, truth.lineages[0], 0) == "committed"
    valkey_server.signal(signal.SIGCONT)
    await asyncio.sleep(0.6)
    for _ in range(2):
        await frail.heartbeat(TENANT, name, 1, {"status": "running"})
    events = [event["event_id"] for event in (await frail.events(TENANT, name)).data]
    assert len(events) == len(set(events))
    assert sum(event.endswith(":0:committed") for event in events) == 1


async def test_while_the_store_is_down_reads_come_from_the_index_and_say_so(record: Record) -> None:
    name = await ended_search(record)

    async def silent(*_: Any) -> Any:
        raise StoreUnavailable("no answer")

    broken = record.objects
    broken.get = broken.head = broken.list = broken.create = broken.put_if_absent = silent  # type: ignore[method-assign,assignment]
    assert await record.health() == {"redis": True, "store": False}
    search = await record.search(TENANT, name)
    assert (search.degraded, search["stale"]) == ("store", True)
    with pytest.raises(StoreUnavailable):
        await submit(record, key="key-2")
    with pytest.raises(StoreUnavailable):
        await record.ticket_blob(TENANT, (await record.tickets(TENANT, limit=1)).data[0]["id"], "mask")
    with pytest.raises(StoreUnavailable):
        await record.cancel(TENANT, name)


async def test_a_search_that_was_never_indexed_is_found_in_the_store_and_repaired(record: Record) -> None:
    async def lost(*_: Any) -> bool:
        raise RedisUnavailable("the reply was lost")

    original = record.mirror.accepted
    record.mirror.accepted = lost  # type: ignore[method-assign]
    answer, created = await submit(record)
    record.mirror.accepted = original  # type: ignore[method-assign]
    assert created
    assert await record.queued() == []
    assert (await record.search(TENANT, answer["id"]))["status"] == "queued"
    assert [name for _, name in await record.queued()] == [answer["id"]]


async def test_the_reconciler_indexes_what_a_dead_process_left_behind(record: Record, settings: Settings) -> None:
    name, truth = await start(record)
    await flush(record.index)
    blind = Record(record.objects, Index("unix:///nonexistent/valkey.sock"), settings)
    try:
        await blind.cancel(TENANT, name, "drain")
        await commit(blind, name, truth.lineages[0], 0)
    finally:
        await blind.close()
    await record.recover(1)
    assert await record.cancelling() == {(TENANT, name): "drain"}
    assert (await record.search(TENANT, name))["progress"]["levels_done"] == 1


async def test_a_leader_gets_his_epoch_back_after_a_flush_unless_another_claimed_a_later_one(record: Record) -> None:
    lease = await record.lead("one")
    assert lease is not None
    await flush(record.index)
    assert await lease.renew()
    await record.recover(lease.epoch)
    await record.objects.create(f"epochs/{lease.epoch + 1:012d}.json", b"{}")
    await flush(record.index)
    assert not await lease.renew()


async def test_an_index_that_would_evict_keys_is_refused(tmp_path: Any) -> None:
    server = start_valkey("--maxmemory-policy", "allkeys-lru")
    try:
        settings = Settings(home=tmp_path, redis_url=server.url)
        with pytest.raises(StoreRefused, match="noeviction"):
            await Record.open(settings, objects=ObjectStore.from_url("memory://"), check=False)
    finally:
        stop_valkey(server)


async def test_a_record_opens_while_redis_is_down(tmp_path: Any) -> None:
    settings = Settings(home=tmp_path, redis_url=f"unix://{tmp_path}/none.sock", store_url=f"file://{tmp_path}/objects")
    record = await Record.open(settings)
    try:
        assert await record.health() == {"redis": False, "store": True}
        await register_tiny(record)
        with pytest.raises(RedisUnavailable):
            await lead(record)
    finally:
        await record.close()
