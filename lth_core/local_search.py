"""A whole search in one process: one level after the other, or many in lockstep, each committed to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
from lth_core.level import LevelResult
from lth_core.level_slots import Ended, LevelSlots
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
LevelPlace = tuple[str, int]
"""Key and number of a level."""


@dataclass
class _Walk:
    """How far a lineage is: the next level to be yielded."""

    lineage: PlannedLineage
    level: int
    has_ended: bool = False


@dataclass(frozen=True)
class _Begun:
    """A level in training."""

    lineage: PlannedLineage
    level: int
    place: LevelPlace
    started_at: str


class LocalSearch:
    """One search, its data and the folder its record goes to.

    Its id is a function of the specification: the same search in the same folder goes on where it ended.

    Args:
        submission: What to compute.
        info: The data set.
        data: The same, in memory.
        out: Folder of the record.
        origin: The ticket that method transfer takes over, and what it is.
        num_slots: Levels trained at once.

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
        *,
        num_slots: int = 1,
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
        self._slots = LevelSlots(num_slots)
        self._training: dict[str, _Begun] = {}
        self._failed: dict[LevelPlace, NonFiniteError] = {}
        self._manifests: dict[LevelPlace, Manifest] = {}
        self.diverged: list[tuple[PlannedLineage, int, NonFiniteError]] = []
        self.id = new_search_id(datetime.fromtimestamp(0, UTC), bytes.fromhex(spec.key)[:10])
        pin(submission.resources.threads)

    def run(self) -> Iterator[tuple[PlannedLineage, Manifest]]:
        """Compute what is missing, as many levels at once as there are slots.

        One slot works off lineage after lineage; several take up all chains before the controls that wait for them. A
        lineage whose training diverges ends there, is noted in `diverged`, and the others go on.

        Yields:
            Every level with its manifest, also those that were committed before.
        """
        order = list(self.planned)
        if self._slots.capacity > 1:
            order.sort(key=lambda lineage: lineage.source_key is not None)
        walks = [_Walk(lineage, lineage.first_level) for lineage in order]
        while True:
            for walk in walks:
                yield from self._go_on(walk)
            walks = [walk for walk in walks if not walk.has_ended]
            if not self._training:
                return
            self._slots.run()
            for ended in self._slots.collect():
                self._note(self._training.pop(ended.slot), ended)

    def results(self) -> dict[str, Any]:
        """Return figures and verdicts of what was computed, and write them to the folder by their digest."""
        cores: dict[str, dict[int, Any]] = {}
        for (key, level), manifest in self._manifests.items():
            cores.setdefault(key, {})[level] = manifest["core"]
        results = search_results(self._spec, self.planned, cores)
        data = canonical_json(results)
        self._folder.put(f"searches/{TENANT}/{self.id}/results/{sha256_hex(data)}.json", data)
        return results

    def _go_on(self, walk: _Walk) -> Iterator[tuple[PlannedLineage, Manifest]]:
        """Yield the levels of a lineage that are there, and begin the next one if it can be begun."""
        lineage = walk.lineage
        while walk.level < lineage.first_level + lineage.num_levels:
            place, parent = (lineage.key_of_level(walk.level), walk.level), parent_of(lineage, walk.level)
            if place in self._failed:
                self.diverged.append((lineage, walk.level, self._failed[place]))
                break
            needed = [(of.key, of.level) for of in inputs_of(lineage, walk.level).values()]
            if any(other not in self._manifests for other in [*needed, *([parent] if parent else [])]):
                return
            if parent and walk.level > lineage.first_level and self._manifests[parent]["core"]["collapsed"]:
                break
            manifest = self._manifests.get(place) or self._folder.manifest(*place)
            if manifest is None:
                self._begin(lineage, walk.level, place)
                return
            self._manifests[place] = manifest
            walk.level += 1
            yield lineage, manifest
        walk.has_ended = True

    def _begin(self, lineage: PlannedLineage, level: int, place: LevelPlace) -> None:
        """Train a level if a slot is free, and if it is not in training already for another lineage."""
        name = f"{place[0]}/{level}"
        if name not in self._training and len(self._training) < self._slots.capacity:
            self._training[name] = _Begun(lineage, level, place, _now())
            self._slots.admit(name, self._task(lineage, level), self._data)

    def _note(self, begun: _Begun, ended: Ended) -> None:
        """Commit a level that has ended.

        Raises:
            Exception: What ended its training, but for divergence.
        """
        if isinstance(ended.error, NonFiniteError):
            self._failed[begun.place] = ended.error
            return
        if ended.result is None:
            assert ended.error is not None
            raise ended.error
        self._manifests[begun.place] = self._commit(begun, ended.result)

    def _commit(self, begun: _Begun, result: LevelResult) -> Manifest:
        lineage, level = begun.lineage, begun.level
        parent = parent_of(lineage, level)
        takes_mask = lineage.source_key is not None and level > 0
        core = complete_core(
            result.core,
            key=lineage.key_of_level(level),
            parent=None if parent is None else self._manifests[parent]["core_sha256"],
            mask_from=self._manifests[str(lineage.source_key), level]["core_sha256"] if takes_mask else None,
        )
        stored = {name: self._folder.put_blob(blob) for name, blob in blobs_to_keep(result, lineage.spec).items()}
        manifest = build_manifest(
            core,
            stored,
            start=start_document(lineage.spec, level),
            epoch=0,
            attempt=1,
            search=self.id,
            started_at=begun.started_at,
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
