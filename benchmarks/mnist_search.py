"""Claim: on real MNIST every ticket beats its re-initialised control at density <= 0.17, and the mean does at 0.21.

Runs the preset `lenet-mnist` with 6,000 steps, 3 replicates and 12 levels through the REST API of a service of its own,
and keeps accuracies per replicate and level with the plot. Data: a folder with torchvision's layout, by `--root`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS, write_result
from tests.support.stack import Stack, running_stack

OVERRIDES: dict[str, Any] = {"steps": 6000, "levels": 12, "replicates": [0, 1, 2]}


def submission(stack: Stack) -> dict[str, Any]:
    """Return the preset's body with fewer steps, levels and replicates."""
    body: dict[str, Any] = stack.get("/v1/presets/lenet-mnist")
    body["spec"]["train"]["steps"] = OVERRIDES["steps"]
    body["spec"]["prune"]["levels"] = OVERRIDES["levels"]
    body["spec"]["replicates"] = OVERRIDES["replicates"]
    body["name"] = "lenet-mnist-6000"
    return body


def rows_of(stack: Stack, search: str) -> list[dict[str, Any]]:
    """Return one row per committed level of every lineage."""
    rows = []
    for lineage in stack.pages(f"/v1/searches/{search}/lineages"):
        for level in stack.pages(f"/v1/searches/{search}/lineages/{lineage['id']}/levels"):
            rows.append(
                {
                    "treatment": lineage["treatment"],
                    "replicate": lineage["replicate"],
                    "level": level["level"],
                    "density": level["density"],
                    "kept": level["kept"],
                    "test_accuracy": level["metrics"]["test_accuracy"],
                    "early_stop_step": level["metrics"]["early_stop_step"],
                    "mask_sha256": level["mask_sha256"],
                }
            )
    return rows


def gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, per level, density and the ticket's lead over its control for every replicate."""
    accuracy = {(row["treatment"], row["replicate"], row["level"]): row["test_accuracy"] for row in rows}
    found = []
    for level in range(1, OVERRIDES["levels"] + 1):
        lead = [
            round(accuracy["winning_ticket", seed, level] - accuracy["random_reinit", seed, level], 6)
            for seed in OVERRIDES["replicates"]
        ]
        density = next(row["density"] for row in rows if row["level"] == level)
        found.append({"level": level, "density": density, "lead": lead, "mean": round(sum(lead) / len(lead), 6)})
    return found


def judge(found: list[dict[str, Any]]) -> dict[str, bool]:
    """Return whether the two statements of the claim hold."""
    sparse = [gap for gap in found if gap["density"] <= 0.17]
    at_021 = [gap for gap in found if abs(gap["density"] - 0.2107) < 0.001]
    return {
        "every_replicate_ahead_at_0.17_and_below": all(lead > 0 for gap in sparse for lead in gap["lead"]),
        "mean_ahead_at_0.21": all(gap["mean"] > 0 for gap in at_021) and bool(at_021),
    }


def main() -> None:
    """Run the search and keep its figures; exits 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds MNIST/raw")
    root = parser.parse_args().root.resolve()
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "home") as stack:
        lth = [sys.executable, "-m", "service.cli.main"]
        home = ["--home", str(stack.home)]
        subprocess.run([*lth, "data", "add", "mnist", "--root", str(root), *home], check=True)
        begin = time.monotonic()
        search = stack.submit(submission(stack))
        done = stack.wait(search, timeout_s=7200)
        wall_s = round(time.monotonic() - begin, 1)
        rows = rows_of(stack, search)
        picture = Path(folder) / "plot.png"
        subprocess.run([*lth, "plot", search, "-o", str(picture), "--url", stack.url], check=True)
        RESULTS.mkdir(exist_ok=True)
        shutil.copy(picture, RESULTS / "lenet-mnist-6000.png")
    found = gaps(rows)
    verdict = judge(found)
    numbers = {"status": done["status"], "wall_s": wall_s, "spec": done["spec"], "gaps": found, **verdict, "rows": rows}
    print(*found, verdict, write_result("lenet-mnist-6000", __doc__.splitlines()[0], numbers), sep="\n")
    sys.exit(0 if all(verdict.values()) else 1)


if __name__ == "__main__":
    main()
