"""The API process: public, admin and metrics listeners in one event loop, and a graceful end."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from service.api import logs
from service.api.app import create_admin_app, create_app
from service.api.context import Services, binds_loopback, services_in
from service.api.monitor import metrics_app
from service.settings import Settings
from service.store.errors import RecordError
from service.store.record import Record

GRACE_S = 5
BACKLOG = 1024
_log = structlog.get_logger("lth.api")


class StartRefused(Exception):  # noqa: N818 - reads as a sentence
    """The process does not start, for a reason that fits one sentence."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to this process."""

    async def run_on(self, listener: socket.socket) -> None:
        """Serve on an open socket until `should_exit`."""
        await self._serve([listener])


def bind(listen: str) -> socket.socket:
    """Open a listening socket on a unix path (for this user only) or on `host:port`.

    Raises:
        StartRefused: If the address is malformed or taken.
    """
    if listen.startswith("/"):
        return _open(socket.AF_UNIX, listen)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise StartRefused(f"an address to listen on is host:port, got {listen!r}")
    host = host.removeprefix("[").removesuffix("]")
    return _open(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port)))


def _open(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    # asyncio switches Nagle's delay off (40 ms an answer) only where the protocol is named.
    protocol = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        if isinstance(address, str):
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            Path(address).unlink(missing_ok=True)
            listener.bind(address)
            Path(address).chmod(0o600)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        listener.close()
        shown = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        raise StartRefused(f"cannot listen on {shown}: {error.strerror or error}") from error
    return listener


def serve(app: ASGIApp) -> _Server:
    """Return a server for an application; its requests are logged by the application itself."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config)


def check_addresses(settings: Settings) -> None:
    """Refuse an admin listener that other machines can reach.

    Raises:
        StartRefused: If it is neither a unix path nor loopback.
    """
    if not binds_loopback(settings.admin_listen):
        raise StartRefused(f"the admin listener must be a unix path or loopback, got {settings.admin_listen}")


async def check_keys(settings: Settings, record: Record) -> None:
    """Refuse to be reachable from other machines while nobody can prove who he is.

    Raises:
        StartRefused: Without any API key on an address that is not loopback.
    """
    if not binds_loopback(settings.listen) and all(key["revoked_at"] for key in await record.api_keys()):
        raise StartRefused(
            f"{settings.listen} is reachable from other machines and there is no API key; "
            "make one with `python -m service.api.first_key`, or listen on 127.0.0.1"
        )


async def run(settings: Settings) -> None:
    """Run the process until SIGINT or SIGTERM.

    Raises:
        StartRefused: If it cannot or must not start.
        RecordError: If Redis or the object store is not fit for service.
    """
    check_addresses(settings)
    record = await Record.open(settings)
    try:
        await check_keys(settings, record)
        app = create_app(settings, record)
        services = services_in(app)
        listeners = [(serve(app), bind(settings.listen))]
        admin = create_admin_app(settings, record, services)
        listeners.append((serve(admin), bind(settings.admin_listen)))
        if settings.metrics_listen:
            listeners.append((serve(metrics_app(services)), bind(settings.metrics_listen)))
        await _run_until_signal(services, listeners)
    finally:
        await record.close()


async def _run_until_signal(services: Services, listeners: list[tuple[_Server, socket.socket]]) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        services.draining.set()
        for server, _ in listeners:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    _log.info("listening", addresses=[_name(listener) for _, listener in listeners])
    try:
        async with asyncio.TaskGroup() as group:
            for server, listener in listeners:
                group.create_task(server.run_on(listener))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name if isinstance(name, str) else f"{name[0]}:{name[1]}"


def main() -> int:
    """Run the API process; 1 with one sentence on stderr if it refuses to start."""
    settings = Settings()
    logs.configure(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (StartRefused, RecordError) as refusal:
        sys.stderr.write(f"lth api: {refusal}\n")
        return 1
    if settings.admin_listen.startswith("/"):
        Path(settings.admin_listen).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
