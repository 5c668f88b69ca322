"""Claim: LeNet-300-100 on real MNIST finds winning tickets as the paper says, by the gates below.

The ladder of kept weights is exact; the ticket is ahead of its re-initialised control on every replicate at densities
0.211 and 0.036; its mean lead at 0.211 lies between 0.1 and 0.9 percentage points; at 0.036 the mean accuracy is within
0.3 points of the dense network's; at level 20, density 0.012, the mean is below the dense network's: the cliff.

Runs the preset `lenet-mnist` through the REST API of a service of its own (`--root` is a folder with torchvision's
layout), or judges a finished search of a running service (`--url`, `--search`). The paper trains 50,000 steps a level;
`--steps` says how many were run, and the result does too. Gates of levels that were not run are not judged.

    python -m benchmarks.mnist_search --root DIR --steps 10000
    python -m benchmarks.mnist_search --url http://127.0.0.1:8420 --search srch_...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.searches import (
    Gate,
    Rows,
    add_data,
    add_options,
    leads,
    run,
)
from lth_core.presets import PRESETS

AT_0211, AT_0036, CLIFF = 7, 15, 20
LEAD_AT_0211 = (0.001, 0.009)
DENSE_BAND = 0.003
LADDER = (
    *(266200, 213060, 170538, 136511, 109282, 87490, 70051, 56094, 44923, 35981, 28823),
    *(23093, 18506, 14834, 11893, 9537, 7650, 6139, 4928, 3958, 3179),
)
"""Kept weights of levels 0 to 20: counts rounded per layer, 0.2 of the hidden and 0.1 of the output survivors."""


def body_of(args: argparse.Namespace, home: list[str]) -> dict[str, Any]:
    """Register MNIST and return the preset's body with the asked-for length."""
    add_data(["mnist", "--root", str(args.root.resolve()), *home])
    body = PRESETS["lenet-mnist"]().model_dump(mode="json", exclude_defaults=True)
    body["spec"]["train"]["steps"] = args.steps
    body["spec"]["prune"]["levels"] = args.levels
    body["spec"]["replicates"] = args.replicates
    return {**body, "name": f"lenet-mnist-{args.steps}"}


def gates_of(rows: Rows) -> dict[str, Gate]:
    """Judge every statement of the claim that the search has the levels for."""
    kept = {level: {row["kept"] for row in rows if row["level"] == level} for level in {row["level"] for row in rows}}
    wrong = {level: sorted(found) for level, found in kept.items() if found != {LADDER[level]}}
    gates = {"ladder_is_exact": Gate(not wrong, {"levels": len(kept), "wrong": wrong})}
    for level in (AT_0211, AT_0036):
        values = leads(rows, level)
        holds = all(value > 0 for value in values) if values else None
        gates[f"ahead_of_reinit_on_every_replicate_at_level_{level}"] = Gate(holds, values)
    low, high = LEAD_AT_0211
    lead = leads(rows, AT_0211)
    gates["mean_lead_in_band_at_level_7"] = Gate(low <= fmean(lead) <= high if lead else None, _mean(lead))
    gap = leads(rows, AT_0036, "dense")
    gates["within_dense_band_at_level_15"] = Gate(abs(fmean(gap)) <= DENSE_BAND if gap else None, _mean(gap))
    cliff = leads(rows, CLIFF, "dense")
    gates["below_dense_at_level_20"] = Gate(fmean(cliff) < 0 if cliff else None, _mean(cliff))
    return gates


def _mean(values: list[float]) -> float | None:
    return round(fmean(values), 6) if values else None


def main() -> None:
    """Run or fetch the search and keep its figures; exits 1 if a gate fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder that holds MNIST/raw")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--levels", type=int, default=20, choices=range(1, 21))
    parser.add_argument("--replicates", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    if args.search is None and args.root is None:
        parser.error("name --root to run a search, or --url and --search to judge one")
    status = run(
        args,
        name="lenet-mnist",
        claim=__doc__.splitlines()[0],
        paper_steps=50_000,
        prepare=lambda home: body_of(args, home),
        gates_of=gates_of,
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
