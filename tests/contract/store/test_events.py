"""Events: in order, resumable from any position, begun anew with a snapshot where that is gone, ended at the end."""

from __future__ import annotations

import asyncio

import pytest

from service.store.errors import BadCursor
from service.store.record import Record
from tests.support.records import TENANT, commit, start, submit

pytestmark = pytest.mark.anyio


async def collect(record: Record, name: str, after: str | None = None) -> list[str]:
    return [event["type"] async for event in record.follow(TENANT, name, after)]


async def test_events_come_in_order_with_stable_names(record: Record) -> None:
    name, truth = await start(record)
    await commit(record, name, truth.lineages[0], 0)
    await commit(record, name, truth.lineages[0], 1)
    page = await record.events(TENANT, name)
    lineage = truth.lineage_ids[truth.lineages[0].key]
    assert [event["event_id"] for event in page.data] == [
        f"{name}:queued",
        f"{lineage}:0:committed",
        f"{lineage}:1:committed",
    ]
    assert page.data[2]["data"]["ticket"].startswith("tkt_")
    assert (page.next_after, page.ended) == (None, False)


async def test_pages_join_without_gap_or_repeat(record: Record) -> None:
    name, _ = await start(record)
    for number in range(7):
        await record.emit(TENANT, name, f"x:{number}", "level.metrics", None, None, {"n": number}, 1)
    seen, after = [], None
    for _ in range(4):
        page = await record.events(TENANT, name, after=after, limit=2)
        seen += [event["event_id"] for event in page.data]
        after = page.position
    assert seen == [f"{name}:queued", *(f"x:{number}" for number in range(7))]
    assert (await record.events(TENANT, name, after=after)).data == []


async def test_an_event_emitted_twice_is_delivered_once(record: Record) -> None:
    name, _ = await start(record)
    for _ in range(3):
        await record.emit(TENANT, name, "once", "lineage.started", None, None, {}, 1)
    assert [event["event_id"] for event in (await record.events(TENANT, name)).data].count("once") == 1


async def test_many_listeners_hear_everything_and_end_with_the_search(record: Record) -> None:
    name, truth = await start(record)
    listeners = [asyncio.create_task(collect(record, name)) for _ in range(20)]
    await asyncio.sleep(0.1)
    await commit(record, name, truth.lineages[0], 0)
    await record.cancel(TENANT, name)
    await record.finish(TENANT, name, "cancelled", None, None, 1)
    async with asyncio.timeout(5):
        heard = await asyncio.gather(*listeners)
    assert all(one == ["search.queued", "level.committed", "search.cancelling", "search.cancelled"] for one in heard)
    assert sum(task.get_name() == "bell" for task in asyncio.all_tasks()) == 1


async def test_a_listener_that_comes_back_gets_only_what_it_missed(record: Record) -> None:
    name, truth = await start(record)
    await commit(record, name, truth.lineages[0], 0)
    position = (await record.events(TENANT, name)).position
    await commit(record, name, truth.lineages[0], 1)
    await record.finish(TENANT, name, "failed", None, None, 1)
    assert await collect(record, name, position) == ["level.committed", "search.failed"]
    end = (await record.events(TENANT, name)).position
    page = await record.events(TENANT, name, after=end)
    assert (page.data, page.ended) == ([], True)


async def test_after_a_rebuild_an_old_position_is_answered_by_a_snapshot(record: Record) -> None:
    name, truth = await start(record)
    await commit(record, name, truth.lineages[0], 0)
    position = (await record.events(TENANT, name)).position
    await record.rebuild()
    await record.recover(1)
    await commit(record, name, truth.lineages[0], 1)
    page = await record.events(TENANT, name, after=position)
    assert [event["type"] for event in page.data] == ["reset", "level.committed"]
    assert page.data[0]["data"]["progress"]["levels_done"] == 1
    assert (await record.events(TENANT, name)).data == page.data
    assert (await record.events(TENANT, name, after=page.data[0]["id"])).data == page.data[1:]


async def test_a_listener_survives_a_rebuild(record: Record) -> None:
    name, truth = await start(record)
    listener = asyncio.create_task(collect(record, name))
    await asyncio.sleep(0.1)
    await record.rebuild()
    await record.recover(1)
    await commit(record, name, truth.lineages[0], 0)
    await record.finish(TENANT, name, "failed", None, None, 1)
    async with asyncio.timeout(10):
        assert await listener == ["search.queued", "reset", "level.committed", "search.failed"]


async def test_a_trimmed_position_is_answered_by_a_snapshot(record: Record) -> None:
    name, _ = await start(record)
    position = (await record.events(TENANT, name)).data[0]["id"]
    for number in range(5):
        await record.emit(TENANT, name, f"x:{number}", "level.metrics", None, None, {}, 1)
    generation = await record.index.generation()
    async with record.index.guarded() as redis:
        await redis.xtrim(f"lth:{generation}:events:{TENANT}:{name}", maxlen=2, approximate=False)
    page = await record.events(TENANT, name, after=position)
    assert [event["type"] for event in page.data] == ["reset", "level.metrics", "level.metrics"]
    last = page.data[-2]["id"]
    assert len((await record.events(TENANT, name, after=last)).data) == 1


async def test_the_events_of_a_search_that_ended_long_ago_are_a_snapshot(record: Record) -> None:
    name, _ = await start(record)
    await record.finish(TENANT, name, "failed", None, None, 1)
    generation = await record.index.generation()
    async with record.index.guarded() as redis:
        await redis.delete(f"lth:{generation}:events:{TENANT}:{name}")
    page = await record.events(TENANT, name)
    assert ([event["type"] for event in page.data], page.ended) == (["reset"], True)
    assert page.data[0]["data"]["status"] == "failed"


@pytest.mark.parametrize("position", ["", "x", "1", "1.2", "1.2-3-4", "9" * 40 + ".1-1", "1.0-0\n"])
async def test_a_position_that_was_never_given_out_is_refused(record: Record, position: str) -> None:
    name = (await submit(record))[0]["id"]
    with pytest.raises(BadCursor):
        await record.events(TENANT, name, after=position)
