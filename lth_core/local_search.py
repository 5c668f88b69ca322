"""A whole search in one process: its lineages in order, one level after the other, each committed to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lth_core.canonical import canonical_json, sha256_hex
from lth_core.data import TensorData
from lth_core.determinism import pin
from lth_core.errors import NonFiniteError
from lth_core.expansion import DatasetInfo, DeviceClass, PlannedLineage, expand, fits
from lth_core.fingerprint import fingerprint
from lth_core.folder import Folder
from lth_core.keys import new_search_id
from lth_core.level import LevelTask, train_level
from lth_core.manifest import blobs_to_keep, build_manifest, complete_core
from lth_core.masks import Mask, unpack_mask
from lth_core.pruning import next_mask
from lth_core.results import search_results
from lth_core.spec import Submission
from lth_core.weights import Weights, weights_from_safetensors

TENANT = "local"
CODE = "lth_core.run"
Manifest = dict[str, Any]


class LocalSearch:
    """One search, its data and the folder its record goes to.

    Its id is a function of the specification: the same search in the same folder goes on where it ended.

    Args:
        submission: What to compute.
        info: The data set.
        data: The same, in memory.
        out: Folder of the record.
    """

    def __init__(self, submission: Submission, info: DatasetInfo, data: TensorData, out: Path) -> None:
        spec = submission.spec
        device_class: DeviceClass = "cuda" if data.device.type == "cuda" else "cpu"
        fits(spec, info)
        self.planned = expand(
            spec, tenant=TENANT, dataset=info, resources=submission.resources, device_class=device_class
        )
        self._spec = spec
        self._data = data
        self._folder = Folder(out, TENANT)
        self._manifests: dict[tuple[str, int], Manifest] = {}
        self.diverged: list[tuple[PlannedLineage, int, NonFiniteError]] = []
        self.id = new_search_id(datetime.fromtimestamp(0, UTC), bytes.fromhex(spec.key)[:10])
        pin(submission.resources.threads)
        self._fingerprint = fingerprint(data.device, os.environ)

    def run(self) -> Iterator[tuple[PlannedLineage, Manifest]]:
        """Compute what is missing, tickets before the controls that need their masks.

        A lineage whose training diverges ends there, is noted in `diverged`, and the others go on.

        Yields:
            Every level with its manifest, also those that were committed before.
        """
        for lineage in self.planned:
            for level in range(lineage.first_level, lineage.first_level + lineage.num_levels):
                try:
                    manifest = self._level(lineage, level)
                except NonFiniteError as error:
                    self.diverged.append((lineage, level, error))
                    break
                if manifest is None:
                    break
                yield lineage, manifest

    def results(self) -> dict[str, Any]:
        """Return figures and verdicts of what was computed, and write them to the folder by their digest."""
        cores: dict[str, dict[int, Any]] = {}
        for (key, level), manifest in self._manifests.items():
            cores.setdefault(key, {})[level] = manifest["core"]
        results = search_results(self._spec, self.planned, cores)
        data = canonical_json(results)
        self._folder.put(f"searches/{TENANT}/{self.id}/results/{sha256_hex(data)}.json", data)
        return results

    def _level(self, lineage: PlannedLineage, level: int) -> Manifest | None:
        """Return a level's manifest, computing and committing it if needed; None where the chain has ended."""
        key = lineage.key_of_level(level)
        source = self._manifests.get((lineage.source_key or lineage.key, level)) if level else None
        previous = self._manifests.get((lineage.key_of_level(level - 1), level - 1)) if level else None
        if lineage.source_key is not None and source is None:
            return None
        if level and lineage.source_key is None and (previous is None or previous["core"]["collapsed"]):
            return None
        manifest = self._folder.manifest(key, level)
        if manifest is None:
            manifest = self._compute(lineage, level, key, previous, source)
        self._manifests[key, level] = manifest
        return manifest

    def _compute(
        self,
        lineage: PlannedLineage,
        level: int,
        key: str,
        previous: Manifest | None,
        source: Manifest | None,
    ) -> Manifest:
        started_at = _now()
        spec = lineage.spec
        mask, rewind = (None, None) if level == 0 else (self._mask(lineage, level, source), self._rewind(lineage))
        result = train_level(LevelTask(spec, level, mask, rewind), self._data)
        core = complete_core(
            result.core,
            key=key,
            parent=None if previous is None else previous["core_sha256"],
            mask_from=None if lineage.source_key is None or source is None else source["core_sha256"],
        )
        stored = {name: self._folder.put_blob(blob) for name, blob in blobs_to_keep(result, spec).items()}
        manifest = build_manifest(
            core,
            stored,
            epoch=0,
            attempt=1,
            search=self.id,
            started_at=started_at,
            committed_at=_now(),
            fingerprint=self._fingerprint,
            code=CODE,
        )
        self._folder.put_manifest(manifest)
        return manifest

    def _mask(self, lineage: PlannedLineage, level: int, source: Manifest | None) -> Mask:
        """Return the ticket's mask at a level, from what is committed."""
        tensors = lineage.spec.tensors()
        if source is not None and lineage.source_key is not None:
            return unpack_mask(self._folder.blob(source["stored"]["mask"]), tensors)
        if level == 1:
            dense = self._manifests[lineage.dense_key, 0]
            final = weights_from_safetensors(self._folder.blob(dense["stored"]["final"]), tensors)
            return next_mask(lineage.spec, None, final)
        before = self._manifests[lineage.key, level - 1]
        return unpack_mask(self._folder.blob(before["stored"]["next_mask"]), tensors)

    def _rewind(self, lineage: PlannedLineage) -> Weights:
        dense = self._manifests[lineage.dense_key, 0]
        return weights_from_safetensors(self._folder.blob(dense["stored"]["rewind"]), lineage.spec.tensors())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
