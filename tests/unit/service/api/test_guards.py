"""A loopback service without keys answers this machine's programs, and no web page."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.api.errors import ApiError
from service.api.guards import check_same_machine

OWN = [
    {"host": "127.0.0.1:8420"},
    {"host": "localhost:8420"},
    {"host": "LOCALHOST"},
    {"host": "[::1]:8420"},
    {"host": "127.9.9.9"},
    {"host": "127.0.0.1:8420", "origin": "http://127.0.0.1:8420", "sec-fetch-site": "same-origin"},
    {"host": "localhost:8420", "sec-fetch-site": "none"},
]
FOREIGN = [
    {},
    {"host": "evil.example"},
    {"host": "evil.example:8420"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "192.168.0.7:8420"},
    {"host": "0.0.0.0:8420"},
    {"host": "127.0.0.1:8420", "origin": "https://evil.example"},
    {"host": "127.0.0.1:8420", "origin": "null"},
    {"host": "127.0.0.1:8420", "origin": "http://127.0.0.1:3000"},
    {"host": "127.0.0.1:8420", "sec-fetch-site": "cross-site"},
    {"host": "127.0.0.1:8420", "sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", OWN)
def test_this_machine_is_served(headers: dict[str, str]) -> None:
    check_same_machine(Headers(headers))


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_origin_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refusal:
        check_same_machine(Headers(headers))
    assert refusal.value.code == "cross_origin"


def test_two_host_headers_are_refused() -> None:
    raw = [(b"host", b"127.0.0.1"), (b"host", b"evil.example")]
    with pytest.raises(ApiError):
        check_same_machine(Headers(raw=raw))
