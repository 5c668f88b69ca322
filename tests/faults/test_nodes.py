"""Nodes of a Ray cluster come and go under a search: it ends once, everywhere it may, with the undisturbed masks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import computed_alone
from tests.support.deployment import Deployment
from tests.support.invariants import assert_each_search_ended_once, assert_no_level_twice, starts_by_node
from tests.support.ray_nodes import RayNode

NOTICE = timedelta(seconds=2)
"""So long after a node was told to go a level may still begin there."""
NUM_CONTROLS = 3
NUM_LEVELS = 3


def search_of(replicates: list[int], steps: int = 15_000) -> dict[str, Any]:
    """A search of four lineages a replicate, three pruned levels deep."""
    return {
        "spec": {
            "model": {"name": "mlp", "sizes": [64, 48, 10]},
            "dataset": {"name": "digits"},
            "train": {"steps": steps, "eval_every": 1500},
            "prune": {"levels": NUM_LEVELS, "fraction": 0.4},
            "replicates": replicates,
            "treatments": ["random_reinit", "random_mask", "shuffled_mask"],
        }
    }


@pytest.mark.parametrize(
    ("replicates", "steps"),
    [
        pytest.param([1, 2, 3], 25_000, id="12-lineages"),
        pytest.param(list(range(10, 20)), 6000, id="40-lineages", marks=pytest.mark.chaos),
    ],
)
def test_a_search_outlives_the_death_of_a_node_and_trains_on_one_that_joins(
    replicates: list[int], steps: int, deployment: Deployment, tmp_path: Path
) -> None:
    body = search_of(replicates, steps)
    with computed_alone(body, tmp_path) as alone:
        search = deployment.submit(body, key=f"killed-{replicates[0]}")
        deployment.until(search, lambda doc: doc["progress"]["levels_done"] >= len(replicates))
        deployment.nodes.kill(deployment.nodes.workers[0])
        [joined] = deployment.nodes.add()
        after = deployment.wait(search)
        assert after["status"] == "succeeded", json.dumps(after)[:2000]
        assert deployment.masks(search) == alone()

    assert_each_search_ended_once(deployment.objects, deployment.promised)
    assert len(deployment.pages(f"/v1/searches/{search}/lineages")) == (1 + NUM_CONTROLS) * len(replicates)
    events = deployment.pages(f"/v1/searches/{search}/events")
    assert_no_level_twice(events)
    starts = starts_by_node(events)
    assert joined.name in starts, starts
    assert len(starts) >= 3, starts


def test_a_draining_node_ends_its_levels_and_begins_none(deployment: Deployment, tmp_path: Path) -> None:
    body = search_of([4, 5])
    with computed_alone(body, tmp_path) as alone:
        search = deployment.submit(body, key="drained")
        leaving = node_in_use(deployment, search)
        told_at = datetime.now(UTC)
        leaving.drain()
        deployment.nodes.add()
        deployment.nodes.wait_until_gone(leaving)
        after = deployment.wait(search)
        assert after["status"] == "succeeded", json.dumps(after)[:2000]
        assert deployment.masks(search) == alone()

    events = deployment.pages(f"/v1/searches/{search}/events")
    assert_no_level_twice(events)
    late = [
        event
        for event in events
        if event["type"] == "level.started"
        and event["data"]["node"] == leaving.name
        and datetime.fromisoformat(event["at"]) > told_at + NOTICE
    ]
    assert not late, late
    retries = [event["data"]["error"]["message"] for event in events if event["type"] == "lineage.retrying"]
    assert not [message for message in retries if "engine" in message], retries
    assert len(starts_by_node(events)) >= 3


def node_in_use(deployment: Deployment, search: str) -> RayNode:
    """Wait until levels are in training; return the node where one began last."""
    deployment.until(search, lambda doc: doc["progress"]["levels_done"] >= 2)
    names = starts_by_node(deployment.pages(f"/v1/searches/{search}/events"))
    return next(node for node in deployment.nodes.workers if node.name in names)
