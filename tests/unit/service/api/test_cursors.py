"""Cursors come back as they went out, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import cursors
from service.api.errors import ApiError


@given(st.text(max_size=30))
def test_a_cursor_carries_its_position(position: str) -> None:
    assert cursors.decode("searches", cursors.encode("searches", position)) == position


def test_no_cursor_is_the_beginning() -> None:
    assert cursors.decode("searches", None) is None


@given(st.text(min_size=1, max_size=600))
def test_anything_else_is_a_bad_cursor(text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        cursors.decode("searches", text)
    assert refusal.value.code == "bad_cursor"


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ApiError):
        cursors.decode("tickets", cursors.encode("searches", "srch_1"))
