"""A folder with the keys of the object store: everything is written once, whole, and under its final name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lth_core.canonical import canonical_json, sha256_hex
from lth_core.manifest import Blob, core_digest


class Folder:
    """The record of one tenant's lineages in a plain folder, laid out as the service lays out its store.

    Args:
        root: The folder; made where it is missing.
        tenant: Whose lineages.
    """

    def __init__(self, root: Path, tenant: str) -> None:
        self._root = root
        self._tenant = tenant

    def put(self, key: str, data: bytes) -> Path:
        """Write an object unless it is there already; a reader never sees half of it."""
        path = self._root / key
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        return path

    def put_blob(self, blob: Blob) -> dict[str, Any]:
        """Write a blob under its digest and return its reference."""
        reference = blob.reference()
        self.put(f"blobs/{self._tenant}/{reference['sha256']}", blob.data)
        return reference

    def blob(self, reference: Mapping[str, Any]) -> bytes:
        """Read a blob.

        Raises:
            ValueError: If its bytes are not those the reference names.
            FileNotFoundError: If it is not there.
        """
        path: Path = self._root / "blobs" / self._tenant / reference["sha256"]
        data = path.read_bytes()
        if len(data) != reference["size_bytes"] or sha256_hex(data) != reference["sha256"]:
            raise ValueError(f"blob {reference['sha256']} is damaged")
        return data

    def put_manifest(self, manifest: Mapping[str, Any]) -> Path:
        """Commit a level: write its manifest."""
        core = manifest["core"]
        return self.put(self._manifest_key(core["key"], core["level"]), canonical_json(manifest))

    def manifest(self, key: str, level: int) -> dict[str, Any] | None:
        """Read a committed level, None if it is not committed.

        Raises:
            ValueError: If the core is not the one the manifest was written with.
        """
        path = self._root / self._manifest_key(key, level)
        if not path.exists():
            return None
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        if core_digest(manifest["core"]) != manifest["core_sha256"]:
            raise ValueError(f"{path} is damaged: its core has another digest")
        return manifest

    def _manifest_key(self, key: str, level: int) -> str:
        return f"lineages/{self._tenant}/{key}/L{level:03d}.json"
