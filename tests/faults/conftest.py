"""One service for all faults, and the undisturbed masks to compare with."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Deployment, running_deployment
from tests.support.stack import Stack, running_stack

Masks = dict[tuple[str, int, int, int], str]

SEEDS = {
    "engine": [1, 2],
    "engine_host": [3, 4],
    "driver": [5, 6],
    "dispatcher": [7, 8],
    "api": [9, 10],
    "valkey": [11, 12],
}


def search_of(seeds: list[int]) -> dict[str, Any]:
    """A search of a few seconds: a small network on digits, two replicates with one control."""
    return {
        "spec": {
            "model": {"name": "mlp", "sizes": [64, 48, 10]},
            "dataset": {"name": "digits"},
            "train": {"steps": 14_000, "eval_every": 1400},
            "prune": {"levels": 4, "fraction": 0.4},
            "replicates": seeds,
            "treatments": ["random_reinit"],
        }
    }


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running service shared by the faults; each of them leaves it healthy."""
    with running_stack(tmp_path_factory.mktemp("faults") / "home", checkpoint_every_s="0.5") as stack:
        yield stack


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """The service on a Ray cluster of three nodes; tests leave as many as they find."""
    with running_deployment(num_nodes=3) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Masks]]:
    """Mask digests of all seeds, computed by one plain process without any service, beside the first tests."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with computed_alone(search_of([seed for seeds in SEEDS.values() for seed in seeds]), folder) as alone:
        yield alone


@contextmanager
def computed_alone(body: dict[str, Any], folder: Path) -> Iterator[Callable[[], Masks]]:
    """Compute a search in one plain process beside the test; calling what is yielded waits for its mask digests."""
    spec = folder / "spec.json"
    spec.write_text(json.dumps(body))
    command = [sys.executable, "-m", "lth_core.run", str(spec), "--out", str(folder / "out")]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ) as process:

        def masks() -> Masks:
            assert process.wait(240) == 0
            return mask_digests(folder / "out")

        try:
            yield masks
        finally:
            process.kill()


def mask_digests(store: Path) -> Masks:
    """Read the mask digest of every level in a folder that has the object store's layout."""
    found = {}
    for path in store.glob("lineages/*/*/L*.json"):
        manifest = json.loads(path.read_text())
        core, digest = manifest["core"], manifest["core"]["digests"]["mask"]
        blob = store / "blobs" / path.parts[-3] / digest
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == digest
        found[core["treatment"], core["replicate"], core["repeat"], core["level"]] = digest
    return found
