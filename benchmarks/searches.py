"""What the benchmarks of whole searches share: a service of their own or a running one, figures, and the report."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.gates import Gate, Rows, as_members, by_level, tell
from benchmarks.result import RESULTS, write_result
from service.cli.analyses import write_report
from service.client import Client, Search
from tests.support.stack import running_stack

FORMS = ("markdown",)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how a finished search of a running service is judged instead of a new one."""
    parser.add_argument("--url", help="judge a search of this running service")
    parser.add_argument("--search", help="the search to judge, srch_...")
    parser.add_argument("--no-report", action="store_true", help="keep the figures without the report's files")


@contextlib.contextmanager
def finished_search(args: argparse.Namespace, prepare: Callable[[list[str]], dict[str, Any]]) -> Iterator[Search]:
    """Yield a finished search: the one that was named, or a new one in a service of its own.

    Args:
        args: `url` and `search`, both or neither.
        prepare: Registers data with a command line's last words, and returns the body to submit.
    """
    if (args.url is None) != (args.search is None):
        sys.exit("--url and --search go together")
    if args.url is not None:
        with Client(args.url) as client:
            search = client.search(args.search)
            if not search.is_terminal:
                sys.exit(f"{search.id} is {search.status}; it is judged when it has ended")
            yield search
        return
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "home") as stack:
        body = prepare(["--home", str(stack.home)])
        with Client(stack.url) as client:
            search = client.submit(body)
            print(search.id, "at", stack.url, flush=True)
            yield search.wait_for_end()


def run(
    args: argparse.Namespace,
    *,
    name: str,
    claim: str,
    paper_steps: int,
    prepare: Callable[[list[str]], dict[str, Any]],
    gates_of: Callable[[Rows], dict[str, Gate]],
    **more: Any,
) -> int:
    """Run or fetch a search, judge it, and keep figures, pictures and report.

    Args:
        args: The options of `add_options`.
        name: Of the result, without its number of steps.
        claim: What is claimed.
        paper_steps: Steps of a level in the paper's recipe, kept beside those that were run.
        prepare: As for `finished_search`.
        gates_of: Judges the rows.
        more: Further members of the result.

    Returns:
        The exit status: 0 if some gate could be judged and none failed.
    """
    with finished_search(args, prepare) as search:
        rows, spec = rows_of(search), search.document["spec"]
        steps = spec["train"]["steps"]
        files = keep_pictures(search, f"{name}-{steps}", report=not args.no_report)
    gates = gates_of(rows)
    numbers = {
        "status": search.status,
        "steps": steps,
        "steps_of_the_paper": paper_steps,
        **more,
        "wall_s": wall_s(search.document["status_at"], search.status),
        "usage": search.document.get("usage"),
        "spec": spec,
        "gates": as_members(gates),
        "levels": by_level(rows),
        "files": files,
        "rows": rows,
    }
    all_hold = tell(gates)
    print(write_result(f"{name}-{steps}", claim, numbers))
    return 0 if all_hold else 1


def wall_s(status_at: Mapping[str, str], end: str) -> float:
    """Return the seconds from a search's POST to its end."""
    began, ended = (datetime.fromisoformat(status_at[name]) for name in ("queued", end))
    return round((ended - began).total_seconds(), 1)


def add_data(words: Sequence[str]) -> None:
    """Register a data set, as `lth data add` does."""
    subprocess.run([sys.executable, "-m", "service.cli.main", "data", "add", *words], check=True)


def rows_of(search: Search) -> Rows:
    """Return one row per committed level of every lineage."""
    rows = []
    for lineage in search.lineages():
        for level in search.levels(lineage["id"]):
            if level["status"] != "committed":
                continue
            metrics = level["metrics"]
            rows.append(
                {
                    **{name: lineage[name] for name in ("treatment", "replicate", "repeat")},
                    **{name: level[name] for name in ("level", "density", "kept", "mask_sha256")},
                    **{name: metrics[name] for name in ("test_accuracy", "early_stop_step", "end_test_accuracy")},
                    "converged": metrics["converged"],
                }
            )
    return rows


def keep_pictures(search: Search, name: str, *, report: bool) -> list[str]:
    """Keep the plot of a search, and its report with figures in a folder of its own; return the files' names."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / f"{name}.png"
        words = ["plot", search.id, "-o", str(picture), "--url", search.client.transport.url]
        subprocess.run([sys.executable, "-m", "service.cli.main", *words], check=True)
        shutil.copy(picture, RESULTS / picture.name)
    kept = [RESULTS / f"{name}.png"]
    if report:
        for path in write_report(search, RESULTS / name, FORMS):
            if path.suffix == ".png":  # the page shows the drawings; the pictures say the same again
                path.unlink()
            else:
                kept.append(path)
    return [str(path.relative_to(RESULTS)) for path in kept]
