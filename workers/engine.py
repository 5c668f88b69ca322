"""The engine process: an actor that holds one device, fetches what levels start from, trains, and stores."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import ray

from service.settings import Settings
from service.store import clock
from service.store.errors import ArtefactCorrupt, ObjectNotFound, RecordError, UnknownDataset
from workers.bridge import Bridge
from workers.engines.orders import Failure, Order, Reply, Trained

if TYPE_CHECKING:
    from lth_core.data import TensorData
    from lth_core.expansion import LineageSpec
    from lth_core.names import NormalisationKind
    from service.store.objects import ObjectStore

NUM_CACHED_DATASETS = 2
SPARE_THREADS = 3
"""Levels that may be stored while others train in all slots."""


class EngineProcess:
    """Trains the levels that the pool orders; every failure is an answer, never an exception.

    It must have no coroutine among its methods: Ray would then run all of them in event loops, one level at a time.

    torch is imported only after the number of threads stands in the environment.
    """

    def __init__(self, device: str, threads: int) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        from service.store.datasets import Datasets
        from service.store.index import Index
        from service.store.objects import ObjectStore
        from workers.engines.checkpoints import Checkpoints, environment_of
        from workers.engines.runner import EngineRunner
        from workers.engines.slotted import SlottedEngine

        settings = Settings()
        self._device = device
        self._node = settings.node_name or os.uname().nodename
        self._bridge = Bridge("objects")
        self._objects = ObjectStore.from_url(settings.store_url)
        self._datasets = Datasets(self._objects, Index(settings.redis_url), settings)
        self._engine = SlottedEngine("cuda" if device == "cuda" else "cpu", threads, settings.slots_of(device))
        self._checkpoints = Checkpoints(self._objects, self._bridge, environment_of(device, threads))
        self._runner = EngineRunner(self._engine, self._checkpoints.write, settings.checkpoint_every_s)
        self._data: OrderedDict[tuple[str, NormalisationKind], TensorData] = OrderedDict()
        self._loading = threading.Lock()
        self._beats = 0

    @ray.method(concurrency_group="control")
    def ready(self) -> dict[str, Any]:
        """Tell where the engine runs, once it can work."""
        node_id = ray.get_runtime_context().get_node_id()
        return {"node": self._node, "node_id": node_id, "pid": os.getpid(), "capacity": self._engine.capacity}

    @ray.method(concurrency_group="control")
    def progress(self) -> dict[str, Any]:
        """Steps done by slot, a count that grows whenever anything else moved on, and whether a pack is being built."""
        steps = dict(self._runner.progress())
        return {"steps": steps, "beats": self._beats, "preparing": self._engine.is_preparing}

    @ray.method(concurrency_group="control")
    def cancel(self, slot: str) -> None:
        """Stop a level at its next batch."""
        self._runner.cancel(slot)

    @ray.method(concurrency_group="train")
    def train(self, slot: str, order: Order) -> Reply:
        """Train one level and store what is kept of it.

        Args:
            slot: Name for progress and cancelling.
            order: The level.
        """
        started_at, begun_s = clock.to_text(clock.now()), time.monotonic()
        try:
            return self._train(slot, order, started_at, begun_s)
        except Exception as error:  # noqa: BLE001 - the edge: every failure becomes a classified answer
            return failure_of(error)
        finally:
            self._beats += 1

    def _train(self, slot: str, order: Order, started_at: str, begun_s: float) -> Trained:
        from workers.engines.level_io import fetch_task, store_result

        task = self._bridge.call(fetch_task(self._objects, order))
        data = self._dataset(task.lineage)
        self._beats += 1
        with self._checkpoints.of(slot, order) as checkpoint:
            result = self._runner.train(slot, task, data, checkpoint)
        self._beats += 1
        stored = self._bridge.call(store_result(self._objects, order, task.lineage, result))
        busy_s = time.monotonic() - begun_s
        fingerprint = self._runner.fingerprint(result.engine)
        own = result.engine, self._node, started_at, busy_s
        return Trained(result.core, stored, fingerprint, *own, resumed_at=result.resumed_at)

    def _dataset(self, lineage: LineageSpec) -> TensorData:
        """Return a lineage's data set on the device, the last few kept."""
        from lth_core.data import load
        from lth_core.expansion import DatasetInfo

        with self._loading:
            name, digest = lineage.dataset_name, lineage.dataset_digest
            held = digest, lineage.normalisation
            if held in self._data:
                self._data.move_to_end(held)
                return self._data[held]
            manifest = self._bridge.call(_manifest(self._objects, name, digest))
            info = DatasetInfo.model_validate({field: manifest[field] for field in DatasetInfo.model_fields})
            arrays = self._bridge.call(self._datasets.dataset_arrays(name, digest))
            self._data[held] = load(info, arrays, device=self._device, normalisation=lineage.normalisation)
            while len(self._data) > NUM_CACHED_DATASETS:
                self._data.popitem(last=False)
            return self._data[held]


async def _manifest(objects: ObjectStore, name: str, digest: str) -> dict[str, Any]:
    """Return the manifest of one version of a data set.

    Raises:
        UnknownDataset: If it is not registered.
    """
    from service.store.datasets import stored_manifests

    for manifest, _ in await stored_manifests(objects, name):
        if manifest["digest"] == digest:
            return manifest
    raise UnknownDataset(name)


def failure_of(error: Exception) -> Failure:
    """Classify what went wrong in an engine."""
    from lth_core.errors import LevelCancelled, NonFiniteError, UserError

    text = f"{type(error).__name__}: {error}"
    if isinstance(error, LevelCancelled):
        return Failure("cancelled", text, blamed=False, step=error.step)
    if isinstance(error, NonFiniteError):
        return Failure("nonfinite", str(error), step=error.step)
    if isinstance(error, UserError | UnknownDataset):
        return Failure("user", str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure("resource", text)
    if isinstance(error, RecordError) and not isinstance(error, ArtefactCorrupt | ObjectNotFound):
        return Failure("infra", text, blamed=False)
    return Failure("infra", text)


def engine_class(num_slots: int) -> Any:
    """Return the actor class of engines: each level in training has a thread that fetches, waits and stores."""
    remote: Any = ray.remote
    return remote(concurrency_groups={"control": 2, "train": num_slots + SPARE_THREADS})(EngineProcess)
