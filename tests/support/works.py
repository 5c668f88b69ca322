"""The works under test: a real dispatcher with its local Ray, a Valkey, a folder of objects, and ways to reach in."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from lth_core.canonical import sha256_hex
from lth_core.expansion import DatasetInfo
from lth_core.spec import Submission
from lth_core.weights import content_digest, to_safetensors
from service.local.processes import kill_tagged
from service.settings import Settings
from service.store.record import Record
from tests.support.processes import Server
from tests.support.valkey import start_valkey, stop_valkey
from workers.bridge import Bridge
from workers.ray_local import home_id

TENANT = "local"
TERMINAL = {"succeeded", "partial", "failed", "cancelled"}
DATASET = "blobs"


class Works:
    """Everything below the front, in a home of its own.

    Args:
        num_cpus: CPUs of the local Ray; 1 leaves room for one engine.
    """

    def __init__(self, num_cpus: int = 1) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lth-works-"))
        self.valkey = start_valkey()
        self._environ = {
            "HOME": str(self.home),
            "LTH_HOME": str(self.home),
            "LTH_REDIS_URL": self.valkey.url,
            "LTH_STORE_URL": f"file://{self.home}/objects",
            "LTH_NUM_CPUS": str(num_cpus),
            "LTH_RUN": uuid.uuid4().hex,
        }
        (self.home / "objects").mkdir()
        self.settings = Settings(
            home=self.home, redis_url=self.valkey.url, store_url=self._environ["LTH_STORE_URL"], num_cpus=num_cpus
        )
        self._bridge = Bridge("test-record")
        self.record: Record = self._bridge.call(Record.open(self.settings))
        self._register()
        self.dispatcher = Server(
            [sys.executable, "-m", "workers.dispatcher"], self.home / "dispatcher.log", self._environ
        )
        self.dispatcher.start(lambda: True)

    def close(self) -> None:
        """End everything and remove the home."""
        self.dispatcher.stop()
        kill_tagged(f"LTH_RUN={self._environ['LTH_RUN']}")
        self._bridge.call(self.record.close())
        self._bridge.close()
        stop_valkey(self.valkey)
        shutil.rmtree(self.home, ignore_errors=True)

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine of the record."""
        return self._bridge.call(coroutine, timeout_s=60)

    def submit(self, spec: dict[str, Any] | None = None, **beside: Any) -> str:
        """Submit a small search; `spec` replaces members of its specification, keywords members beside it."""
        body = search_body(spec, **beside)
        submission = Submission.model_validate_json(json.dumps(body))
        key = uuid.uuid4().hex
        fingerprint = sha256_hex(key.encode())
        document, _ = self.call(self.record.submit(TENANT, submission, idempotency_key=key, fingerprint=fingerprint))
        return str(document["id"])

    def show(self, search: str) -> dict[str, Any]:
        """The search's document."""
        return dict(self.call(self.record.search(TENANT, search)))

    def until(self, search: str, reached: Callable[[dict[str, Any]], bool], timeout_s: float = 120) -> dict[str, Any]:
        """Look at a search until its document satisfies a condition."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            document = self.show(search)
            if reached(document):
                return document
            time.sleep(0.1)
        raise AssertionError(f"{search} did not get there in {timeout_s} s: {document}\n{self.log_tail()}")

    def wait(self, search: str, timeout_s: float = 120) -> dict[str, Any]:
        """Look at a search until it has ended."""
        return self.until(search, lambda document: document["status"] in TERMINAL, timeout_s)

    def lineages(self, search: str) -> list[dict[str, Any]]:
        """All lineages of a search."""
        page = self.call(self.record.lineages(TENANT, search, limit=200, after=None))
        return list(page.data)

    def manifests(self, key: str) -> dict[int, dict[str, Any]]:
        """Committed levels under a key, with or without its `sha256:`."""
        return dict(self.call(self.record.manifests(TENANT, key.removeprefix("sha256:"))))

    def masks(self, search: str) -> dict[tuple[int, str, int, int], str]:
        """Digest of every mask by replicate, treatment, repeat and level."""
        return {
            (lineage["replicate"], lineage["treatment"], lineage["repeat"], level): manifest["core"]["digests"]["mask"]
            for lineage in self.lineages(search)
            for level, manifest in self.manifests(lineage["key"]).items()
        }

    def processes(self, words: str) -> list[psutil.Process]:
        """Living processes of this run whose command line or title holds the words."""
        tag = ("LTH_CLUSTER", home_id(self.home))
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                if words in " ".join(process.info["cmdline"] or []) and process.environ().get(tag[0]) == tag[1]:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self, words: str) -> int:
        """SIGKILL the process that the words name; of several drivers the youngest only waits for a search."""
        deadline = time.monotonic() + 30
        while not (found := self.processes(words)):
            assert time.monotonic() < deadline, f"no process {words!r}"
            time.sleep(0.05)
        oldest = min(found, key=lambda process: process.create_time())
        oldest.kill()
        return oldest.pid

    def log_tail(self) -> str:
        """The last words of all processes."""
        logs = [self.home / "dispatcher.log", *(self.home / "logs").glob("*.log")]
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs if log.exists())

    def _register(self) -> None:
        arrays, info = blobs(), blobs_info()
        self.call(self.record.register_dataset(info, {"arrays.safetensors": to_safetensors(arrays)}))


def search_body(spec: dict[str, Any] | None = None, **beside: Any) -> dict[str, Any]:
    """Body of a small search; `spec` replaces members of its specification, keywords members beside it."""
    small = {
        "model": {"name": "mlp", "sizes": [16, 12, 3]},
        "dataset": {"name": DATASET},
        "train": {"steps": 60, "eval_every": 20, "batch_size": 20, "lr": 0.01},
        "prune": {"levels": 2},
        "replicates": [0],
    }
    return {"spec": {**small, **(spec or {})}, **beside}


def blobs_info() -> DatasetInfo:
    """What the data set of these tests is."""
    digest = content_digest(blobs())
    return DatasetInfo(name=DATASET, digest=digest, shape=(1, 4, 4), num_classes=3, num_train=240, num_test=60)


def blobs() -> dict[str, np.ndarray[Any, Any]]:
    """Noisy copies of one prototype image per class: easy to learn, quick to train on."""
    random = np.random.default_rng(7)
    prototypes = random.integers(0, 200, size=(3, 1, 4, 4))
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for part, num in (("train", 240), ("test", 60)):
        labels = np.arange(num, dtype=np.int64) % 3
        noise = random.integers(-60, 60, size=(num, 1, 4, 4))
        arrays[f"{part}_images"] = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels
    return arrays


@pytest.fixture(scope="session")
def works() -> Iterator[Works]:
    """One set of works for all tests of a run."""
    pytest.importorskip("ray")
    running = Works()
    yield running
    running.close()
