"""`lth cluster` against real HTTP servers: what it shows, what it sends, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import cluster
from service.cli.main import app
from tests.support.scripted_service import Says, ScriptedService, problem, scripted_service

AT = "2026-11-22T09:10:11.042Z"
SLOTS = {"total": 8, "taken": 5, "free": 3, "own": 2}
ENGINE = {
    "name": "engine-1",
    "device": "cuda",
    "threads": 1,
    "status": "ready",
    "waits_for_node": False,
    "node": "gpu-0",
    "slots": SLOTS,
    "requested_at": AT,
    "ready_at": AT,
    "idle_since": None,
}
CLUSTER: dict[str, Any] = {
    "object": "cluster",
    "reachable": True,
    "at": AT,
    "slots": SLOTS,
    "waiting": {"own": 1, "others": 6},
    "engines": [ENGINE, ENGINE | {"name": "engine-2", "status": "starting", "waits_for_node": True, "node": None}],
    "searches": [{"id": "srch_1", "queue_position": 3, "levels_running": 0, "levels_waiting": 0, "eta": None}],
    "limits": None,
    "events": [
        {"at": AT, "kind": "engine_lost", "node": "gpu-0", "engine": "engine-0", "reason": "stuck"},
        {"at": AT, "kind": "node_lost", "node": "gpu-9", "engine": None, "reason": None},
    ],
}
NODE = {
    "id": "a",
    "name": "gpu-9",
    "address": "10.0.0.9",
    "alive": False,
    "since": AT,
    "lost_at": AT,
    "cpus": {"total": 8.0, "used": 0.0},
    "gpus": {"total": 1.0, "used": 0.0},
    "num_engines": 0,
}
NODES = {"object": "nodes", "reachable": True, "at": AT, "data": [NODE]}
UNSEEN = CLUSTER | {"reachable": False, "engines": [], "searches": [], "events": []}
SCALE = {
    "object": "scale",
    "revision": 2,
    "changed_at": AT,
    "cpu": {"min": 1, "max": 4},
    "cuda": {"min": 0, "max": None},
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedService]:
    """Public and admin listener in one."""
    with scripted_service() as one:
        one.on("GET", "/v1/cluster", Says(document=CLUSTER))
        one.on("GET", "/v1/cluster/nodes", Says(document=NODES))
        one.on("GET", "/admin/v1/scale", Says(document=SCALE))
        one.on("POST", "/admin/v1/scale", Says(document=SCALE))
        one.on("DELETE", "/admin/v1/scale", Says(204))
        monkeypatch.setenv("LTH_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("LTH_URL", one.url)
        monkeypatch.setenv("LTH_ADMIN_LISTEN", one.url.removeprefix("http://"))
        yield one


def lth(*words: str) -> Result:
    return CliRunner().invoke(app, ["cluster", *words])


def sent(service: ScriptedService) -> list[Any]:
    return [asked.json() for asked in service.asked_for("POST", "/admin/v1/scale")]


@pytest.mark.usefixtures("service")
def test_status_shows_slots_engines_machines_queue_and_events() -> None:
    result = lth("status")
    assert result.exit_code == 0, result.output
    shown = result.stdout
    for words in ("5 of 8 slots taken, 2 by you", "1 of your levels, 6 of others", "waits for a node", "gpu-9 lost"):
        assert words in shown
    assert "srch_1" in shown
    assert "stuck" in shown


@pytest.mark.usefixtures("service")
def test_status_as_json_is_one_document_with_the_machines() -> None:
    result = lth("status", "--json")
    assert json.loads(result.stdout) == CLUSTER | {"nodes": [NODE]}


def test_a_cluster_that_is_not_reachable_is_said_so_and_is_no_failure(service: ScriptedService) -> None:
    service.on("GET", "/v1/cluster", Says(document=UNSEEN))
    result = lth("status")
    assert result.exit_code == 0
    assert "not reachable; last seen" in result.stdout
    service.on("GET", "/v1/cluster", Says(document=UNSEEN | {"at": None}))
    assert "not seen within a day" in lth("status").stdout


def test_watching_prints_the_cluster_again_and_again_until_it_is_interrupted(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter(range(2))

    def pause(_: float) -> None:
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(cluster.time, "sleep", pause)
    result = lth("status", "--watch", "--json")
    assert result.exit_code == 130
    assert [json.loads(line)["at"] for line in result.stdout.splitlines()] == [AT] * 3
    assert len(service.asked_for("GET", "/v1/cluster")) == 3


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--cpu", "1:4"], {"cpu": {"min": 1, "max": 4}}),
        (["--cpu", "2:"], {"cpu": {"min": 2, "max": None}}),
        (["--cpu", ":0", "--cuda", "0:8"], {"cpu": {"min": 0, "max": 0}, "cuda": {"min": 0, "max": 8}}),
        (["--cuda", ":"], {"cuda": {"min": 0, "max": None}}),
    ],
)
def test_bounds_are_sent_for_the_classes_that_are_named(service: ScriptedService, words: list[str], body: Any) -> None:
    result = lth("scale", *words)
    assert result.exit_code == 0, result.output
    assert sent(service) == [body]
    assert ["cpu", "1", "4"] in [line.split() for line in result.stdout.splitlines()]


def test_without_options_the_bounds_are_shown_and_with_reset_taken_away(service: ScriptedService) -> None:
    assert json.loads(lth("scale", "--json").stdout) == SCALE
    assert (sent(service), service.asked_for("DELETE", "/admin/v1/scale")) == ([], [])
    assert lth("scale", "--reset").exit_code == 0
    assert len(service.asked_for("DELETE", "/admin/v1/scale")) == 1


@pytest.mark.parametrize("words", [["--cpu", "3"], ["--cpu", "a:b"], ["--cuda", "-1:2"], ["--reset", "--cpu", "1:2"]])
def test_what_are_no_bounds_is_a_usage_error_and_nothing_is_sent(service: ScriptedService, words: list[str]) -> None:
    assert lth("scale", *words).exit_code == 2
    assert service.asked == []


def test_bounds_that_the_service_refuses_are_a_refusal(service: ScriptedService) -> None:
    service.on("POST", "/admin/v1/scale", problem(422, "invalid_spec", "/cpu min must be <= max, got min 3 and max 2"))
    result = lth("scale", "--cpu", "3:2")
    assert result.exit_code == 2
    assert "min must be <= max" in result.stderr
