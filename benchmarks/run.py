"""Runs every benchmark of one machine without a GPU: `make bench`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks import lr_too_high, overhead, status_polls
from benchmarks.engine import __main__ as engine


def main() -> None:
    """Run them one after the other; each writes its own result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open-lth", type=Path, help="a checkout of facebookresearch/open_lth")
    args = parser.parse_args()
    status_polls.main()
    overhead.measure_and_keep()
    lr_too_high.main()
    found = os.environ.get("LTH_TEST_DATA")
    data = [] if found is None else ["--root", found]
    rival = [] if args.open_lth is None else ["--open-lth", str(args.open_lth)]
    engine.main(["cpu", "--jax", *data, *rival])
    engine.main(["equivalence", *data])


if __name__ == "__main__":
    main()
