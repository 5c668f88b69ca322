"""Claim: Conv-2 tickets on CIFAR-10 beat their re-initialised controls at early stop at the lowest density.

Reduced for two CPU cores: four levels at fraction 0.5 (convolutions and output 0.25, the paper's ratio of half the
fully connected rate), three replicates, a few hundred steps instead of 20,000; recipe, batch and rate are the paper's.
The pictures are a JPEG copy of CIFAR-10, registered as the image folder `cifar10-jpeg`: accuracies are close to, not
equal to, those on the original pixels. The gate is the mean over replicates; each replicate is kept beside it.

    python -m benchmarks.conv2_search --data cifar10-jpeg.tar.gz
    python -m benchmarks.conv2_search --data FOLDER --every 5 --steps 150 --eval-every 50
    python -m benchmarks.conv2_search --url http://127.0.0.1:8420 --search srch_...
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.gates import Gate, Rows, leads
from benchmarks.searches import add_data, add_options, run
from lth_core.presets import PRESETS

DATA = "cifar10-jpeg"
FRACTION, CONV_FRACTION, OUTPUT_FRACTION = 0.5, 0.25, 0.25


def body_of(args: argparse.Namespace, home: list[str]) -> dict[str, Any]:
    """Register the pictures and return the paper's recipe with fewer steps and levels."""
    name = DATA if args.every == 1 else f"{DATA}-every-{args.every}"
    with tempfile.TemporaryDirectory() as folder:
        data = args.data.resolve() if args.every == 1 else thinned(args.data, args.every, Path(folder))
        add_data([name, "--from", str(data), *home])
    body = PRESETS["conv2-cifar10"]().model_dump(mode="json", exclude_defaults=True)
    spec = body["spec"]
    spec["dataset"]["name"] = name
    spec["train"].update(steps=args.steps, eval_every=args.eval_every)
    spec["prune"] = {
        "fraction": FRACTION,
        "conv_fraction": CONV_FRACTION,
        "output_fraction": OUTPUT_FRACTION,
        "levels": args.levels,
    }
    spec["replicates"] = args.replicates
    note = f"The paper's recipe but {args.steps} steps and {args.levels} levels at fraction {FRACTION}."
    return {**body, "name": f"conv2-cifar10-jpeg-{args.steps}", "note": note}


def thinned(data: Path, every: int, into: Path) -> Path:
    """Copy every n-th picture of each class of an image folder, in order of file names."""
    for source in sorted(path for path in data.glob("*/*") if path.is_dir()):
        target = into / source.relative_to(data)
        target.mkdir(parents=True)
        for picture in sorted(source.iterdir())[::every]:
            shutil.copy(picture, target / picture.name)
    return into


def gates_of(rows: Rows) -> dict[str, Gate]:
    """Judge the claim at the lowest density."""
    lowest = max(row["level"] for row in rows)
    values = leads(rows, lowest)
    return {
        "mean_ahead_of_reinit_at_the_lowest_density": Gate(
            fmean(values) > 0 if values else None,
            {"level": lowest, "mean": round(fmean(values), 6) if values else None, "replicates": values},
        )
    }


def main() -> None:
    """Run or fetch the search and keep its figures; exits 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder or tar archive: train/<class>/*.jpg, test/<class>/*.jpg")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture of each class; needs a folder")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--eval-every", type=int, default=100)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--replicates", type=int, default=3)
    add_options(parser)
    args = parser.parse_args()
    if args.search is None and args.data is None:
        parser.error("name --data to run a search, or --url and --search to judge one")
    if args.every > 1 and args.search is None and not args.data.is_dir():
        parser.error("--every needs --data to be a folder")
    status = run(
        args,
        name="conv2-cifar10-jpeg",
        claim=__doc__.splitlines()[0],
        paper_steps=20_000,
        prepare=lambda home: body_of(args, home),
        gates_of=gates_of,
        pictures="JPEG copy of CIFAR-10, lossy",
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
