"""The cluster as a tenant sees it, and the bounds of its engines as they are stored."""

from __future__ import annotations

import json

import pytest

from service.store.cluster import FRESH_S, LastSeen, SearchLine, cluster_document, nodes_document
from service.store.errors import UnknownFormat
from service.store.scale import Bounds, Scale

AT = "2026-11-22T09:10:11.042Z"
ENGINE = {"name": "engine-1", "device": "cuda", "status": "ready", "slots": 8, "tenants": {"alice": 2, "bob": 3}}
STARTING = {"name": "engine-2", "device": "cuda", "status": "starting", "slots": 8, "tenants": {}}
LEAVING = {"name": "engine-3", "device": "cuda", "status": "leaving", "slots": 8, "tenants": {"bob": 1}}
PICTURE = {
    "nodes": [{"id": "a", "name": "gpu-0"}],
    "engines": [ENGINE, STARTING, LEAVING],
    "waiting": {"alice": 1, "bob": 4, "carol": 2},
    "searches": {"srch_1/alice": {"running": 2, "waiting": 1}, "srch_2/bob": {"running": 4, "waiting": 4}},
    "limits": {"running_lineages": 64},
    "events": [{"kind": "engine_ready"}],
}
LINES = [SearchLine("srch_1", None, AT), SearchLine("srch_3", 4, None)]


def test_slots_of_engines_that_can_train_are_counted_and_only_ready_ones_are_free() -> None:
    seen = cluster_document(LastSeen(PICTURE, 1.0), "alice", [])
    assert seen["slots"] == {"total": 16, "taken": 6, "free": 3, "own": 2}
    assert [engine["slots"]["free"] for engine in seen["engines"]] == [3, 0, 0]


def test_a_tenant_sees_its_own_and_of_all_others_one_sum() -> None:
    seen = cluster_document(LastSeen(PICTURE, 1.0), "alice", LINES)
    assert seen["waiting"] == {"own": 1, "others": 6}
    assert seen["searches"] == [
        {"id": "srch_1", "queue_position": None, "levels_running": 2, "levels_waiting": 1, "eta": AT},
        {"id": "srch_3", "queue_position": 4, "levels_running": 0, "levels_waiting": 0, "eta": None},
    ]
    assert not {"bob", "carol", "srch_2"} & set(json.dumps(seen).replace('"', " ").split())


def test_an_old_picture_tells_when_and_what_happened_but_nothing_of_now() -> None:
    seen = cluster_document(LastSeen(PICTURE, FRESH_S + 1), "alice", LINES)
    assert (seen["reachable"], seen["engines"], seen["slots"]["total"]) == (False, [], 0)
    assert seen["waiting"] == {"own": 0, "others": 0}
    assert seen["at"]
    assert seen["events"] == PICTURE["events"]
    nodes = nodes_document(LastSeen(PICTURE, FRESH_S + 1))
    assert (nodes["reachable"], nodes["data"]) == (False, [])
    assert nodes_document(LastSeen(PICTURE, 0.0))["data"] == PICTURE["nodes"]


def test_a_cluster_that_was_never_seen_is_an_answer() -> None:
    seen = cluster_document(LastSeen({}), "alice", [])
    assert (seen["reachable"], seen["at"], seen["limits"]) == (False, None, None)


def test_bounds_are_read_back_as_they_were_stored_and_a_later_format_is_refused() -> None:
    scale = Scale(7, AT, {"cpu": Bounds(1, 4), "cuda": Bounds(0, None)})
    assert Scale.from_bytes(scale.to_bytes()) == scale
    with pytest.raises(UnknownFormat):
        Scale.from_bytes(scale.to_bytes().replace(b'"format":1', b'"format":2'))


def test_a_class_that_is_not_named_keeps_its_bounds() -> None:
    scale = Scale().changed({"cpu": Bounds(1, 4)}).changed({"cuda": Bounds(2, None)})
    assert (scale.of("cpu"), scale.of("cuda")) == (Bounds(1, 4), Bounds(2, None))
    assert Scale().says_the_same_as(scale.changed({"cpu": Bounds(), "cuda": Bounds()}))
