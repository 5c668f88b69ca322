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
from lth_core.inputs import inputs_of, parent_of
from lth_core.keys import new_search_id
from lth_core.level import train_level
from lth_core.level_task import LevelTask, task_of
from lth_core.manifest import blobs_to_keep, build_manifest, complete_core
from lth_core.masks import unpack_mask
from lth_core.results import search_results
from lth_core.spec import Submission
from lth_core.starts import start_document
from lth_core.transfer import Ticket
from lth_core.treatments import Origin
from lth_core.weights import from_safetensors, weights_from_safetensors

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
        origin: The ticket that method transfer takes over, and what it is.

    Raises:
        SpecError: If the specification does not fit the data set or the ticket.
    """

    def __init__(
        self,
        submission: Submission,
        info: DatasetInfo,
        data: TensorData,
        out: Path,
        origin: tuple[Origin, Ticket] | None = None,
    ) -> None:
        spec = submission.spec
        device_class: DeviceClass = "cuda" if data.device.type == "cuda" else "cpu"
        found = None if origin is None else origin[0]
        self._ticket = None if origin is None else origin[1]
        fits(spec, info, found)
        self.planned = expand(
            spec,
            tenant=TENANT,
            dataset=info,
            resources=submission.resources,
            device_class=device_class,
            origin=found,
        )
        self._spec = spec
        self._data = data
        self._folder = Folder(out, TENANT)
        self._manifests: dict[tuple[str, int], Manifest] = {}
        self.diverged: list[tuple[PlannedLineage, int, NonFiniteError]] = []
        self.id = new_search_id(datetime.fromtimestamp(0, UTC), bytes.fromhex(spec.key)[:10])
        pin(submission.resources.threads)

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
        """Return a level's manifest, computing and committing it if needed; None where the lineage has ended."""
        key = lineage.key_of_level(level)
        places = [(place.key, place.level) for place in inputs_of(lineage, level).values()]
        parent = parent_of(lineage, level)
        if any(place not in self._manifests for place in [*places, *([parent] if parent else [])]):
            return None
        if parent is not None and level > lineage.first_level and self._manifests[parent]["core"]["collapsed"]:
            return None
        manifest = self._folder.manifest(key, level)
        if manifest is None:
            manifest = self._compute(lineage, level)
        self._manifests[key, level] = manifest
        return manifest

    def _compute(self, lineage: PlannedLineage, level: int) -> Manifest:
        started_at = _now()
        spec = lineage.spec
        result = train_level(self._task(lineage, level), self._data)
        parent = parent_of(lineage, level)
        takes_mask = lineage.source_key is not None and level > 0
        core = complete_core(
            result.core,
            key=lineage.key_of_level(level),
            parent=None if parent is None else self._manifests[parent]["core_sha256"],
            mask_from=self._manifests[str(lineage.source_key), level]["core_sha256"] if takes_mask else None,
        )
        stored = {name: self._folder.put_blob(blob) for name, blob in blobs_to_keep(result, spec).items()}
        manifest = build_manifest(
            core,
            stored,
            start=start_document(spec, level),
            epoch=0,
            attempt=1,
            search=self.id,
            started_at=started_at,
            committed_at=_now(),
            fingerprint=fingerprint(self._data.device, os.environ, engine=result.engine),
            engine=result.engine,
            code=CODE,
        )
        self._folder.put_manifest(manifest)
        return manifest

    def _task(self, lineage: PlannedLineage, level: int) -> LevelTask:
        """Return what a level starts from, out of the blobs that are committed."""
        tensors = lineage.spec.tensors()
        given: dict[str, Any] = {}
        for name, place in inputs_of(lineage, level).items():
            blob = self._folder.blob(self._manifests[place.key, place.level]["stored"][place.blob])
            if name == "mask":
                given[name] = unpack_mask(blob, tensors)
            elif name == "optimizer":
                given[name] = from_safetensors(blob)
            else:
                given[name] = weights_from_safetensors(blob, tensors)
        return task_of(lineage.spec, level, **given, origin=self._ticket)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
