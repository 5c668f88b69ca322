"""What the engine host tells of a cluster: searches hear of what concerns them, once, and bounds reach the pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from service.store.errors import StaleEpoch, StoreUnavailable
from service.store.record import Record
from service.store.scale import Bounds, BoundsByDevice, Scale
from tests.support.records import TENANT, commit_all, start
from workers import cluster_reporter
from workers.cluster_nodes import Node
from workers.cluster_reporter import ClusterReporter
from workers.engine_slots import Limits
from workers.pool_report import EngineReport, LevelReport, PoolReport

pytestmark = pytest.mark.anyio

AT = "2026-11-22T09:10:11.042Z"
GPU = ("cuda", 1)
HEAD, WORKER = Node("a", "head", "10.0.0.1", 2.0, 0.0), Node("b", "gpu-0", "10.0.0.2", 8.0, 1.0)


@dataclass
class ScriptedCluster:
    """A cluster that is what a test says."""

    pool: PoolReport = field(default_factory=PoolReport)
    machines: list[Node] = field(default_factory=lambda: [HEAD, WORKER])
    bounds: list[BoundsByDevice] = field(default_factory=list)

    async def report(self) -> PoolReport:
        return self.pool

    async def nodes(self) -> list[Node]:
        return self.machines

    async def set_bounds(self, bounds: BoundsByDevice) -> None:
        self.bounds.append(bounds)


def reporter_of(record: Record, cluster: ScriptedCluster, epoch: int = 1) -> ClusterReporter:
    return ClusterReporter(record, cluster, Limits(60, 60, {"cpu": 1, "cuda": 8}), 64, epoch)


def engine(*levels: LevelReport, node: Node | None = None) -> EngineReport:
    """A GPU engine on a machine, or a starting one without."""
    place: Any = ("ready", node.name, node.id) if node else ("starting", "", "")
    return EngineReport("engine-1", GPU, 0.95, 1.0, *place, 8, AT, AT if node else None, None, levels)


async def told(record: Record, search: str) -> list[dict[str, Any]]:
    page = await record.events(TENANT, search, limit=50)
    return [event for event in page.data if event["type"].startswith("cluster.")]


async def test_a_search_hears_once_of_a_machine_that_takes_its_levels_along(record: Record) -> None:
    name, _ = await start(record)
    cluster = ScriptedCluster(PoolReport((engine(LevelReport(TENANT, (name,), GPU), node=WORKER),)))
    reporter = reporter_of(record, cluster)
    await reporter.report()
    cluster.pool, cluster.machines = PoolReport(), [HEAD]
    for _ in range(2):
        await reporter.report()
    [event] = await told(record, name)
    assert (event["type"], event["data"]) == ("cluster.node_lost", {"node": "gpu-0", "address": "10.0.0.2"})
    lost = [node for node in (await record.cluster_nodes())["data"] if not node["alive"]]
    assert [node["name"] for node in lost] == ["gpu-0"]
    assert [event["kind"] for event in (await record.cluster(TENANT))["events"]] == ["node_lost"]


async def test_a_search_that_has_ended_hears_nothing_after_its_last_event(record: Record) -> None:
    name, _ = await start(record)
    cluster = ScriptedCluster(PoolReport((engine(LevelReport(TENANT, (name,), GPU), node=WORKER),)))
    reporter = reporter_of(record, cluster)
    await reporter.report()
    await commit_all(record, name)
    await record.finish(TENANT, name, "succeeded", None, None, 1)
    cluster.machines = [HEAD]
    await reporter.report()
    assert await told(record, name) == []


async def test_a_search_hears_once_per_shortage_that_its_levels_wait_for_a_machine(record: Record) -> None:
    name, _ = await start(record)
    short = PoolReport((engine(),), (LevelReport(TENANT, (name,), GPU),) * 2)
    cluster = ScriptedCluster(short, [HEAD])
    reporter = reporter_of(record, cluster)
    for _ in range(3):
        await reporter.report()
    [event] = await told(record, name)
    assert event["type"] == "cluster.scaling"
    assert {**event["data"], "since": ""} == {"device": "cuda", "threads": 1, "num_engines": 1, "since": ""}
    assert (await record.cluster(TENANT))["engines"][0]["waits_for_node"]
    cluster.machines = [HEAD, WORKER]
    await reporter.report()
    cluster.machines = [HEAD]
    await reporter.report()
    assert [event["type"] for event in await told(record, name)] == ["cluster.scaling", "cluster.scaling"]


async def test_the_pool_gets_bounds_when_they_change_and_keeps_them_while_the_store_is_down(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_reporter, "SCALE_EVERY_S", 0.0)
    cluster = ScriptedCluster()
    reporter = reporter_of(record, cluster)
    for _ in range(2):
        await reporter.follow_scale()
    await record.set_scale({"cpu": Bounds(1, 2)})
    for _ in range(2):
        await reporter.follow_scale()
    assert [dict(bounds).get("cpu", Bounds()) for bounds in cluster.bounds] == [Bounds(), Bounds(1, 2)]

    async def fail() -> Scale:
        raise StoreUnavailable("down")

    monkeypatch.setattr(record, "scale", fail)
    await reporter.follow_scale()
    assert len(cluster.bounds) == 2


async def test_the_host_of_an_earlier_leader_stops_reporting(record: Record) -> None:
    await start(record)
    async with record.index.guarded() as redis:
        await redis.set("lth:epoch", 2)
    with pytest.raises(StaleEpoch):
        await reporter_of(record, ScriptedCluster(), epoch=1).run()
