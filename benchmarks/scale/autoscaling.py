"""Claim: the cluster grows from no worker to what the queue needs, shrinks to none, and shares slots by priority.

Ray's own autoscaler, with the provider that starts nodes on this machine, may start three nodes of one CPU. Two tenants
submit a search each, one at high priority and one at normal; both want more than there is. Kept are the time line of
nodes, engines and levels, as `GET /v1/cluster` tells it, and who had how much of the slots while both still waited.

    python -m benchmarks.scale.autoscaling
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.result import write_result
from tests.support.autoscaling import Autoscaling
from tests.support.deployment import Deployment
from tests.support.rest import TERMINAL

NODES = 3
SAMPLE_EVERY_S = 0.5
PATIENCE_S = 300.0
PRIORITIES = {"ada": "high", "bob": "normal"}
DOCUMENTED_SHARES = {"ada": 2 / 3, "bob": 1 / 3}
MARGIN = 0.1
"""How far a share may lie from the documented one: levels are few, and whole."""


@dataclass(frozen=True)
class Interval:
    """One level in a slot.

    Attributes:
        tenant: Whose.
        began_s: Seconds since the epoch.
        ended_s: When it was committed.
    """

    tenant: str
    began_s: float
    ended_s: float


class TimeLine:
    """Samples the cluster in a thread until it is told to stop."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self._ask = ask
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="time line")
        self.points: list[dict[str, Any]] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the points stay."""
        self._over.set()
        self._thread.join()

    @property
    def num_nodes(self) -> int:
        """Worker nodes seen last."""
        return int(self.points[-1]["nodes"]) if self.points else 0

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            nodes, cluster = self._ask("/v1/cluster/nodes"), self._ask("/v1/cluster")
            if nodes is None or cluster is None or not cluster["reachable"]:
                continue
            self.points.append(
                {
                    "at_s": time.time(),
                    "nodes": sum(bool(node["alive"] and node["cpus"]["total"]) for node in nodes["data"]),
                    "engines": sum(engine["status"] == "ready" for engine in cluster["engines"]),
                    "slots_taken": cluster["slots"]["taken"],
                    "waiting": cluster["waiting"]["own"] + cluster["waiting"]["others"],
                }
            )


def body(priority: str, replicates: int, steps: int) -> dict[str, Any]:
    """Return a search of so many lineages of four levels."""
    return {
        "priority": priority,
        "spec": {
            "model": {"name": "mlp", "sizes": [64, 48, 10]},
            "dataset": {"name": "digits"},
            "train": {"steps": steps, "eval_every": steps // 10},
            "prune": {"levels": 3, "fraction": 0.4},
            "replicates": list(range(replicates)),
            "treatments": [],
        },
    }


def intervals(objects: Path, tenants: Iterable[str]) -> list[Interval]:
    """Read out of the manifests when every level was in a slot."""
    found = []
    for tenant in tenants:
        for path in objects.glob(f"lineages/{tenant}/*/L*.json"):
            manifest = json.loads(path.read_bytes())
            began_s, ended_s = (datetime.fromisoformat(manifest[n]).timestamp() for n in ("started_at", "committed_at"))
            found.append(Interval(tenant, began_s, ended_s))
    return found


def shares(levels: list[Interval], num_slots: int) -> tuple[dict[str, float], float]:
    """Return each tenant's share of the time in slots while slots were short, and how long that was.

    Slots are short from the moment at which all are in use until the first tenant starts its last level.
    """
    tenants = sorted({level.tenant for level in levels})
    began_s = sorted(level.began_s for level in levels)[num_slots - 1]
    until_s = min(max(level.began_s for level in levels if level.tenant == tenant) for tenant in tenants)
    used_s = {
        tenant: sum(
            max(0.0, min(level.ended_s, until_s) - max(level.began_s, began_s))
            for level in levels
            if level.tenant == tenant
        )
        for tenant in tenants
    }
    total_s = sum(used_s.values())
    return {tenant: round(used / total_s, 3) for tenant, used in used_s.items()}, round(until_s - began_s, 1)


def make_key(deployment: Deployment, tenant: str) -> str:
    """Make an API key as an operator does."""
    command = [sys.executable, "-m", "service.cli.main", "keys", "create", "--tenant", tenant, "--json"]
    home = deployment.folder / deployment.apis[0].name
    done = subprocess.run([*command, "--home", str(home)], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


def measure(steps: int = 40_000, lineages: dict[str, int] | None = None) -> dict[str, Any]:
    """Run both searches on a cluster that begins without workers; return the time line, the shares and the verdict.

    Args:
        steps: Of a level.
        lineages: Of each tenant; enough that both want more slots than there are for most of the time.
    """
    wanted = lineages or {"ada": 12, "bob": 6}
    environ = {"LTH_CLUSTER_CPUS": str(NODES), "LTH_ENGINE_IDLE_S": "4"}
    deployment = Deployment(environ, autoscaling=Autoscaling(most=NODES))
    try:
        deployment.start_api()
        deployment.start_dispatcher()
        headers = {tenant: {"Authorization": f"Bearer {make_key(deployment, tenant)}"} for tenant in PRIORITIES}

        def ask(path: str, tenant: str = "ada") -> Any:
            answer = deployment.request("GET", path, headers=headers[tenant])
            return answer.json() if answer.status == 200 else None

        line = TimeLine(ask)
        line.start()
        try:
            _until(lambda: bool(line.points), "a first sight of the cluster")
            nodes_before = line.num_nodes
            posted_s = time.time()
            searches = {}
            for tenant, priority in PRIORITIES.items():
                one = body(priority, wanted[tenant], steps)
                answer = deployment.request("POST", "/v1/searches", one, headers[tenant])
                assert answer.status == 202, answer.body
                searches[tenant] = answer.json()["id"]

            def status(tenant: str) -> str:
                found = ask(f"/v1/searches/{searches[tenant]}", tenant)
                return str(found["status"]) if found else ""

            _until(lambda: all(status(tenant) in TERMINAL for tenant in searches), "the end of both searches")
            ended_s = time.time()
            statuses = {tenant: status(tenant) for tenant in searches}
            _until(lambda: line.num_nodes == 0, "a cluster without workers")
        finally:
            line.stop()
        levels = intervals(deployment.objects, searches)
    finally:
        deployment.close()
    found, short_s = shares(levels, NODES)
    points = [{**point, "at_s": round(point["at_s"] - posted_s, 1)} for point in line.points]
    return {
        "steps": steps,
        "lineages": wanted,
        "priorities": PRIORITIES,
        "statuses": statuses,
        "levels": {tenant: sum(level.tenant == tenant for level in levels) for tenant in searches},
        "first_node_after_s": next(point["at_s"] for point in points if point["nodes"] and point["at_s"] > 0),
        "all_nodes_after_s": next((point["at_s"] for point in points if point["nodes"] == NODES), None),
        "first_level_after_s": round(min(level.began_s for level in levels) - posted_s, 1),
        "ended_after_s": round(ended_s - posted_s, 1),
        "no_node_after_s": points[-1]["at_s"],
        "shares": found,
        "shares_documented": DOCUMENTED_SHARES,
        "slots_short_for_s": short_s,
        "gates": {
            "no_worker_before": nodes_before == 0,
            "grew_to_what_was_needed": max(point["nodes"] for point in points) == NODES,
            "no_worker_after": points[-1]["nodes"] == 0,
            "all_succeeded": set(statuses.values()) == {"succeeded"},
            "shares": all(abs(found[tenant] - share) <= MARGIN for tenant, share in DOCUMENTED_SHARES.items()),
        },
        "time_line": points,
    }


def _until(reached: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"no sign of {what} in {PATIENCE_S:g} s")
        time.sleep(SAMPLE_EVERY_S)


def main() -> int:
    """Measure, keep and draw the result; returns the exit status, 1 if the claim fails."""
    from benchmarks.scale import plots

    numbers = measure()
    path = write_result("autoscaling", (__doc__ or "").splitlines()[0], numbers)
    print(json.dumps({name: value for name, value in numbers.items() if name != "time_line"}, indent=1))
    print(path, plots.time_line(numbers, path.with_suffix(".png")))
    return 0 if all(numbers["gates"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
