"""`lth cluster` with everything real: engines are seen, and their number obeys the operator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.cli.test_up import lth
from tests.support.stack import Stack, running_stack

SLOW = {
    "model": {"name": "mlp", "sizes": [64, 48, 10]},
    "dataset": {"name": "digits"},
    "train": {"steps": 1_000_000, "eval_every": 10_000},
    "prune": {"levels": 1},
    "replicates": 3,
    "treatments": [],
}
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service whose Ray believes in three CPUs, so that it has room for three engines."""
    with running_stack(tmp_path_factory.mktemp("cluster") / "home", num_cpus="3") as stack:
        yield stack


def status(stack: Stack) -> dict[str, Any]:
    """What `lth cluster status --json` prints."""
    result = lth(stack.home, "cluster", "status", "--json")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def until(stack: Stack, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for the cluster until it satisfies a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached(seen := stack.get("/v1/cluster")):
        assert time.monotonic() < deadline, seen
        time.sleep(0.25)
    return dict(seen)


def scale(stack: Stack, *words: str) -> None:
    result = lth(stack.home, "cluster", "scale", *words)
    assert result.returncode == 0, result.stderr


def ready(cluster: dict[str, Any]) -> list[str]:
    return [engine["name"] for engine in cluster["engines"] if engine["status"] == "ready"]


def test_an_engine_and_the_machine_it_runs_on_are_seen(stack: Stack) -> None:
    until(stack, lambda cluster: len(ready(cluster)) >= 1)
    seen = status(stack)
    assert seen["reachable"]
    [node] = seen["nodes"]
    assert (node["alive"], node["cpus"]["total"], node["num_engines"]) == (True, 3.0, len(ready(seen)))
    assert seen["slots"]["free"] == len(ready(seen))
    kinds = [event["kind"] for event in seen["events"]]
    assert kinds.index("engine_requested") < kinds.index("engine_ready")
    assert "engine-1" in lth(stack.home, "cluster", "status").stdout


def test_a_minimum_is_started_without_work_and_a_maximum_sends_idle_engines_home(stack: Stack) -> None:
    scale(stack, "--cpu", "3:3")
    until(stack, lambda cluster: len(ready(cluster)) == 3)
    scale(stack, "--cpu", "0:1")
    cluster = until(stack, lambda cluster: len(cluster["engines"]) == 1)
    assert cluster["limits"]["engines"]["cpu"] == {"min": 0, "max": 1}
    gone = [event for event in cluster["events"] if event["kind"] == "engine_idle"]
    assert [event["reason"] for event in gone] == ["above the maximum"] * 2
    assert not [event for event in cluster["events"] if event["kind"] == "engine_lost"]


def test_a_lower_maximum_waits_for_busy_engines_and_never_ends_one(stack: Stack) -> None:
    scale(stack, "--cpu", "0:2")
    search = stack.submit({"spec": SLOW})
    busy = until(stack, lambda cluster: cluster["slots"]["own"] == 2)
    assert busy["waiting"] == {"own": 1, "others": 0}
    assert [line["levels_running"] for line in busy["searches"]] == [2]
    scale(stack, "--cpu", "0:1")
    leaving = until(stack, lambda cluster: any(engine["status"] == "leaving" for engine in cluster["engines"]))
    assert (leaving["slots"]["own"], leaving["slots"]["free"]) == (2, 0)
    stack.request("POST", f"/v1/searches/{search}/cancel", {"mode": "kill"})
    stack.wait(search)
    cluster = until(stack, lambda cluster: len(cluster["engines"]) == 1)
    assert {engine["name"] for engine in cluster["engines"]} < {engine["name"] for engine in busy["engines"]}
    assert not [event for event in cluster["events"] if event["kind"] == "engine_lost"]


def test_a_maximum_of_none_starts_nothing_and_a_reset_lets_the_search_go_on(stack: Stack) -> None:
    scale(stack, "--cpu", "0:0")
    until(stack, lambda cluster: not cluster["engines"])
    search = stack.submit({"spec": SLOW | {"train": {"steps": 20, "eval_every": 10}}})
    held = until(stack, lambda cluster: cluster["waiting"]["own"] >= 1)
    assert held["engines"] == []
    scale(stack, "--reset")
    assert stack.wait(search)["status"] == "succeeded"


def test_bounds_refused_by_the_service_are_exit_code_2(stack: Stack) -> None:
    refused = lth(stack.home, "cluster", "scale", "--cpu", "3:2")
    assert refused.returncode == 2
    assert "min must be <= max, got min 3 and max 2" in refused.stderr
