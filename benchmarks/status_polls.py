"""Claim: while a search trains on every core, a status poll is answered in under 20 ms at the median.

Starts a service of its own, lets a search keep all engines busy, polls its status at a fixed rate (open loop, so a slow
answer does not spare the next ones) and keeps the quantiles.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.result import write_result
from tests.support.stack import Stack, running_stack

POLLS = 1000
RATE_HZ = 25.0
SEARCH: dict[str, Any] = {
    "spec": {
        "model": {"name": "lenet_300_100"},
        "dataset": {"name": "digits"},
        "train": {"steps": 200_000, "eval_every": 500},
        "prune": {"levels": 8},
        "replicates": 5,
        "treatments": [{"name": "random_reinit", "repeats": 2}],
    }
}


def poll(url: str, took_ms: list[float]) -> None:
    """Ask once and keep how long the answer took."""
    start = time.perf_counter()
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        answer.read()
    took_ms.append((time.perf_counter() - start) * 1000)


def measure(stack: Stack) -> list[float]:
    """Poll a training search and return the answer times in milliseconds, sorted."""
    search = stack.submit(SEARCH)
    stack.until(search, lambda doc: doc["counts"]["running"] >= 1)
    time.sleep(5)
    url = f"{stack.url}/v1/searches/{search}"
    took_ms: list[float] = []
    threads = []
    begin = time.monotonic()
    for i in range(POLLS):
        time.sleep(max(0.0, begin + i / RATE_HZ - time.monotonic()))
        threads.append(threading.Thread(target=poll, args=(url, took_ms)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert stack.get(f"/v1/searches/{search}")["status"] == "running"
    stack.request("POST", f"/v1/searches/{search}/cancel", {})
    stack.wait(search)
    return sorted(took_ms)


def main() -> None:
    """Measure and keep the result."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "home", rate_gets="100000") as stack:
        took = measure(stack)
    numbers = {
        "polls": len(took),
        "rate_hz": RATE_HZ,
        "lineages_in_document": 15,
        "p50_ms": round(statistics.median(took), 2),
        "p90_ms": round(took[int(0.9 * len(took))], 2),
        "p99_ms": round(took[int(0.99 * len(took))], 2),
        "max_ms": round(took[-1], 2),
    }
    print(numbers)
    print(write_result("status-polls", __doc__.splitlines()[0], numbers))


if __name__ == "__main__":
    main()
