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
from typing import Any

from benchmarks.mnist_gates import gates_of
from benchmarks.searches import add_data, add_options, run
from lth_core.presets import PRESETS


def body_of(args: argparse.Namespace, home: list[str]) -> dict[str, Any]:
    """Register MNIST and return the preset's body with the asked-for length."""
    add_data(["mnist", "--root", str(args.root.resolve()), *home])
    body = PRESETS["lenet-mnist"]().model_dump(mode="json", exclude_defaults=True)
    body["spec"]["train"]["steps"] = args.steps
    body["spec"]["prune"]["levels"] = args.levels
    body["spec"]["replicates"] = args.replicates
    return {**body, "name": f"lenet-mnist-{args.steps}"}


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
