"""Searches computed in one process into a folder that is then opened as a record: no Redis, no server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_safetensors

from lth_core.canonical import canonical_json, sha256_hex
from lth_core.expansion import PlannedLineage
from lth_core.local_search import LocalSearch
from lth_core.spec import Submission
from lth_core.weights import to_safetensors
from service.settings import Settings
from service.store import clock, keys
from service.store.logbook import Draft
from service.store.objects import ObjectStore
from service.store.plans import Accepted
from service.store.record import Record
from tests.support.chains import TENANT, digits, digits_info, digits_tensors

NO_REDIS = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class StoredSearch:
    """A search in a folder of objects, read without the code under test.

    Attributes:
        folder: The objects.
        id: The search's id.
        lineages: Its lineages.
    """

    folder: Path
    id: str
    lineages: tuple[PlannedLineage, ...]

    def lineage(self, treatment: str, replicate: int = 0, setting: int = 0) -> PlannedLineage:
        """Return the first lineage of a treatment and replicate."""
        wanted = (treatment, replicate, setting)
        return next(
            own for own in self.lineages if (own.spec.treatment, own.spec.replicate, own.setting_index) == wanted
        )

    def manifest(self, lineage: PlannedLineage, level: int) -> dict[str, Any]:
        """Return a committed level's manifest."""
        path = self.folder / "lineages" / TENANT / lineage.key_of_level(level) / f"L{level:03d}.json"
        return dict(json.loads(path.read_bytes()))

    def weights(self, lineage: PlannedLineage, level: int, name: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return the stored `rewind` or `final` weights of a level."""
        return dict(load_safetensors(self._blob(self.manifest(lineage, level)["stored"][name]["sha256"])))

    def mask(self, lineage: PlannedLineage, level: int) -> dict[str, np.ndarray[Any, Any]]:
        """Return a level's mask, its bits read one tensor after the other."""
        core = self.manifest(lineage, level)["core"]
        raw = np.frombuffer(self._blob(core["digests"]["mask"]), np.uint8)
        bits, found, start = np.unpackbits(raw, bitorder="little").astype(bool), {}, 0
        for layer in core["layers"]:
            found[layer["name"]] = bits[start : start + layer["total"]].reshape(layer["shape"])
            start += layer["total"]
        return found

    def _blob(self, sha256: str) -> bytes:
        return (self.folder / "blobs" / TENANT / sha256).read_bytes()


@asynccontextmanager
async def open_folder(folder: Path) -> AsyncIterator[Record]:
    """Open a folder of objects as a record without an index."""
    objects = ObjectStore.from_url(f"file://{folder}")
    record = await Record.open(Settings(home=folder, redis_url=NO_REDIS), objects=objects, check=False)
    try:
        yield record
    finally:
        await record.close()


async def compute_into(
    folder: Path, submission: Submission, *, num_levels: int | None = None, status: str | None = "succeeded"
) -> StoredSearch:
    """Compute a search on digits and write its record into a folder.

    Args:
        folder: The object store.
        submission: What to compute.
        num_levels: Stop after so many levels of all lineages; None computes all.
        status: How the search ended; None leaves it open.

    Returns:
        The search.
    """
    search = LocalSearch(submission, digits_info(), digits_tensors(), folder)
    for done, _ in enumerate(search.run(), start=1):
        if done == num_levels:
            break
    at = datetime(2026, 11, 22, 9, tzinfo=UTC)
    accepted = Accepted(TENANT, search.id, at, "0" * 64, submission, digits_info(), "cpu", {"code": "test"})
    async with open_folder(folder) as record:
        await _register(record)
        await record.objects.put_if_absent(keys.spec(TENANT, search.id), accepted.to_bytes())
        if status is not None:
            await _end(record, search.id, search.results(), status)
    return StoredSearch(folder, search.id, search.planned)


async def _register(record: Record) -> None:
    info = digits_info()
    data = to_safetensors(digits().arrays())
    files = {"arrays.safetensors": {"sha256": sha256_hex(data), "size_bytes": len(data)}}
    manifest = {
        "format": 1,
        **info.model_dump(mode="json"),
        "files": files,
        "registered_at": clock.to_text(clock.now()),
    }
    await record.objects.put_if_absent(keys.dataset_file(info.name, info.digest, "arrays.safetensors"), data)
    key = keys.dataset_file(info.name, info.digest, "manifest.json")
    await record.objects.put_if_absent(key, canonical_json(manifest))


async def _end(record: Record, search: str, results: dict[str, Any], status: str) -> None:
    raw = canonical_json(results)
    await record.objects.put_if_absent(keys.results(TENANT, search, sha256_hex(raw)), raw)
    data = {"status": status, "reason": None, "results": sha256_hex(raw)}
    await record.logbook.append(TENANT, search, lambda _: Draft("terminal", "terminal:1", data, 1))
