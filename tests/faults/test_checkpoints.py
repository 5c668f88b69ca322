"""The death of an engine in the middle of a long level costs seconds of it: another goes on from the checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lth_core.engines.checkpoint import Checkpoint
from tests.faults.conftest import mask_digests
from tests.support.stack import Stack, running_stack

STEPS = 30_000
LONG: dict[str, Any] = {
    "spec": {
        "model": {"name": "mlp", "sizes": [64, 300, 100, 10]},
        "dataset": {"name": "digits"},
        "train": {"steps": STEPS, "eval_every": 500},
        "prune": {"levels": 1, "fraction": 0.4},
        "treatments": [],
    }
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A service whose levels are kept every half second."""
    with running_stack(tmp_path / "home", checkpoint_every_s="0.5") as stack:
        yield stack


def newest_checkpoint(stack: Stack) -> Checkpoint | None:
    """Return what was last written of a level in training."""
    paths = sorted((stack.home / "objects" / "scratch").glob("checkpoints/local/*/L*.safetensors"))
    return Checkpoint.from_bytes(paths[-1].read_bytes()) if paths else None


def until_kept(stack: Stack, beyond: int) -> int:
    """Wait for a checkpoint beyond a step; return its step."""
    deadline = time.monotonic() + 120
    while (kept := newest_checkpoint(stack)) is None or kept.step <= beyond:
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)
    return kept.step


def test_a_level_goes_on_where_its_killed_engine_had_last_written_and_ends_with_the_same_masks(
    stack: Stack, tmp_path: Path
) -> None:
    search = stack.submit(LONG, key="long")
    before = until_kept(stack, beyond=STEPS // 10)
    for engine in stack.processes("ray::", "Engine"):  # one of them trains
        engine.kill()

    assert stack.wait(search)["status"] == "succeeded"
    provenance = [
        json.loads(path.read_text())["provenance"] for path in (stack.home / "objects").glob("lineages/*/*/L000.json")
    ]
    assert [before <= found["resumed_at"] < STEPS for found in provenance] == [True]

    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(LONG))
    command = [sys.executable, "-m", "lth_core.run", str(spec), "--out", str(tmp_path / "alone")]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    assert stack.masks(search) == mask_digests(tmp_path / "alone")
