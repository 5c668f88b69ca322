"""A seeded record on a real Valkey, and the API as a real process in front of it, with and without keys."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.settings import Settings
from service.store.api_key_records import Scope
from tests.support.processes import Server, free_port
from tests.support.valkey import ValkeyServer, start_valkey, stop_valkey

LOOSE = {
    "LTH_RATE_GETS": "1000000",
    "LTH_RATE_POSTS": "1000000",
    "LTH_RATE_BAD_KEYS": "1000000",
    "LTH_QUOTA_LIVE_SEARCHES": "1000000",
}


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


class Api:
    """A running API process, and requests to it with one key.

    Args:
        server: The process.
        port: Its public port.
        key: API key that every request carries, unless it says otherwise.
    """

    def __init__(self, server: Server, port: int, key: str | None = None, admin: str = "", metrics: int = 0) -> None:
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.key = key
        self.admin = admin
        self.metrics = metrics

    def having(self, key: str | None) -> Api:
        """The same process, called with another key."""
        return Api(self.server, self.port, key, self.admin, self.metrics)

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        """Send a request and return the answer unread; error statuses are answers too."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        request = urllib.request.Request(self.url + path, data, sent, method=method)  # noqa: S310 - http only
        try:
            return urllib.request.urlopen(request, timeout=40)  # type: ignore[no-any-return]  # noqa: S310
        except urllib.error.HTTPError as error:
            return error  # type: ignore[return-value]

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request and read the whole answer."""
        with self.open(method, path, body, **headers) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())

    def admin_send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Ask the admin listener on its unix socket."""
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=self.admin), base_url="http://localhost") as client:
            return client.request(method, path, json=body)

    def get(self, path: str, **headers: str) -> Any:
        """GET JSON, which must succeed."""
        answer = self.send("GET", path, **headers)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json()


@dataclass
class World:
    """What was written before the processes started.

    Attributes:
        folder: A place for files.
        settings: Where the record lies.
        valkey: The server that holds its index.
        searches: An ended search of each tenant, and an open one of `alice` under `open`.
        keys: API keys by name.
    """

    folder: Path
    settings: Settings
    valkey: ValkeyServer
    searches: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The variables by which a process finds the record."""
        return {
            "LTH_HOME": str(self.settings.home),
            "LTH_REDIS_URL": self.settings.redis_url,
            "LTH_STORE_URL": self.settings.store_url,
            "LTH_ADMIN_LISTEN": self.settings.admin_listen,
            "LTH_LOG_LEVEL": "info",
        }


async def _seed(world: World, tenants: tuple[str, ...]) -> None:
    from tests.support.seeds import lead_once, make_derived, register_digits, write_search

    record, epoch = await lead_once(world.settings)
    try:
        await register_digits(record)
        for tenant in tenants:
            written = await write_search(record, tenant, epoch=epoch, name=f"first-of-{tenant}")
            world.searches[tenant] = written
            await make_derived(record, tenant, written.id, written.tickets["winning_ticket", 2])
        if "alice" not in tenants:
            return
        world.searches["open"] = await write_search(record, "alice", epoch=epoch, name="second", ended=False)
        callers: list[tuple[str, str, tuple[Scope, ...]]] = [
            ("alice", "alice", ("read", "write")),
            ("bob", "bob", ("read", "write")),
            ("fuzz", "fuzz", ("read", "write")),
            ("reader", "alice", ("read",)),
            ("writer", "alice", ("write",)),
            ("admin", "alice", ("admin",)),
            ("revoked", "alice", ("read", "write")),
        ]
        for name, tenant, scopes in callers:
            shown, world.keys[name] = await record.create_api_key(tenant, scopes, name=name)
            if name == "revoked":
                await record.revoke_api_key(shown["id"])
    finally:
        await record.close()


@contextmanager
def new_world(folder: Path, *tenants: str) -> Iterator[World]:
    """A record with an ended search of each tenant, all written through the facade."""
    pytest.importorskip("torch")
    valkey = start_valkey()
    settings = Settings(
        home=folder / "home",
        redis_url=valkey.url,
        store_url=f"file://{folder}/objects",
        admin_listen=str(valkey.socket.parent / "admin.sock"),
    )
    made = World(folder, settings, valkey)
    try:
        asyncio.run(_seed(made, tenants))
        yield made
    finally:
        stop_valkey(valkey)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world that tests share; they add to it and take nothing away."""
    with new_world(tmp_path_factory.mktemp("api"), "local", "alice", "bob", "fuzz") as made:
        yield made


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A small world of the test's own, for tests that break it."""
    with new_world(tmp_path, "local") as made:
        yield made


def start_api(world: World, name: str, listen: str, **extra: str) -> Api:
    """Start an API process in front of the record and wait until it answers."""
    port, metrics = free_port(), free_port()
    admin = str(Path(world.settings.admin_listen).with_name(f"{name}.sock"))
    env = {
        **world.environment(),
        **LOOSE,
        "LTH_LISTEN": f"{listen}:{port}",
        "LTH_ADMIN_LISTEN": admin,
        "LTH_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        **extra,
    }
    server = Server([sys.executable, "-m", "service.api.server"], world.folder / f"{name}.log", env)
    api = Api(server, port, admin=admin, metrics=metrics)

    def ready() -> bool:
        try:
            return api.send("GET", "/healthz").status == 200
        except OSError:
            return False

    server.start(ready)
    return api


@pytest.fixture(scope="session")
def api(world: World) -> Iterator[Api]:
    """The API as a laptop has it: on loopback, without keys."""
    made = start_api(world, "loopback", "127.0.0.1")
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def keyed(world: World) -> Iterator[Api]:
    """The API as others reach it: a key for every request; `keyed.having(world.keys["bob"])` is another caller."""
    made = start_api(world, "keyed", "0.0.0.0")  # noqa: S104
    made.key = world.keys["alice"]
    yield made
    made.server.stop()
