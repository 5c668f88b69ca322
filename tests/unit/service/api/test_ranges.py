"""Byte ranges select exactly the bytes that RFC 9110 says, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.errors import ApiError
from service.api.ranges import byte_range, content_range

DATA = bytes(range(200))
ETAG = '"sha256-ab"'


def chosen(header: str | None, if_range: str | None = None, data: bytes = DATA) -> bytes | None:
    part = byte_range(header, if_range, etag=ETAG, size_bytes=len(data))
    return None if part is None else data[part]


@given(st.integers(0, 199), st.integers(0, 400))
def test_first_and_last_select_both_ends(first: int, length: int) -> None:
    last = first + length
    assert chosen(f"bytes={first}-{last}") == DATA[first : last + 1]


@given(st.integers(1, 400))
def test_a_suffix_selects_the_last_bytes(length: int) -> None:
    assert chosen(f"bytes=-{length}") == DATA[-length:]


@given(st.integers(0, 199))
def test_an_open_range_reaches_the_end(first: int) -> None:
    assert chosen(f"bytes={first}-") == DATA[first:]


@pytest.mark.parametrize("header", ["bytes=200-", "bytes=200-300", "bytes=-0", "bytes=9999999999999999999-"])
def test_a_range_outside_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(ApiError) as refusal:
        chosen(header)
    assert refusal.value.code == "range_not_satisfiable"
    assert refusal.value.headers["Content-Range"] == "bytes */200"


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=a-b"]
)
def test_what_is_no_single_byte_range_is_ignored(header: str | None) -> None:
    assert chosen(header) is None


@given(st.text(max_size=40))
def test_no_header_breaks_the_reader(header: str) -> None:
    with suppress(ApiError):
        chosen(header)


def test_if_range_keeps_the_range_only_for_the_same_bytes() -> None:
    assert chosen("bytes=0-1", ETAG) == DATA[:2]
    assert chosen("bytes=0-1", '"sha256-cd"') is None
    assert chosen("bytes=0-1", f"W/{ETAG}") is None
    assert chosen("bytes=0-1", "Sun, 22 Nov 2026 09:10:11 GMT") is None


def test_an_empty_content_satisfies_no_range() -> None:
    with pytest.raises(ApiError):
        chosen("bytes=0-0", data=b"")


def test_content_range_names_both_ends_and_the_size() -> None:
    assert content_range(slice(2, 5), 200) == "bytes 2-4/200"
