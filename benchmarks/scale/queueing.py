"""Many lineages queued and none running: what a POST costs then, what the index holds, what a list and a start take."""

from __future__ import annotations

import statistics
import time
from typing import Any

import redis

from benchmarks.scale.cases import bodies, wait_for_data
from tests.support.deployment import Deployment

LEVELS = 2


def measure(lineages: int) -> dict[str, Any]:
    """Queue so many lineages in a service without a dispatcher; return the figures."""
    deployment = Deployment({"LTH_QUOTA_LIVE_SEARCHES": "100000"})
    try:
        deployment.start_api()
        dispatcher = deployment.start_dispatcher()
        wait_for_data(deployment)
        dispatcher.end()
        index = redis.Redis.from_url(deployment.settings.redis_url)
        empty_bytes = int(index.info("memory")["used_memory"])
        posts_s, searches = [], []
        for number, one in enumerate(bodies(lineages, LEVELS)):
            posted_s = time.monotonic()
            searches.append(deployment.submit(one, f"search-{number}"))
            posts_s.append(time.monotonic() - posted_s)
        full_bytes = int(index.info("memory")["used_memory"])
        index.close()
        lists_s = [_timed(deployment, "/v1/searches?limit=50") for _ in range(20)]
        statuses_s = [_timed(deployment, f"/v1/searches/{search}") for search in searches[:20]]
        objects = [path.stat().st_size for path in deployment.objects.rglob("*") if path.is_file()]
        return {
            "lineages": lineages,
            "searches": len(searches),
            "post_s": _spread(posts_s),
            "first_posts_s": _spread(posts_s[:5]),
            "last_posts_s": _spread(posts_s[-5:]),
            "list_s": _spread(lists_s),
            "status_s": _spread(statuses_s),
            "index_bytes_per_lineage": round((full_bytes - empty_bytes) / lineages),
            "objects": len(objects),
            "object_bytes": sum(objects),
        }
    finally:
        deployment.close()


def _timed(deployment: Deployment, path: str) -> float:
    began_s = time.monotonic()
    deployment.get(path)
    return time.monotonic() - began_s


def _spread(times_s: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times_s), 4), "most": round(max(times_s), 4)}
