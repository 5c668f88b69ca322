"""Committing levels: blobs first, the manifest last and only once, the index when it can."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Literal

from lth_core.canonical import FORMAT, canonical_json, digest_of
from service.store import keys
from service.store.core import Core
from service.store.errors import ArtefactCorrupt, ObjectNotFound, RedisUnavailable, StoreUnavailable
from service.store.failpoints import reach
from service.store.logbook import Appended
from service.store.plans import Plan

Standing = Literal["committed", "adopted", "divergent"]
_log = logging.getLogger(__name__)


class Committing(Core):
    """How facts of a running search get into the store, and from there into the index, if need be later."""

    _late_levels: list[tuple[Plan, str, dict[str, Any]]]
    _late_logs: dict[tuple[str, str], Plan]

    async def manifests(self, tenant: str, key: str) -> dict[int, dict[str, Any]]:
        """Return all committed levels under a key, from the store.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        return await self.stored.manifests(tenant, key)

    async def commit_level(
        self, tenant: str, search_id: str, key: str, level: int, manifest: dict[str, Any], epoch: int
    ) -> tuple[dict[str, Any], Standing]:
        """Commit a level: blobs are checked to be there, then the manifest is put if none is.

        Args:
            tenant: Whose lineage.
            search_id: The search that computed it.
            key: The lineage key, or the dense key for level 0.
            level: The level.
            manifest: Its manifest, complete.
            epoch: The leader's epoch.

        Returns:
            The manifest that stands, and whether it is ours, another's with equal bits, or another's with other bits.

        Raises:
            ValueError: If the manifest does not fit its place.
            ArtefactCorrupt: If a blob is missing or has another size.
            StaleEpoch: If a later leader has been seen; the level is committed all the same.
            StoreUnavailable: If it is unknown what stands.
        """
        _check_manifest(manifest, key, level)
        plan = await self.plan(tenant, search_id)
        await self._check_blobs(tenant, manifest)
        reach("FP_AFTER_HEAD")
        raw, ours = await self.objects.put_if_absent(keys.manifest(tenant, key, level), canonical_json(manifest))
        reach("FP_AFTER_MANIFEST")
        standing: dict[str, Any] = json.loads(raw)
        await self._mirror_level(plan, key, standing, epoch)
        reach("FP_AFTER_INDEX")
        if ours:
            return standing, "committed"
        return standing, "adopted" if standing["core_sha256"] == manifest["core_sha256"] else "divergent"

    async def announce_level(self, tenant: str, search_id: str, key: str, manifest: dict[str, Any], epoch: int) -> None:
        """Tell a search's listeners of a level that another search committed before.

        Raises:
            StaleEpoch: If a later leader has been seen.
        """
        await self._mirror_level(await self.plan(tenant, search_id), key, manifest, epoch)

    async def _check_blobs(self, tenant: str, manifest: Mapping[str, Any]) -> None:
        parts = [part for part in manifest["stored"].values() if part]
        try:
            found = await asyncio.gather(*(self.objects.head(keys.blob(tenant, part["sha256"])) for part in parts))
        except ObjectNotFound as error:
            raise ArtefactCorrupt(f"the manifest names a blob that is not there: {error}") from None
        for part, info in zip(parts, found, strict=True):
            if info.size_bytes != part["size_bytes"]:
                raise ArtefactCorrupt(f"blob {part['sha256']} has {info.size_bytes} bytes, not {part['size_bytes']}")

    async def _mirror_level(self, plan: Plan, key: str, manifest: dict[str, Any], epoch: int) -> None:
        try:
            await self.mirror.committed(plan, key, manifest, epoch=epoch)
            await self._mirror_what_is_late(epoch)
        except RedisUnavailable:
            self._late_levels.append((plan, key, manifest))

    async def _mirror_log(self, plan: Plan, appended: Appended, epoch: int, gpu_seconds: float = 0.0) -> None:
        name = (plan.tenant, plan.id)
        fresh = appended.records if name in self._late_logs else appended.written or appended.records
        try:
            await self.mirror.logged(plan, appended.records, fresh, epoch=epoch, gpu_seconds=gpu_seconds)
            self._late_logs.pop(name, None)
        except RedisUnavailable:
            self._late_logs[name] = plan
            _log.info("log of %s is stored but not indexed", plan.id)

    async def _mirror_what_is_late(self, epoch: int) -> None:
        """Index what could not be indexed when it was written."""
        for name, plan in list(self._late_logs.items()):
            try:
                records = await self.logbook.read(*name)
            except StoreUnavailable:
                continue
            await self.mirror.logged(plan, records, records, epoch=epoch)
            self._late_logs.pop(name, None)
        late, self._late_levels = self._late_levels, []
        while late:
            plan, key, manifest = late[0]
            try:
                await self.mirror.committed(plan, key, manifest, epoch=epoch)
            except RedisUnavailable:
                self._late_levels += late
                raise
            late.pop(0)


def _check_manifest(manifest: Mapping[str, Any], key: str, level: int) -> None:
    core = manifest["core"]
    if (core["key"], core["level"]) != (key, level):
        raise ValueError(f"manifest must be of {key} level {level}, is of {core['key']} level {core['level']}")
    if manifest["core_sha256"] != digest_of(core):
        raise ValueError("core_sha256 must be the digest of the manifest's core")
    if manifest["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT}, is {manifest['format']}")
