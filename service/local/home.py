"""The home folder of one local service: where its data, sockets, secrets and notes lie, and who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SOCKET_PATH_LIMIT = 100  # the kernel takes 107 bytes; valkey binds a temporary name beside it


class CannotStart(Exception):  # noqa: N818 - its text is a sentence for the user
    """The service cannot be started or stopped, and why."""


class HomeInUse(CannotStart):
    """Another `lth up` holds this home."""


def default_home() -> Path:
    """`LTH_HOME`, else `~/.lth`."""
    return Path(os.environ.get("LTH_HOME") or Path.home() / ".lth").expanduser()


@dataclass(frozen=True)
class Home:
    """Paths below one home folder."""

    path: Path

    @classmethod
    def at(cls, path: Path | None) -> Self:
        """The home at `path`, absolute, default `LTH_HOME` or `~/.lth`."""
        return cls((path or default_home()).expanduser().resolve())

    @property
    def run(self) -> Path:
        """Sockets, notes of the running service, the lock."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.path / "logs"

    @property
    def objects(self) -> Path:
        """The object store."""
        return self.path / "objects"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file."""
        return self.path / "valkey"

    @property
    def pepper(self) -> Path:
        """The secret that API keys are stored under."""
        return self.path / "pepper"

    @property
    def env_file(self) -> Path:
        """`LTH_*` settings of the running service, for commands beside it."""
        return self.run / "env.json"

    @property
    def up_file(self) -> Path:
        """Process ids and address of the running service."""
        return self.run / "up.json"

    def make(self) -> None:
        """Create the folders; only the owner may look into them."""
        for folder in (self.path, self.run, self.logs, self.objects, self.valkey):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def make_pepper(self) -> None:
        """Create the secret at the first start, readable by the owner only."""
        try:
            descriptor = os.open(self.pepper, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))

    def short_run_folder(self, run_id: str) -> Path:
        """A folder whose sockets have names that the kernel accepts: `run`, or a link to it with a short path."""
        if len(os.fsencode(self.run / "valkey.sock")) <= SOCKET_PATH_LIMIT:
            return self.run
        link = Path(tempfile.gettempdir()) / f"lth-{run_id}"
        link.symlink_to(self.run, target_is_directory=True)
        return link

    def read(self, file: Path) -> dict[str, Any] | None:
        """A note of the running service, or None if there is none."""
        try:
            note = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return note if isinstance(note, dict) else None

    def write(self, file: Path, note: dict[str, Any]) -> None:
        """Write a note in one move, readable by the owner only."""
        draft = file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(note, indent=1, sort_keys=True) + "\n")
        draft.replace(file)

    def lock(self) -> int:
        """Hold the home until the process ends.

        Returns:
            The descriptor of the lock, to be kept open.

        Raises:
            HomeInUse: If another process holds it.
        """
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HomeInUse(f"{self.path} is already in use by another `lth up`; stop it with `lth down`") from None
        return descriptor

    def is_held(self) -> bool:
        """Whether an `lth up` runs on this home."""
        if not (self.run / "lock").exists():
            return False
        try:
            os.close(self.lock())
        except HomeInUse:
            return True
        return False
