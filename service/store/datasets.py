"""The registry of data sets: decoded arrays under the digest of their content, the newest one current for a name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load

from lth_core.canonical import FORMAT, canonical_json, sha256_hex
from lth_core.expansion import DatasetInfo
from lth_core.weights import content_digest
from service.store import clock, keys
from service.store.core import Core
from service.store.documents import Document, Documents
from service.store.errors import ArtefactCorrupt, ObjectNotFound, RedisUnavailable, UnknownDataset, UnknownFormat
from service.store.objects import ObjectStore

ARRAYS = "arrays.safetensors"
MANIFEST = "manifest.json"
ARRAY_NAMES = frozenset({"train_images", "train_labels", "test_images", "test_labels"})
_SHOWN = (
    "name",
    "digest",
    "shape",
    "num_classes",
    "num_train",
    "num_test",
    "classes",
    "normalisation",
    "registered_at",
)


class Datasets(Core):
    """What the record knows of data sets; workers and the front read it, registration writes it."""

    async def datasets(self) -> Documents:
        """Return the current data set of every name, by name."""
        try:
            raws = await self.index.read_one(lambda pipe, own: pipe.hvals(f"{own}datasets"))
            manifests = [json.loads(raw) for raw in raws]
            return Documents(_shown(_current(manifests)), None if self.vitals.store_up else "store")
        except RedisUnavailable:
            return Documents(_shown(_current([one for one, _ in await stored_manifests(self.objects)])), "redis")

    async def dataset(self, name: str) -> Document:
        """Return the current data set of a name.

        Raises:
            UnknownDataset: If none is registered.
        """
        (shown,) = _shown([await self._manifest(name)])
        return Document(shown, None if self.vitals.store_up else "store")

    async def dataset_info(self, name: str) -> DatasetInfo:
        """Return the current data set of a name as planning sees it.

        Raises:
            UnknownDataset: If none is registered.
        """
        return _info(await self._manifest(name))

    async def register_dataset(
        self,
        info: DatasetInfo,
        files: Mapping[str, bytes],
        *,
        classes: Iterable[str] | None = None,
        normalisation: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Store a data set's arrays under their digest, and make it the current one of its name.

        Args:
            info: Name, digest and sizes; the digest is checked against the arrays.
            files: `arrays.safetensors` with train and test images and labels, and what else belongs to it.
            classes: Names of the classes, in the order of the labels.
            normalisation: Mean and standard deviation per channel.

        Returns:
            The data set's document, with `created` false where the same content stood already.

        Raises:
            ValueError: If arrays are missing or do not have the digest.
            StoreUnavailable: If it is unknown whether it was stored.
        """
        _check_arrays(info, files)
        refs = {name: {"sha256": sha256_hex(data), "size_bytes": len(data)} for name, data in files.items()}
        for name, data in files.items():
            await self.objects.put_if_absent(keys.dataset_file(info.name, info.digest, name), data)
        manifest = {
            "format": FORMAT,
            **info.model_dump(mode="json"),
            "classes": None if classes is None else list(classes),
            "normalisation": dict(normalisation) if normalisation else None,
            "files": refs,
            "registered_at": clock.to_text(clock.now()),
        }
        key = keys.dataset_file(info.name, info.digest, MANIFEST)
        standing, created = await self.objects.put_if_absent(key, canonical_json(manifest))
        await self._mirror_dataset(json.loads(standing), standing)
        (shown,) = _shown([json.loads(standing)])
        return {**shown, "created": created}

    async def dataset_arrays(self, name: str, digest: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return a data set's decoded arrays, verified.

        Raises:
            UnknownDataset: If this content is not registered.
            ArtefactCorrupt: If the stored bytes do not match their digest.
        """
        try:
            manifest = _read(await self.objects.get(keys.dataset_file(name, digest, MANIFEST)))
            data = await self.objects.get(keys.dataset_file(name, digest, ARRAYS))
        except ObjectNotFound:
            raise UnknownDataset(name) from None
        if sha256_hex(data) != manifest["files"][ARRAYS]["sha256"]:
            raise ArtefactCorrupt(f"the arrays of data set {name} do not match their digest")
        return dict(load(data))

    async def _manifest(self, name: str) -> dict[str, Any]:
        """Find the current manifest of a name; what the index does not know is looked for in the store."""
        if not keys.is_dataset_name(name):
            raise UnknownDataset(name)
        try:
            raws = await self.index.read_one(lambda pipe, own: pipe.hvals(f"{own}datasets"))
            known = [one for one in (json.loads(raw) for raw in raws) if one["name"] == name]
        except RedisUnavailable:
            known = []
        found = _current(known or [one for one, _ in await stored_manifests(self.objects, name)])
        if not found:
            raise UnknownDataset(name)
        return found[0]

    async def _mirror_dataset(self, manifest: Mapping[str, Any], raw: bytes) -> None:
        try:
            await self.mirror.put("datasets", f"{manifest['name']}/{manifest['digest']}", raw)
        except RedisUnavailable:
            return  # the index finds it at the next rebuild, readers in the store


async def stored_manifests(objects: ObjectStore, name: str | None = None) -> list[tuple[dict[str, Any], bytes]]:
    """Read all manifests, or those of one name, from the objects, each with its bytes.

    Raises:
        UnknownFormat: If a later version wrote one.
        StoreUnavailable: If the store does not answer.
    """
    found = [key for key in await objects.list(keys.datasets(name)) if key.endswith(f"/{MANIFEST}")]
    raws = [await objects.get(key) for key in found]
    return [(_read(raw), raw) for raw in raws]


def _read(raw: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(raw)
    if manifest.get("format") != FORMAT:
        raise UnknownFormat(f"data set manifest has format {manifest.get('format')!r}, known is {FORMAT}")
    return manifest


def _check_arrays(info: DatasetInfo, files: Mapping[str, bytes]) -> None:
    if ARRAYS not in files:
        raise ValueError(f"files must hold {ARRAYS}, got {sorted(files)}")
    arrays = load(files[ARRAYS])
    if set(arrays) != ARRAY_NAMES:
        raise ValueError(f"{ARRAYS} must hold {sorted(ARRAY_NAMES)}, got {sorted(arrays)}")
    if (digest := content_digest(arrays)) != info.digest:
        raise ValueError(f"digest must be that of the arrays, {digest}, got {info.digest}")


def _current(manifests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the newest manifest of each name, by name; equal times are decided by digest."""
    newest: dict[str, dict[str, Any]] = {}
    for manifest in sorted(manifests, key=lambda one: (one["registered_at"], one["digest"])):
        newest[manifest["name"]] = manifest
    return [newest[name] for name in sorted(newest)]


def _shown(manifests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"object": "dataset", **{name: one[name] for name in _SHOWN}} for one in manifests]


def _info(manifest: Mapping[str, Any]) -> DatasetInfo:
    return DatasetInfo.model_validate({name: manifest[name] for name in DatasetInfo.model_fields})
