"""Masks and weights of committed levels, read and checked one at a time; what was not kept says how to keep it."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

from lth_core.architecture import TensorSpec
from lth_core.expansion import PlannedLineage
from lth_core.masks import Mask, unpack_mask
from lth_core.treatments import Treatment
from lth_core.weights import Weights, content_digest, weights_from_safetensors
from service.store.errors import ArtefactCorrupt, UnknownDataset
from service.store.record import Record
from service.store.ticket_views import final_sha256
from workers.searched import Manifest, Searched

if TYPE_CHECKING:
    from lth_core.data import TensorData


class NotStored(ValueError):  # noqa: N818 - it names a state of the record
    """What an analysis needs was not kept, or is not computed yet; the text says what would have kept it."""


class Stored:
    """The blobs of one search.

    Args:
        record: Where they are.
        searched: The search.
    """

    def __init__(self, record: Record, searched: Searched) -> None:
        self.searched = searched
        self._record = record

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The network's tensors."""
        return self.searched.plan.lineages[0].spec.tensors()

    async def mask(self, lineage: PlannedLineage, level: int) -> Mask:
        """Return what a level keeps.

        Raises:
            NotStored: If the level is not committed.
            ArtefactCorrupt: If the stored bytes are gone or are not what the manifest says.
        """
        manifest = self._manifest(lineage, level)
        kept = {layer["name"]: layer["kept"] for layer in manifest["core"]["layers"]}
        return await self._mask(manifest["core"]["digests"]["mask"], kept)

    async def mask_after(self, lineage: PlannedLineage, level: int) -> Mask | None:
        """Return what the level after one keeps, None if that is not decided yet."""
        if self.searched.manifest(lineage, level + 1) is not None:
            return await self.mask(lineage, level + 1)
        following = self._manifest(lineage, level)["core"]["digests"]["next_mask"]
        return None if following is None else await self._mask(following, None)

    async def initial(self, lineage: PlannedLineage, level: int) -> Weights:
        """Return the untrained weights a level stands on.

        For the chain that finds masks they are W_k of the dense network (the initialisation for k = 0), whatever its
        levels start from; for a control what it puts in their place.

        Raises:
            NotStored: If they were not kept.
        """
        if lineage.source_key is None:
            return await self._weights(self._manifest(lineage, 0), "rewind")
        return await self.start(lineage, level)

    async def start(self, lineage: PlannedLineage, level: int) -> Weights:
        """Return the weights a level's training started from, before its mask was laid on them.

        Raises:
            NotStored: If they were not kept.
        """
        manifest = self._manifest(lineage, level)
        if "rewind" in manifest["stored"]:
            return await self._weights(manifest, "rewind")
        spec = lineage.spec
        if lineage.source_key is None and not spec.carries_weights:
            return await self.initial(lineage, level)
        if lineage.source_key is None:
            return await self.final(lineage, level - 1)
        raise NotStored(
            f"the weights that {spec.treatment} started from at level {level} were not kept: "
            f"spec.keep 'tickets' or 'all' keeps them, this search has {spec.keep!r}"
        )

    async def final(self, lineage: PlannedLineage, level: int) -> Weights:
        """Return the weights at the end of a level's training.

        Raises:
            NotStored: If they were not kept.
        """
        manifest = self._manifest(lineage, level)
        if "final" in manifest["stored"]:
            return await self._weights(manifest, "final")
        facts = self.searched.facts
        summary = facts.level(lineage, level)
        best = final_sha256(facts, lineage, summary) if summary is not None else None
        if best is not None:
            return self._checked(await self._record.blob(facts.plan.tenant, best), manifest, "final")
        raise NotStored(
            f"the trained weights of level {level} were not kept: spec.keep 'all' keeps them at every level, "
            f"this search has {lineage.spec.keep!r}"
        )

    async def data(self) -> TensorData:
        """Return the search's data set, normalised.

        Raises:
            NotStored: If it is no longer in the store.
        """
        from lth_core.data import load  # torch: reports do without

        info = self.searched.plan.accepted.dataset
        try:
            arrays = await self._record.dataset_arrays(info.name, info.digest)
        except UnknownDataset:
            raise NotStored(f"data set {info.name} {info.digest[:12]} is no longer in the store") from None
        normalisation = self.searched.plan.accepted.submission.spec.dataset.normalisation
        return await asyncio.to_thread(load, info, arrays, normalisation=normalisation)

    def reordered(self, lineage: PlannedLineage) -> list[PlannedLineage]:
        """Return the trainings of a ticket under other data orders."""
        return [
            own
            for own in self.searched.plan.lineages
            if own.source_key == lineage.key and Treatment.of_label(own.spec.treatment).name == "reordered"
        ]

    def _manifest(self, lineage: PlannedLineage, level: int) -> Manifest:
        manifest = self.searched.manifest(lineage, level)
        if manifest is None:
            name = f"{lineage.spec.treatment}, replicate {lineage.spec.replicate}"
            raise NotStored(f"level {level} of {name} is not committed")
        return manifest

    async def _mask(self, sha256: str, kept: dict[str, int] | None) -> Mask:
        packed = await self._record.blob(self.searched.plan.tenant, sha256)
        try:
            return await asyncio.to_thread(unpack_mask, packed, self.tensors, kept)
        except ValueError as error:
            raise ArtefactCorrupt(f"mask {sha256[:12]}: {error}") from error

    async def _weights(self, manifest: Manifest, name: str) -> Weights:
        reference = manifest["stored"].get(name)
        if reference is None:
            raise NotStored(f"the {name} weights of level {manifest['core']['level']} were not kept")
        data = await self._record.blob(self.searched.plan.tenant, reference["sha256"])
        return await asyncio.to_thread(self._checked, data, manifest, name)

    def _checked(self, data: bytes, manifest: Manifest, name: str) -> Weights:
        level = manifest["core"]["level"]
        try:
            weights = weights_from_safetensors(data, self.tensors)
        except ValueError as error:
            raise ArtefactCorrupt(f"{name} weights of level {level}: {error}") from error
        if content_digest(weights) != manifest["core"]["digests"][name]:
            raise ArtefactCorrupt(f"{name} weights of level {level} are not those of its manifest")
        return weights
