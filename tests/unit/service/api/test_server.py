"""Addresses to listen on: what is accepted, what is refused, and who may reach a socket."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.api.context import binds_loopback
from service.api.server import StartRefused, bind, check_addresses
from service.settings import Settings


@pytest.mark.parametrize(
    "listen", ["nonsense", ":80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "203.0.113.7:80"]
)
def test_an_address_that_cannot_be_bound_is_refused_by_name(listen: str) -> None:
    with pytest.raises(StartRefused, match=listen):
        bind(listen)


def test_a_taken_address_is_refused() -> None:
    with bind("127.0.0.1:0") as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(StartRefused, match=str(port)):
            bind(f"127.0.0.1:{port}")


def test_a_unix_socket_is_for_its_owner_only_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / "admin.sock"
    for _ in range(2):
        with bind(str(path)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_loopback_is_told_from_the_world() -> None:
    assert all(map(binds_loopback, ["127.0.0.1:80", "localhost:80", "[::1]:80", "/run/admin.sock"]))
    assert not any(map(binds_loopback, ["0.0.0.0:80", "[::]:80", "example.org:80", "192.168.1.5:80", "nonsense"]))


def test_an_admin_listener_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="unix path or loopback"):
        check_addresses(Settings(home=tmp_path, admin_listen="0.0.0.0:8421"))
    check_addresses(Settings(home=tmp_path))
