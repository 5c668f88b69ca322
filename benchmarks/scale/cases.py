"""One measurement: a service with so many nodes, so many lineages at once, and what came of it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from benchmarks.scale.costs import Costs
from benchmarks.scale.stand_in import LEVEL_S
from tests.support.deployment import Deployment

MOST_REPLICATES = 50
MOST_RATES = 5
PATIENCE_S = 900.0
GIB = 1024**3


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        lineages: In all.
        nodes: Ray nodes of one CPU, each with one engine.
        slots: Levels that an engine trains at once.
        level_s: How long a level takes.
        levels: Levels of a lineage, the dense one among them.
        at_once: Searches that run at once.
    """

    lineages: int
    nodes: int = 1
    slots: int = 8
    level_s: float = 1.0
    levels: int = 2
    at_once: int = 2

    @property
    def ideal_s(self) -> float:
        """How long it takes if nothing but the engines costs time."""
        rounds = -(-self.lineages // (self.nodes * self.slots))
        return rounds * self.levels * self.level_s


def bodies(lineages: int, levels: int) -> Iterator[dict[str, Any]]:
    """Yield searches that have so many lineages in all, each of them once.

    Raises:
        ValueError: If the number is above what one search takes and no multiple of the replicates that it takes.
    """
    if lineages > MOST_REPLICATES and lineages % MOST_REPLICATES:
        raise ValueError(f"lineages must be at most {MOST_REPLICATES} or a multiple of it, got {lineages}")
    first = 0
    while lineages > 0:
        num_rates = max(1, min(MOST_RATES, lineages // MOST_REPLICATES))
        num = min(MOST_REPLICATES, lineages)
        yield body(list(range(first, first + num)), levels, num_rates)
        lineages -= num * num_rates
        first += num


def body(replicates: list[int], levels: int, num_rates: int = 1) -> dict[str, Any]:
    """Return a search on the bundled digits whose levels are one step long, one chain per replicate and rate."""
    rates = [0.001 * (1 + i) for i in range(num_rates)]
    return {
        "spec": {
            "model": {"name": "mlp", "sizes": [64, 16, 10]},
            "dataset": {"name": "digits"},
            "train": {"steps": 1, "eval_every": 1, "lr": rates[0] if num_rates == 1 else {"grid": rates}},
            "prune": {"levels": levels - 1},
            "replicates": replicates,
            "treatments": [],
        }
    }


def wait_for_data(deployment: Deployment) -> None:
    """Return when the dispatcher has registered the bundled data set."""
    deadline_s = time.monotonic() + PATIENCE_S
    while deployment.request("GET", "/v1/datasets/digits").status != HTTPStatus.OK:
        assert time.monotonic() < deadline_s, deployment.log_tail()
        time.sleep(0.1)


@contextmanager
def deployed(case: Case) -> Iterator[Deployment]:
    """Run a service for a case, warm: every node has its engine."""
    environ = {LEVEL_S: str(case.level_s), "LTH_ENGINE_SLOTS": str(case.slots), "LTH_ENGINE_IDLE_S": "600"}
    environ |= {"LTH_MAX_DRIVERS": str(case.at_once), "LTH_QUOTA_RUNNING_LINEAGES": "100000"}
    environ |= {"LTH_QUOTA_LIVE_SEARCHES": "1000"}
    deployment = Deployment(environ, dispatcher="benchmarks.scale.dispatcher")
    try:
        deployment.start_api()
        deployment.nodes.add(case.nodes)
        deployment.start_dispatcher()
        wait_for_data(deployment)
        warm = [1_000_000 + number for number in range(case.nodes * case.slots)]
        deployment.wait(deployment.submit(body(warm[:MOST_REPLICATES], 2), "warm"), PATIENCE_S)
        yield deployment
    finally:
        deployment.close()


def measure(case: Case) -> dict[str, Any]:
    """Run a case; return its figures."""
    with deployed(case) as deployment:
        before = set(deployment.objects.glob("lineages/local/*/L*.json"))
        with Costs(deployment.tag, (deployment.index_pid,)) as costs, ThreadPoolExecutor(1) as pool:
            began_s = time.time()
            searches, posts_s = [], []
            for number, one in enumerate(bodies(case.lineages, case.levels)):
                posted_s = time.monotonic()
                searches.append(deployment.submit(one, f"search-{number}"))
                posts_s.append(time.monotonic() - posted_s)
            ends = list(pool.map(partial(deployment.wait, timeout_s=PATIENCE_S), searches))
            assert all(end["status"] == "succeeded" for end in ends), ends
        times = sorted(
            tuple(datetime.fromisoformat(json.loads(path.read_bytes())[name]).timestamp() for name in names)
            for path in set(deployment.objects.glob("lineages/local/*/L*.json")) - before
            for names in [("started_at", "committed_at")]
        )
        assert len(times) == case.lineages * case.levels
        took_s = max(committed_s for _, committed_s in times) - began_s
        return {
            **asdict(case),
            "searches": len(searches),
            "trials": costs.num_processes("trial"),
            "took_s": round(took_s, 2),
            "ideal_s": case.ideal_s,
            "lineages_per_s": round(case.lineages / took_s, 3),
            "levels_per_s": round(len(times) / took_s, 3),
            "levels_per_s_in_the_middle": _steady_rate([committed_s for _, committed_s in times]),
            "first_level_after_s": round(times[0][0] - began_s, 2),
            "median_post_s": round(statistics.median(posts_s), 4),
            "cpu_s": costs.cpu_s,
            "cpu_s_per_level": {role: round(s / len(times), 4) for role, s in costs.cpu_s.items()},
            "peak_gib": {role: round(held / GIB, 3) for role, held in sorted(costs.peak_bytes.items())},
            "peak_processes": dict(sorted(costs.peak_num.items())),
        }


def _steady_rate(committed_s: list[float]) -> float | None:
    """Levels per second between the first and the last tenth of all commits; None for a handful."""
    ordered = sorted(committed_s)
    edge = len(ordered) // 10
    if edge < 2:
        return None
    span_s = ordered[-edge] - ordered[edge]
    return round((len(ordered) - 2 * edge) / span_s, 3)
