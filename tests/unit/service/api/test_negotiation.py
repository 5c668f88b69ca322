"""The client's preferences decide the representation."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.errors import ApiError
from service.api.negotiation import choose, etag_matches, wait_s

OFFERS = ("application/json", "text/csv", "text/event-stream")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("text/*;q=0.5, application/json;q=0.4", "text/csv"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("*/*, application/json;q=0", "text/csv"),
        ("text/event-stream; charset=utf-8", "text/event-stream"),
        ("text/csv;q=nonsense", "text/csv"),
    ],
)
def test_the_best_liked_offer_is_chosen(header: str | None, expected: str) -> None:
    assert choose(header, OFFERS) == expected


@pytest.mark.parametrize("header", ["text/html", "application/json;q=0", "image/*", "nonsense"])
def test_nothing_acceptable_is_406_and_names_the_offers(header: str) -> None:
    with pytest.raises(ApiError) as refusal:
        choose(header, OFFERS[:2])
    assert refusal.value.status == 406
    assert "text/csv" in refusal.value.detail


@given(st.text(max_size=80))
def test_no_accept_header_breaks_the_reader(header: str) -> None:
    with suppress(ApiError):
        assert choose(header, OFFERS) in OFFERS


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, 0), ("wait=5", 5), ("wait=31", 30), ('respond-async, Wait="7"', 7), ("wait=-1", 0), ("wait=x", 0), ("", 0)],
)
def test_prefer_wait_is_read_and_bounded(header: str | None, expected: int) -> None:
    assert wait_s(header) == expected


def test_entity_tags_are_compared_weakly() -> None:
    assert etag_matches('"a", "b"', '"b"')
    assert etag_matches('W/"b"', '"b"')
    assert etag_matches("*", '"b"')
    assert not etag_matches('"a"', '"b"')
    assert not etag_matches(None, '"b"')
