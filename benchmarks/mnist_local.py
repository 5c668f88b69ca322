"""Claim: LeNet-300-100 on real MNIST finds winning tickets as the paper says, computed by one process, no service.

The search and the gates are those of `benchmarks.mnist_search`; this one needs no Ray, no Redis and no server. It is
the one command for a machine that has a GPU and little else: there, all chains and then all controls train in lockstep.

    python -m benchmarks.mnist_local --root DIR --device cuda
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.engine.data import read_mnist
from benchmarks.gates import Rows, as_members, by_level, tell
from benchmarks.mnist_gates import gates_of
from benchmarks.result import write_result
from lth_core.data import load
from lth_core.engines.choice import SLOTS_OF
from lth_core.local_search import LocalSearch
from lth_core.presets import PRESETS
from lth_core.run import describe
from lth_core.spec import Submission


def submission_of(args: argparse.Namespace) -> Submission:
    """Return the preset with the asked-for length and device."""
    body = PRESETS["lenet-mnist"]().model_dump(mode="json")
    body["spec"]["train"] |= {"steps": args.steps, "eval_every": min(args.steps, body["spec"]["train"]["eval_every"])}
    body["spec"]["prune"]["levels"] = args.levels
    body["spec"]["replicates"] = args.replicates
    resources = {"device": args.device, **({"engine": args.engine} if args.engine else {})}
    return Submission.model_validate_json(json.dumps({**body, "resources": resources}))


def row_of(core: dict[str, Any]) -> dict[str, Any]:
    """Return what the gates look at of a committed level."""
    metrics = core["metrics"]
    return {
        **{name: core[name] for name in ("treatment", "replicate", "repeat", "level", "density", "kept")},
        "mask_sha256": core["digests"]["mask"],
        **{name: metrics[name] for name in ("test_accuracy", "early_stop_step", "end_test_accuracy", "converged")},
    }


def main(argv: list[str] | None = None) -> int:
    """Search, judge and keep the figures; returns the exit status, 1 if a gate fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--out", type=Path, default=Path("lenet-mnist"), help="folder of the record; goes on with one")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--engine", choices=["reference", "pack"], help="default: the fastest of the device")
    parser.add_argument("--slots", type=int, help="levels trained at once")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--levels", type=int, default=20, choices=range(1, 21))
    parser.add_argument("--replicates", type=int, default=5)
    args = parser.parse_args(argv)
    arrays = read_mnist(args.root)
    if arrays is None:
        parser.error(f"--root: {args.root / 'MNIST' / 'raw'} holds no MNIST")
    submission = submission_of(args)
    info = describe("mnist", arrays)
    began_s = time.monotonic()
    data = load(info, arrays, device=args.device, normalisation=submission.spec.dataset.normalisation)
    num_slots = SLOTS_OF[args.device] if args.slots is None else args.slots
    search = LocalSearch(submission, info, data, args.out, num_slots=num_slots)
    rows: Rows = []
    for _, manifest in search.run():
        rows.append(row_of(manifest["core"]))
        print(f"{time.monotonic() - began_s:8.1f} s  {rows[-1]}", flush=True)
    gates = gates_of(rows)
    numbers = {
        "device": args.device,
        "slots": num_slots,
        "steps": args.steps,
        "wall_s": round(time.monotonic() - began_s, 1),
        "spec": submission.spec.model_dump(mode="json"),
        "gates": as_members(gates),
        "levels": by_level(rows),
        "results": search.results(),
        "rows": rows,
    }
    all_hold = tell(gates)
    print(write_result(f"lenet-mnist-{args.steps}-{args.device}-local", __doc__.splitlines()[0], numbers))
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
