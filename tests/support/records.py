"""Records to test with: a small registered data set, small searches, and manifests of levels nobody trained."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lth_core.canonical import canonical_json, digest_of, sha256_hex
from lth_core.expansion import DatasetInfo, PlannedLineage
from lth_core.spec import Submission
from lth_core.weights import content_digest, to_safetensors
from service.settings import Settings
from service.store import clock
from service.store.documents import Document
from service.store.objects import ObjectStore
from service.store.record import Record
from service.store.work import SearchTruth

TENANT = "local"


def tiny_arrays(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a data set of 60 + 20 images of 1 x 4 x 4 in two classes."""
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for part, count in (("train", 60), ("test", 20)):
        arrays[f"{part}_images"] = random.integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.int64) % 2
    return arrays


def tiny_info(arrays: dict[str, np.ndarray[Any, Any]], name: str = "tiny") -> DatasetInfo:
    """What registration says of `tiny_arrays`."""
    digest = content_digest(arrays)
    return DatasetInfo(name=name, digest=digest, shape=(1, 4, 4), num_classes=2, num_train=60, num_test=20)


async def register_tiny(record: Record, name: str = "tiny", seed: int = 0) -> DatasetInfo:
    """Register the tiny data set under a name."""
    arrays = tiny_arrays(seed)
    info = tiny_info(arrays, name)
    await record.register_dataset(info, {"arrays.safetensors": to_safetensors(arrays)}, classes=["a", "b"])
    return info


def tiny_submission(**changes: Any) -> Submission:
    """A search of two replicates with one control each, two levels deep; keywords replace members of the body."""
    spec = {
        "model": {"name": "mlp", "sizes": [16, 8, 2]},
        "dataset": {"name": "tiny"},
        "train": {"steps": 20, "eval_every": 10, "batch_size": 10},
        "prune": {"levels": 2},
        "replicates": [0, 1],
    }
    spec.update(changes.pop("spec", {}))
    return Submission.model_validate({"spec": spec, **changes})


def fingerprint_of(submission: Submission) -> str:
    """The fingerprint that the API would send for a body."""
    return sha256_hex(b"POST /v1/searches\n" + canonical_json(submission.model_dump(mode="json")))


async def submit(record: Record, submission: Submission | None = None, key: str = "key-1") -> tuple[Document, bool]:
    """Submit a search of tenant `local` as the API does."""
    body = submission or tiny_submission()
    return await record.submit(TENANT, body, idempotency_key=key, fingerprint=fingerprint_of(body))


async def lead(record: Record) -> int:
    """Become the leader; return the epoch, which is 1 on a fresh store."""
    lease = await record.lead("test")
    assert lease is not None
    return lease.epoch


async def start(record: Record, submission: Submission | None = None) -> tuple[str, SearchTruth]:
    """Register the tiny data set, lead, submit a search and take it over with epoch 1."""
    await register_tiny(record)
    epoch = await lead(record)
    name = (await submit(record, submission))[0]["id"]
    await record.take_over(TENANT, name, epoch)
    return name, await record.load(TENANT, name)


async def manifest_of(
    objects: ObjectStore,
    search_id: str,
    lineage: PlannedLineage,
    level: int,
    *,
    epoch: int = 1,
    accuracy: float = 0.9,
    collapsed: bool = False,
    weights: bytes = b"weights",
) -> dict[str, Any]:
    """Put the blobs of a level that nobody trained, and return a manifest of the real shape around them."""
    prunable = sum(tensor.size for tensor in lineage.spec.tensors() if tensor.prunable)
    kept = prunable - level
    mask = bytes([255]) * ((prunable + 7) // 8 - 1) + bytes([level])
    blobs = {"mask": mask, "rewind": weights, "curves": b"{}\n"}
    refs = {name: await objects.put_blob(TENANT, data) for name, data in blobs.items()}
    media = {"mask": "application/vnd.lth.mask", "rewind": "application/x-safetensors", "curves": "application/jsonl"}
    layers = [
        {"name": own.name, "shape": list(own.shape), "kind": own.kind, "kept": own.size, "total": own.size}
        for own in lineage.spec.tensors()
        if own.prunable
    ]
    core = {
        "key": lineage.key_of_level(level),
        "level": level,
        "parent": None if level == 0 else "0" * 64,
        "mask_from": None,
        "treatment": lineage.spec.treatment,
        "replicate": lineage.spec.replicate,
        "repeat": lineage.spec.repeat,
        "layers": layers,
        "kept": kept,
        "prunable": prunable,
        "density": kept / prunable,
        "collapsed": collapsed,
        "digests": {"mask": refs["mask"].sha256, "next_mask": None, "rewind": sha256_hex(weights)},
        "metrics": {
            "early_stop_step": 10,
            "converged": True,
            "val_accuracy": accuracy,
            "test_accuracy": accuracy,
            "end_test_accuracy": None,
        },
        "rewind_step": 0,
    }
    stored = {
        name: {"sha256": ref.sha256, "size_bytes": ref.size_bytes, "media_type": media[name]}
        for name, ref in refs.items()
    }
    return {
        "format": 1,
        "core": core,
        "core_sha256": digest_of(core),
        "stored": stored,
        "epoch": epoch,
        "attempt": 1,
        "search": search_id,
        "started_at": clock.to_text(clock.now()),
        "committed_at": clock.to_text(clock.now()),
        "fingerprint": {"threads": 1},
        "fingerprint_sha256": digest_of({"threads": 1}),
        "engine": "reference",
        "provenance": {"code": "test"},
    }


async def commit(
    record: Record, search_id: str, lineage: PlannedLineage, level: int, *, epoch: int = 1, **changes: Any
) -> str:
    """Commit a level that nobody trained; return what became of it."""
    manifest = await manifest_of(record.objects, search_id, lineage, level, epoch=epoch, **changes)
    key = lineage.key_of_level(level)
    _, standing = await record.commit_level(TENANT, search_id, key, level, manifest, epoch)
    return standing


async def commit_all(record: Record, search_id: str, *, epoch: int = 1) -> None:
    """Commit every level of a search."""
    truth = await record.load(TENANT, search_id)
    for lineage in truth.lineages:
        for level in range(lineage.first_level, lineage.first_level + lineage.num_levels):
            await commit(record, search_id, lineage, level, epoch=epoch)


OpenRecord = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """Settings of an embedded service on the shared, emptied Valkey."""
    return Settings(home=tmp_path / "home", redis_url=redis_url)


@pytest.fixture
def open_record(settings: Settings, objects: ObjectStore) -> OpenRecord:
    """Opens records (`async with open_record() as record`) that all share one fresh store and one Valkey."""

    @asynccontextmanager
    async def open_one(**changes: Any) -> AsyncIterator[Record]:
        own = settings.model_copy(update=changes)
        record = await Record.open(own, objects=objects, check=False)
        try:
            yield record
        finally:
            await record.close()

    return open_one


@pytest.fixture
async def record(settings: Settings) -> AsyncIterator[Record]:
    """A record on a fresh memory store and the shared, emptied Valkey, with the tiny data set registered."""
    opened = await Record.open(settings, objects=ObjectStore.from_url("memory://"), check=False)
    try:
        await register_tiny(opened)
        yield opened
    finally:
        await opened.close()
