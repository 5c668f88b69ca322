"""The cluster over HTTP: seen as a tenant may see it, bounded by an operator only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.schemas_cluster import Cluster, NodeList
from service.settings import Settings
from service.store.record import Record
from tests.contract.api.conftest import Api, World, start_api

AT = "2026-11-22T09:10:11.042Z"
PICTURE: dict[str, Any] = {
    "nodes": [
        {
            "id": "a",
            "name": "gpu-0",
            "address": "10.0.0.7",
            "alive": True,
            "since": AT,
            "lost_at": None,
            "cpus": {"total": 8.0, "used": 0.95},
            "gpus": {"total": 1.0, "used": 1.0},
            "num_engines": 1,
        }
    ],
    "engines": [
        {
            "name": "engine-1",
            "device": "cuda",
            "threads": 1,
            "status": "ready",
            "waits_for_node": False,
            "node": "gpu-0",
            "slots": 8,
            "tenants": {"alice": 2, "bob": 3},
            "requested_at": AT,
            "ready_at": AT,
            "idle_since": None,
        }
    ],
    "waiting": {"alice": 1, "bob": 5},
    "searches": {},
    "limits": {
        "engines": {"cpu": {"min": 0, "max": None}, "cuda": {"min": 0, "max": 1}},
        "slots_per_engine": {"cpu": 1, "cuda": 8},
        "cpus": None,
        "gpus": 4.0,
        "running_lineages": 64,
        "engine_idle_s": 60.0,
    },
    "events": [
        {
            "at": AT,
            "kind": "node_joined",
            "node": "gpu-0",
            "engine": None,
            "device": None,
            "threads": None,
            "reason": None,
        }
    ],
}


async def with_record(settings: Settings, picture: dict[str, Any] | None) -> None:
    """Show a picture of the cluster as an engine host does, or remove it for None."""
    record = await Record.open(settings, check=False)
    try:
        if picture is not None:
            await record.show_cluster(picture, (await record.figures())["leader_epoch"])
            return
        generation = await record.index.generation()
        async with record.index.guarded() as redis:
            await redis.delete(f"lth:{generation}:cluster")
    finally:
        await record.close()


@pytest.fixture
def shown(world: World) -> Iterator[None]:
    """A cluster that has just been seen."""
    asyncio.run(with_record(world.settings, PICTURE))
    yield
    asyncio.run(with_record(world.settings, None))


def test_a_cluster_that_was_never_seen_is_no_error(keyed: Api, world: World) -> None:
    asyncio.run(with_record(world.settings, None))
    seen = keyed.get("/v1/cluster")
    assert (seen["reachable"], seen["at"], seen["slots"]["total"]) == (False, None, 0)
    Cluster.model_validate(seen)
    nodes = keyed.get("/v1/cluster/nodes")
    assert (nodes["reachable"], nodes["data"]) == (False, [])


@pytest.mark.usefixtures("shown")
def test_each_tenant_sees_own_searches_and_the_sum_of_others(keyed: Api, world: World) -> None:
    alice, bob = keyed.get("/v1/cluster"), keyed.having(world.keys["bob"]).get("/v1/cluster")
    Cluster.model_validate(alice)
    assert alice["slots"] == {"total": 8, "taken": 5, "free": 3, "own": 2}
    assert bob["slots"] == {"total": 8, "taken": 5, "free": 3, "own": 3}
    assert (alice["waiting"], bob["waiting"]) == ({"own": 1, "others": 5}, {"own": 5, "others": 1})
    hers, his = ({search["id"] for search in seen["searches"]} for seen in (alice, bob))
    assert world.searches["open"].id in hers
    assert not hers & his
    assert "bob" not in str(alice)
    assert "alice" not in str(bob)


@pytest.mark.usefixtures("shown")
def test_machines_are_listed_to_whoever_may_read(keyed: Api, world: World) -> None:
    nodes = keyed.having(world.keys["reader"]).get("/v1/cluster/nodes")
    NodeList.model_validate(nodes)
    assert nodes["data"] == PICTURE["nodes"]
    assert keyed.having(world.keys["writer"]).send("GET", "/v1/cluster").status == 403


def test_bounds_are_set_shown_and_reset_on_the_admin_listener_only(keyed: Api) -> None:
    assert keyed.admin_send("DELETE", "/admin/v1/scale").status_code == 204
    made = keyed.admin_send("POST", "/admin/v1/scale", {"cpu": {"min": 1, "max": 4}}).json()
    assert (made["cpu"], made["cuda"]) == ({"min": 1, "max": 4}, {"min": 0, "max": None})
    again = keyed.admin_send("POST", "/admin/v1/scale", {"cuda": {"max": 2}}).json()
    assert (again["cpu"], again["cuda"]) == ({"min": 1, "max": 4}, {"min": 0, "max": 2})
    assert again["revision"] == made["revision"] + 1
    assert keyed.admin_send("GET", "/admin/v1/scale").json() == again
    assert keyed.admin_send("DELETE", "/admin/v1/scale").status_code == 204
    assert keyed.admin_send("GET", "/admin/v1/scale").json()["cpu"] == {"min": 0, "max": None}
    for method in ("GET", "POST", "DELETE"):
        assert keyed.send(method, "/admin/v1/scale").status == 404


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"cpu": {"min": 3, "max": 2}}, "/cpu", "min must be <= max, got min 3 and max 2"),
        ({"cpu": {"min": -1}}, "/cpu/min", "must be >= 0, got -1"),
        ({"cuda": {"max": 10_001}}, "/cuda/max", "must be <= 10000, got 10001"),
        ({"cuda": {"max": 1.5}}, "/cuda/max", "must be an integer, got 1.5"),
        ({"gpu": {"max": 1}}, "/gpu", "is not a known member"),
        ({}, "", "must bound cpu, cuda or both, bounds none"),
    ],
)
def test_bad_bounds_are_refused_by_field_bound_and_value(keyed: Api, body: Any, pointer: str, detail: str) -> None:
    answer = keyed.admin_send("POST", "/admin/v1/scale", body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "detail": detail}]


def test_bounds_outlive_a_flush_of_the_index_and_a_restart(own_world: World) -> None:
    first = start_api(own_world, "first", "127.0.0.1")
    made = first.admin_send("POST", "/admin/v1/scale", {"cpu": {"min": 2, "max": 3}}).json()
    first.server.stop()
    asyncio.run(flush(own_world.settings))
    second = start_api(own_world, "second", "127.0.0.1")
    assert second.admin_send("GET", "/admin/v1/scale").json() == made
    second.server.stop()


async def flush(settings: Settings) -> None:
    """Lose everything that Redis holds."""
    record = await Record.open(settings, check=False)
    async with record.index.guarded() as redis:
        await redis.flushall()
    await record.close()
