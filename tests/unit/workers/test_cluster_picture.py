"""The picture of the cluster: machines, engines, what waits, and what is told of a machine that goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from service.store.scale import Bounds, Scale
from workers.cluster_events import MAX_EVENTS, ClusterEvent, latest
from workers.cluster_nodes import HELD_S, LOST_SHOWN_S, Node, NodeWatch, living
from workers.cluster_picture import Rules, paint, waiting_searches, without_node
from workers.engine_slots import EngineSlot, Job, Limits
from workers.engines.orders import Order
from workers.pool_report import EngineReport, LevelReport, PoolReport, report_of_pool

AT = "2026-11-22T09:10:11.042Z"
CPU, GPU = ("cpu", 1), ("cuda", 1)
RULES = Rules(Limits(60, 60, {"cpu": 1, "cuda": 128}, gpus=4.0), 64, Scale(3, AT, {"cpu": Bounds(1, 2)}))


def node(name: str, cpus: float = 2.0, gpus: float = 0.0) -> Node:
    return Node(name, f"host-{name}", "10.0.0.1", cpus, gpus)


def level(tenant: str = "alice", search: str = "srch_1", engine_class: tuple[str, int] = CPU) -> LevelReport:
    return LevelReport(tenant, (search,), engine_class)


def engine(name: str, node_id: str = "", *levels: LevelReport, engine_class: tuple[str, int] = CPU) -> EngineReport:
    """An engine on a machine, or a starting one without."""
    gpus = 1.0 if engine_class == GPU else 0.0
    status: Any = "ready" if node_id else "starting"
    place = (status, f"host-{node_id}" if node_id else "", node_id)
    return EngineReport(name, engine_class, 0.95, gpus, *place, 1, AT, AT if node_id else None, None, levels)


def looked(watch: NodeWatch, *nodes: Node, engines: tuple[EngineReport, ...] = (), now_s: float = 0.0) -> Any:
    return watch.look(nodes, engines, AT, now_s)


def test_only_living_machines_are_read_from_what_ray_tells() -> None:
    told = {"NodeID": "a", "NodeManagerHostname": "h", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    assert living([told | {"Alive": True}, told | {"NodeID": "b", "Alive": False}]) == [
        Node("a", "h", "10.0.0.1", 2.0, 0.0)
    ]


def test_machines_found_at_the_first_look_did_not_join_and_later_ones_did() -> None:
    watch = NodeWatch()
    assert looked(watch, node("a")) == []
    assert list(watch.events) == []
    looked(watch, node("a"), node("b"))
    assert [(event.kind, event.node) for event in watch.events] == [("node_joined", "host-b")]


def test_a_lost_machine_names_the_searches_whose_levels_it_held_although_its_engines_went_first() -> None:
    watch = NodeWatch()
    busy = engine("engine-1", "b", level("alice", "srch_1"), level("bob", "srch_2"))
    looked(watch, node("a"), node("b"), engines=(busy, engine("engine-2", "a", level("carol", "srch_3"))))
    looked(watch, node("a"), node("b"), now_s=HELD_S - 1)
    [lost] = looked(watch, node("a"), now_s=HELD_S)
    assert (lost.node.id, set(lost.searches)) == ("b", {("alice", "srch_1"), ("bob", "srch_2")})
    assert looked(watch, node("a"), now_s=HELD_S + 1) == []


def test_a_search_that_left_a_machine_long_ago_is_not_told_of_its_end() -> None:
    watch = NodeWatch()
    looked(watch, node("a"), engines=(engine("engine-1", "a", level()),))
    looked(watch, node("a"), now_s=HELD_S + 1)
    [lost] = looked(watch, now_s=HELD_S + 2)
    assert lost.searches == ()


def test_a_lost_machine_is_shown_for_a_while_without_engines() -> None:
    watch = NodeWatch()
    report = PoolReport((engine("engine-1", "a"),))
    looked(watch, node("a"), engines=report.engines)
    looked(watch, engines=report.engines, now_s=1.0)
    [shown] = paint(watch, report, RULES)["nodes"]
    assert (shown["alive"], shown["lost_at"], shown["num_engines"]) == (False, AT, 0)
    looked(watch, now_s=1.0 + LOST_SHOWN_S + 1)
    assert watch.nodes == []


def test_a_machine_is_called_what_its_engines_call_it_also_when_they_have_gone() -> None:
    watch = NodeWatch()
    looked(watch, node("a"), engines=(replace(engine("engine-1", "a"), node="gpu-7"),))
    looked(watch, node("a"))
    assert [seen.node.name for seen in watch.nodes] == ["gpu-7"]


def test_the_picture_counts_what_machines_give_and_what_tenants_hold_and_await() -> None:
    watch = NodeWatch()
    engines = (engine("engine-1", "a", level("alice", "srch_1")), engine("engine-2", "a"))
    waiting = (level("alice", "srch_1"), level("alice", "srch_4"), level("bob", "srch_2"))
    looked(watch, node("a"), engines=engines)
    picture = paint(watch, PoolReport(engines, waiting), RULES)
    assert picture["nodes"][0]["cpus"] == {"total": 2.0, "used": 1.9}
    assert [own["tenants"] for own in picture["engines"]] == [{"alice": 1}, {}]
    assert picture["waiting"] == {"alice": 2, "bob": 1}
    assert picture["searches"]["srch_1/alice"] == {"running": 1, "waiting": 1}
    assert picture["limits"]["engines"] == {"cpu": {"min": 1, "max": 2}, "cuda": {"min": 0, "max": None}}
    assert (picture["limits"]["cpus"], picture["limits"]["gpus"]) == (None, 4.0)


def test_starting_engines_wait_for_a_machine_where_none_has_room_beside_the_others() -> None:
    there = engine("engine-1", "a")
    starting = [engine("engine-2"), engine("engine-3"), engine("engine-4", engine_class=GPU)]
    assert without_node([there, *starting], [node("a")]) == starting[1:]
    assert without_node([there, *starting], [node("a"), node("b", 2.0, 1.0)]) == []
    assert without_node(starting, []) == starting
    assert without_node(starting[:1], [node("head", 0.0)]) == starting[:1]


def test_two_halves_of_a_machine_on_two_machines_are_no_machine() -> None:
    wide = replace(engine("engine-3", engine_class=("cpu", 2)), cpus=1.95)
    others = [engine("engine-1", "a"), engine("engine-2", "b")]
    assert without_node([*others, wide], [node("a"), node("b")]) == [wide]


def test_only_searches_that_wait_for_an_engine_of_this_class_are_concerned() -> None:
    waiting = (level("bob", "srch_2", GPU), level("alice", "srch_1"), level("bob", "srch_2", GPU))
    assert waiting_searches(PoolReport((), waiting), GPU) == [("bob", "srch_2")]


def test_the_last_events_of_all_sources_are_shown_in_order() -> None:
    events = [ClusterEvent(f"2026-11-22T09:10:{second:02d}.000Z", "engine_ready", "a") for second in range(60)]
    shown = latest(events[::2], events[1::2])
    assert [one["at"] for one in shown] == [event.at for event in events[-MAX_EVENTS:]]


def test_the_pool_reports_engines_with_what_they_hold_and_since_when_they_are_idle() -> None:
    idle = EngineSlot("engine-1", CPU, None, 0.95, is_ready=True, node="vm", node_id="a", idle_since_s=70.0)
    busy = EngineSlot("engine-2", CPU, None, 0.95, is_ready=True, is_leaving=True, node="vm", node_id="a")
    job = Job(Order("alice", "srch_1", "lin", "0" * 64, 1, "{}", "cpu", 1, 100), "1", {"srch_2", "srch_1"})
    busy.take(job)
    starting = EngineSlot("engine-3", GPU, None, 0.95, 1.0)
    report = report_of_pool([idle, busy, starting], [job], [], {"cpu": 1, "cuda": 128}, now_s=100.0)
    assert [own.status for own in report.engines] == ["ready", "leaving", "starting"]
    assert [own.idle_since is None for own in report.engines] == [False, True, True]
    assert [own.num_slots for own in report.engines] == [1, 1, 128]
    assert report.engines[1].levels == report.waiting
    assert report.waiting[0].names == [("alice", "srch_1"), ("alice", "srch_2")]
