"""Claim: what is not training costs a search under 5 percent of its time, and its first level begins within 10 seconds.

A search of one lineage, whose levels take 20 seconds and more, runs through REST on a service with one engine, and the
same search as `python -m lth_core.run`, which has no Ray, no Tune, no index and no leases; in turn, round after round.
Compared is the time from the first level's start to the last level's commit: with one lineage there is nothing to hide
behind, so every wait for a trial, an order, a blob or a commit counts. `--steps` sets how long levels are.

    python -m benchmarks.overhead
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.result import write_result
from tests.support.stack import Stack, running_stack

MOST = 0.05
MOST_FIRST_S = 10.0
SHORTEST_LEVEL_S = 20.0


def body_of(steps: int, replicate: int) -> dict[str, Any]:
    """The search: one ticket chain of three levels on digits."""
    return {
        "spec": {
            "model": {"name": "lenet_300_100"},
            "dataset": {"name": "digits"},
            "train": {"steps": steps, "eval_every": 1000},
            "prune": {"levels": 2},
            "replicates": [replicate],
            "treatments": [],
        }
    }


@dataclass(frozen=True)
class Span:
    """From the first level's start to the last level's commit, seconds since the epoch, and the shortest level."""

    began_s: float
    ended_s: float
    shortest_s: float

    @property
    def took_s(self) -> float:
        """Its length."""
        return self.ended_s - self.began_s


def span_of(manifests: Iterable[Path]) -> Span:
    """Read the span of some levels out of their manifests."""
    times = []
    for path in manifests:
        manifest = json.loads(path.read_bytes())
        times.append([datetime.fromisoformat(manifest[name]).timestamp() for name in ("started_at", "committed_at")])
    return Span(
        min(began for began, _ in times), max(ended for _, ended in times), min(ended - began for began, ended in times)
    )


def through_rest(stack: Stack, body: dict[str, Any]) -> tuple[Span, float]:
    """Run a search on a warm service; return its span, and the seconds from its POST to its first level."""
    posted_s = time.time()
    search = stack.submit(body)
    assert stack.wait(search, timeout_s=1800)["status"] == "succeeded"
    keys = {row[name] for row in stack.pages(f"/v1/searches/{search}/lineages") for name in ("key", "dense_key")}
    names = [key.removeprefix("sha256:") for key in keys]
    span = span_of(path for name in names for path in stack.objects(f"lineages/local/{name}/L*.json"))
    return span, span.began_s - posted_s


def by_itself(folder: Path, body: dict[str, Any]) -> Span:
    """Run a search in one process without any service; return its span."""
    spec, out = folder / "spec.json", folder / "out"
    spec.write_text(json.dumps(body))
    command = [sys.executable, "-m", "lth_core.run", str(spec), "--out", str(out)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    return span_of(out.glob("lineages/local/*/L*.json"))


def measure(stack: Stack, folder: Path, steps: int, replicate: int) -> dict[str, float]:
    """Run one round: the same search by itself and through REST."""
    folder.mkdir()
    alone = by_itself(folder, body_of(steps, replicate))
    served, first_s = through_rest(stack, body_of(steps, replicate))
    return {
        "alone_s": round(alone.took_s, 3),
        "served_s": round(served.took_s, 3),
        "overhead": round(served.took_s / alone.took_s - 1, 4),
        "first_level_after_s": round(first_s, 3),
        "shortest_level_s": round(min(alone.shortest_s, served.shortest_s), 3),
    }


def measure_and_keep(steps: int = 100_000, num_rounds: int = 5) -> bool:
    """Measure, judge and keep the result; tells whether the claim holds."""
    with tempfile.TemporaryDirectory() as name, running_stack(Path(name) / "home", num_cpus="1") as stack:
        through_rest(stack, body_of(2000, 1000))  # from here on the service is warm
        rounds = [measure(stack, Path(name) / str(i), steps, i) for i in range(num_rounds)]
    overhead = statistics.median(one["overhead"] for one in rounds)
    first_s = statistics.median(one["first_level_after_s"] for one in rounds)
    gates = {
        "levels_are_long_enough": min(one["shortest_level_s"] for one in rounds) >= SHORTEST_LEVEL_S,
        "overhead": overhead < MOST,
        "first_level": first_s < MOST_FIRST_S,
    }
    numbers = {
        "median_overhead": overhead,
        "median_first_level_after_s": first_s,
        "steps": steps,
        "rounds": rounds,
        "gates": gates,
    }
    print(json.dumps(numbers, indent=1))
    print(write_result("overhead", __doc__.splitlines()[0], numbers))
    return all(gates.values())


def main() -> int:
    """Read the command line and measure; returns the exit status, 1 if the claim fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="optimizer steps of a level")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    return 0 if measure_and_keep(args.steps, args.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
