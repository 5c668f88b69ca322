"""What a local folder lacks as an object store: paths that stay inside it, and writes that survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from service.store.errors import StoreUnavailable


class LocalFolder:
    """A folder of objects; `check` guards its border, `sync` makes an object durable before it is acknowledged."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = Path(os.path.realpath(root))
        self._durable_folders: set[Path] = set()

    def check(self, key: str) -> None:
        """Refuse a key that leads out of the folder, through `..` or through a symbolic link.

        Raises:
            ValueError: If a part of the key is empty, `.` or `..`.
            StoreUnavailable: If a link stands in the way.
        """
        parts = key.removesuffix("/").split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"object key must not contain empty or dotted parts, got {key!r}")
        target = self.root.joinpath(*parts)
        if Path(os.path.realpath(target)) != target:
            raise StoreUnavailable("a symbolic link lies inside the object folder")

    def sync(self, key: str) -> None:
        """Flush an object, and every folder above it that this process has not seen durable, to the disk.

        Raises:
            OSError: If the disk refuses; then nothing may be acknowledged.
        """
        path = self.root.joinpath(*key.split("/"))
        _fsync(path, os.O_RDONLY | os.O_NOFOLLOW)
        _fsync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        folder = path.parent
        while folder != self.root and folder not in self._durable_folders:
            _fsync(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
            self._durable_folders.add(folder)
            folder = folder.parent


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
