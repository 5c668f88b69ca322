"""What the control plane sustains: `python -m benchmarks.scale`.

Engines are stand-ins whose levels take a fixed time and next to no processor, so that everything around them shows:
API, dispatcher, drivers, trials, pool, index, store and Ray, all of one machine. Measured are searches of 10, 100 and
1,000 lineages; the same work on more and more nodes (strong scaling) and as much per node (weak); 10,000 lineages that
wait. A model is fitted to some of it, checked against the rest, and asked what many GPUs would need.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, replace
from typing import Any

from benchmarks.result import write_result
from benchmarks.scale import plots, queueing
from benchmarks.scale.cases import Case, measure
from benchmarks.scale.model import Model, fit, needs

CLAIM = "What the control plane sustains, and a model of what many GPUs would need of it."
SIZES = tuple(Case(lineages, nodes=1, slots=8) for lineages in (10, 100, 1000))
NODES = (1, 2, 4, 8)
STRONG = Case(48, slots=2, level_s=2.0)
WEAK = Case(6, slots=2, level_s=2.0)
QUEUED = 10_000
GPUS = 1000
OUTLOOK = {
    "LeNet, 128 slots, levels of 16 s": (128, 16.0),
    "ResNet-20, 16 slots, levels of 160 s": (16, 160.0),
    "VGG-19, 4 slots, levels of 900 s": (4, 900.0),
}
"""Slots of a GPU and seconds of a level; goals of the engines on an H100, none of them measured."""


def run(sizes: tuple[Case, ...], nodes: tuple[int, ...], queued: int) -> dict[str, Any]:
    """Measure everything; return the figures."""
    rows = [_measured("size", case) for case in sizes]
    for number in nodes:
        rows.append(_measured("strong", replace(STRONG, nodes=number)))
        rows.append(_measured("weak", replace(WEAK, nodes=number, lineages=WEAK.lineages * number)))
    queue = queueing.measure(queued)
    print(queue, flush=True)
    return summary(rows, queue)


def summary(rows: list[dict[str, Any]], queue: dict[str, Any]) -> dict[str, Any]:
    """Return the figures with a model, how well it foretells them, and what it says of many GPUs.

    Every second case is left out of the fit, to see whether the model knows more than it was told.
    """
    model, cores = fit(rows[::2]), os.cpu_count() or 1
    return {
        "rows": rows,
        "queued": queue,
        "model": {**asdict(model), "most_levels_per_s": model.most_levels_per_s()},
        "checks": [_check(model, row, cores, fitted=place % 2 == 0) for place, row in enumerate(rows)],
        "gpus": GPUS,
        "outlook": {name: needs(model, GPUS, *each) for name, each in OUTLOOK.items()},
    }


def _measured(kind: str, case: Case) -> dict[str, Any]:
    row = {"kind": kind, **measure(case)}
    print(json.dumps(row), flush=True)
    return row


def _check(model: Model, row: dict[str, Any], cores: int, *, fitted: bool) -> dict[str, Any]:
    predicted_s, used_s = model.took_s(row, cores), sum(row["cpu_s"].values())
    return {
        "kind": row["kind"],
        "lineages": row["lineages"],
        "nodes": row["nodes"],
        "fitted": fitted,
        "took_s": row["took_s"],
        "predicted_s": round(predicted_s, 2),
        "cpu_s": round(used_s, 2),
        "predicted_cpu_s": round(model.cpu_s(row), 2),
        "ratio": round(predicted_s / row["took_s"], 3),
    }


def main() -> int:
    """Read the command line, measure, keep the result and draw it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that every piece runs")
    args = parser.parse_args()
    if args.smoke:
        numbers = run((Case(2, slots=2, level_s=0.2), Case(4, slots=2, level_s=0.2)), (1,), 20)
        print(json.dumps(numbers["checks"], indent=1))
        return 0
    numbers = run(SIZES, NODES, QUEUED)
    path = write_result("scale", CLAIM, numbers)
    print(path, plots.scaling(numbers["rows"], path.with_suffix(".png")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
