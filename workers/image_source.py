"""Where the files of an image folder come from: a directory, or a tar archive of one that is never unpacked to disk."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lth_core.errors import UserError

MAX_FILE_BYTES = 64 * 2**20
"""Largest single image file; what is larger is no image of a training set."""


class ImageSource(Protocol):
    """Files by name, streamed one at a time."""

    def names(self) -> list[str]:
        """Return every file's path below the folder, with forward slashes, unsorted and without hidden files."""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of every file in the order that is cheapest to read."""


def open_source(path: Path) -> ImageSource:
    """Return the files under a directory or in a tar archive (.tar, .tar.gz, .tgz).

    Raises:
        UserError: If the path is neither.
    """
    if path.is_dir():
        return DirectorySource(path)
    if path.is_file() and tarfile.is_tarfile(path):
        return TarSource(path)
    raise UserError(f"from: {path} is no folder, no tar archive and no npz file")


@dataclass(frozen=True)
class DirectorySource:
    """The files below a directory of the user."""

    root: Path

    def names(self) -> list[str]:
        """Return every file's path below the directory."""
        found: list[str] = []
        for folder, subfolders, files in os.walk(self.root, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            base = Path(folder).relative_to(self.root)
            found.extend((base / name).as_posix() for name in files if not name.startswith("."))
        return found

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of every file, sorted by name."""
        for name in sorted(self.names()):
            path = self.root / name
            try:
                _check_bytes(name, path.stat().st_size)
                content = path.read_bytes()
            except OSError as error:
                raise UserError(f"from: {name} in {self.root} cannot be read ({error.strerror})") from error
            yield name, content


@dataclass(frozen=True)
class TarSource:
    """The regular files of a tar archive, read from front to back."""

    path: Path

    def names(self) -> list[str]:
        """Return every file's path in the archive."""
        return [name for name, _, _ in self._members()]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of every file in the archive's order."""
        for name, archive, member in self._members():
            _check_bytes(name, member.size)
            content = archive.extractfile(member)
            assert content is not None  # only regular files come out of _members
            yield name, content.read()

    def _members(self) -> Iterator[tuple[str, tarfile.TarFile, tarfile.TarInfo]]:
        try:
            with tarfile.open(self.path, mode="r|*") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isdir() or any(part.startswith(".") for part in name.split("/")):
                        continue
                    if not member.isfile():
                        raise UserError(f"from: {name} in {self.path} is a link or a device, not a file")
                    yield name, archive, member
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(f"from: {self.path} cannot be read to its end ({error})") from error


def _check_bytes(name: str, num_bytes: int) -> None:
    if num_bytes > MAX_FILE_BYTES:
        raise UserError(f"from: {name} has {num_bytes} bytes; at most {MAX_FILE_BYTES} are read as an image")
