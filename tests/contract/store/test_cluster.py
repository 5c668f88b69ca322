"""The cluster in the record: its picture passes and is fenced, its bounds stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.store.cluster import FRESH_S, KEPT_MS
from service.store.errors import RedisUnavailable, StaleEpoch
from service.store.objects import ObjectStore
from service.store.record import Record
from service.store.scale import Bounds, Scale
from tests.support.records import TENANT, OpenRecord, lead, start, submit, tiny_submission

pytestmark = pytest.mark.anyio

PICTURE: dict[str, Any] = {"nodes": [{"id": "a"}], "engines": [], "waiting": {}, "searches": {}, "events": [{"at": ""}]}


async def age(record: Record, seconds: float) -> None:
    """Do what time does: let the picture of the cluster grow old."""
    generation = await record.index.generation()
    async with record.index.guarded() as redis:
        assert await redis.pexpire(f"lth:{generation}:cluster", int(KEPT_MS - seconds * 1000))


async def test_a_picture_is_seen_until_it_is_old_and_then_its_time_is(record: Record) -> None:
    assert (await record.cluster(TENANT))["at"] is None
    await record.show_cluster(PICTURE, await lead(record))
    seen = await record.cluster(TENANT)
    assert (seen["reachable"], (await record.cluster_nodes())["data"]) == (True, [{"id": "a"}])
    await age(record, FRESH_S + 1)
    old = await record.cluster(TENANT)
    assert (old["reachable"], old["events"]) == (False, PICTURE["events"])
    assert old["at"] < seen["at"]
    assert (await record.cluster_nodes())["data"] == []


async def test_a_leader_of_the_past_shows_nothing(record: Record) -> None:
    epoch = await lead(record)
    async with record.index.guarded() as redis:
        await redis.set("lth:epoch", epoch + 1)
    with pytest.raises(StaleEpoch):
        await record.show_cluster(PICTURE, epoch)
    assert not (await record.cluster(TENANT))["reachable"]


async def test_own_live_searches_are_shown_with_their_place_in_the_queue_and_their_eta(record: Record) -> None:
    taken, _ = await start(record)
    waiting = (await submit(record, tiny_submission(spec={"replicates": [7]}), key="other"))[0]["id"]
    await record.heartbeat(TENANT, taken, 1, {"status": "running", "eta": "2026-11-22T10:00:00.000Z", "lineages": {}})
    levels = {f"{taken}/{TENANT}": {"running": 1, "waiting": 2}}
    await record.show_cluster(PICTURE | {"searches": levels, "waiting": {TENANT: 2, "bob": 3}}, 1)
    seen = await record.cluster(TENANT)
    assert seen["waiting"] == {"own": 2, "others": 3}
    first, second = seen["searches"]
    assert first == {
        "id": taken,
        "queue_position": None,
        "levels_running": 1,
        "levels_waiting": 2,
        "eta": "2026-11-22T10:00:00.000Z",
    }
    assert (second["id"], second["queue_position"], second["eta"]) == (waiting, 0, None)
    assert (await record.cluster("bob"))["searches"] == []


async def test_without_redis_the_cluster_is_not_reachable_and_says_why(record: Record) -> None:
    record.vitals.redis_up = False
    seen = await record.cluster(TENANT)
    assert (seen["reachable"], seen["at"], seen.degraded) == (False, None, "redis")


async def test_bounds_outlive_redis_and_every_process(open_record: OpenRecord) -> None:
    async with open_record() as one:
        assert await one.scale() == Scale()
        standing = await one.set_scale({"cpu": Bounds(1, 4)})
        assert (standing.revision, standing.of("cpu"), standing.of("cuda")) == (1, Bounds(1, 4), Bounds())
        async with one.index.guarded() as redis:
            await redis.flushall()
    async with open_record() as other:
        assert await other.scale() == standing
        await other.set_scale({"cuda": Bounds(0, 2)})
        assert (await other.scale()).of("cpu") == Bounds(1, 4)


async def test_another_process_sees_new_bounds_at_its_next_look(open_record: OpenRecord) -> None:
    async with open_record() as one, open_record() as other:
        assert (await other.scale()).revision == 0
        await one.set_scale({"cpu": Bounds(2, 2)})
        assert (await other.scale()).of("cpu") == Bounds(2, 2)
        await other.reset_scale()
        assert (await one.scale()).of("cpu") == Bounds()


async def test_bounds_that_stand_already_are_not_written_again(record: Record) -> None:
    first = await record.set_scale({"cpu": Bounds(1, 1)})
    assert await record.set_scale({"cpu": Bounds(1, 1)}) == first
    assert (await record.reset_scale()).revision == 2
    assert (await record.reset_scale()).revision == 2


async def test_operators_at_once_lose_no_wish(objects: ObjectStore, open_record: OpenRecord) -> None:
    async with open_record() as one, open_record() as other:
        await asyncio.gather(
            one.set_scale({"cpu": Bounds(1, 1)}),
            other.set_scale({"cuda": Bounds(2, 2)}),
            one.set_scale({"cpu": Bounds(1, 1)}),
        )
        standing = await other.scale()
        assert (standing.of("cpu"), standing.of("cuda")) == (Bounds(1, 1), Bounds(2, 2))
        assert len(await objects.list("scale/")) == standing.revision


async def test_bounds_can_be_set_while_redis_is_down(record: Record) -> None:
    async def fail() -> None:
        raise RedisUnavailable("down")

    record.index.generation = fail  # type: ignore[assignment, method-assign]
    assert (await record.set_scale({"cpu": Bounds(0, 1)})).revision == 1
