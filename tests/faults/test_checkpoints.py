"""The death of an engine in the middle of long levels costs seconds of them: another goes on from their checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lth_core.engines.checkpoint import Checkpoint
from tests.faults.conftest import mask_digests
from tests.support.stack import Stack, running_stack

ALONE: dict[str, Any] = {
    "spec": {
        "model": {"name": "mlp", "sizes": [64, 300, 100, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": 30_000, "eval_every": 500},
        "prune": {"levels": 1, "fraction": 0.4},
        "replicates": [0],
        "treatments": [],
    }
}
FULL_PACK: dict[str, Any] = {
    "spec": {
        **ALONE["spec"],
        "model": {"name": "mlp", "sizes": [64, 48, 10]},
        "train": {"steps": 2000, "eval_every": 500},
        "replicates": [0, 1, 2, 3],
    },
    "resources": {"engine": "pack"},
}


def kept_steps(stack: Stack) -> list[int]:
    """Return how far the levels in training were when they were last written."""
    paths = (stack.home / "objects" / "scratch").glob("checkpoints/local/*/L000.*.safetensors")
    return [Checkpoint.from_bytes(path.read_bytes()).step for path in paths]


def until_kept(stack: Stack, num: int, beyond: int) -> int:
    """Wait for checkpoints of so many levels beyond a step; return the earliest of their steps."""
    deadline = time.monotonic() + 120
    while len(found := kept_steps(stack)) < num or min(found) <= beyond:
        assert time.monotonic() < deadline, f"no {num} checkpoints beyond {beyond}: {found}"
        time.sleep(0.05)
    return min(found)


@pytest.mark.parametrize(("search", "slots"), [(ALONE, 1), (FULL_PACK, 4)], ids=["alone", "full pack"])
def test_levels_go_on_where_their_killed_engine_had_last_written_and_end_with_the_same_masks(
    search: dict[str, Any], slots: int, tmp_path: Path
) -> None:
    steps, replicates = search["spec"]["train"]["steps"], search["spec"]["replicates"]
    with running_stack(tmp_path / "home", checkpoint_every_s="0.5", engine_slots=str(slots)) as stack:
        submitted = stack.submit(search, key="long")
        before = until_kept(stack, len(replicates), beyond=steps // 10)
        for engine in stack.processes("ray::", "Engine"):  # one of them trains
            engine.kill()
        assert stack.wait(submitted)["status"] == "succeeded"
        masks = stack.masks(submitted)
        dense = [json.loads(path.read_text()) for path in (stack.home / "objects").glob("lineages/*/*/L000.json")]
    assert [before <= manifest["provenance"]["resumed_at"] < steps for manifest in dense] == [True] * len(replicates)
    assert {manifest["engine"] for manifest in dense} == {"cpu" if slots == 1 else "pack"}

    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(search))
    command = [sys.executable, "-m", "lth_core.run", str(spec), "--out", str(tmp_path / "alone"), "--slots", "1"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    assert masks == mask_digests(tmp_path / "alone")
