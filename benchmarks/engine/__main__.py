"""The command line of the engine benchmarks."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says in (("cpu", "all contestants on one core"), ("gpu", "all contestants on one GPU")):
        command = commands.add_parser(name, help=says)
        command.add_argument("--open-lth", type=Path, help="a checkout of facebookresearch/open_lth")
        command.add_argument("--jax", nargs="?", const="", help="take JAX along, run by this interpreter")
        command.add_argument("--root", type=Path, help="folder that holds MNIST/raw; without it data are made up")
        command.add_argument("--rounds", type=int, default=5)
        command.add_argument("--out", type=Path, default=RESULTS)
        command.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if name == "gpu" else "cpu")
        command.add_argument("--smoke", action="store_true", help="tiny sizes, to see that every piece runs")
        command.add_argument("--only", nargs="*", default=[], help="names of contestants")
        command.add_argument("--experiments", nargs="*", default=[], help="names of experiments")
    same = commands.add_parser("equivalence", help="tickets of the reference against those of an engine")
    same.add_argument("--root", type=Path)
    same.add_argument("--out", type=Path, default=RESULTS)
    same.add_argument("--engine", default="cpu", help="the engine that is judged")
    same.add_argument("--replicates", type=int, default=20)
    same.add_argument("--steps", type=int, default=500)
    same.add_argument("--levels", type=int, nargs="*", default=[0, 7, 14])
    same.add_argument("--bound", type=float, default=0.005, help="differences of accuracy below it count as equal")
    exact = commands.add_parser("exactness", help="first steps of reference and engine against double precision")
    exact.add_argument("--root", type=Path)
    exact.add_argument("--out", type=Path, default=RESULTS)
    exact.add_argument("--engine", default="cpu", help="the engine that is judged")
    exact.add_argument("--replicates", type=int, default=20)
    exact.add_argument("--levels", type=int, nargs="*", default=[0, 10, 20])
    report = commands.add_parser("report", help="tables and pictures of a result")
    report.add_argument("result", type=Path)
    report.add_argument("--page", type=Path, help="put the tables between this page's markers")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args = parse(argv)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from benchmarks.engine import equivalence, exactness, experiments, plots, report

    if args.command == "report":
        result = report.read(args.result)
        text = report.markdown(result)
        for path in plots.draw(result, args.result.parent, args.result.stem):
            print(path)
        if args.page is None:
            print(text)
        else:
            report.put(args.page, result["name"], text)
        return 0
    if args.command == "equivalence":
        path, same = equivalence.run(
            args.engine, args.root, args.out, args.replicates, args.steps, tuple(args.levels), args.bound
        )
        print(path)
        return 0 if same else 1
    if args.command == "exactness":
        path, same = exactness.run(args.engine, args.root, args.out, args.replicates, tuple(args.levels))
        print(path)
        return 0 if same else 1
    options = experiments.Options(
        open_lth=args.open_lth,
        jax=args.jax,
        root=args.root,
        rounds=args.rounds,
        out=args.out,
        device=args.device,
        smoke=args.smoke,
        only=tuple(args.only),
        wanted=tuple(args.experiments),
    )
    path = (experiments.on_a_cpu if args.command == "cpu" else experiments.on_a_gpu)(options)
    result = report.read(path)
    path.with_suffix(".md").write_text(report.markdown(result))
    for picture in plots.draw(result, path.parent, path.stem):
        print(picture)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
