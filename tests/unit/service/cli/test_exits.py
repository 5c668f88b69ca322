"""Exit codes of the command line."""

from __future__ import annotations

import pytest

from service.cli import exits
from service.local.home import HomeInUse
from service.wire.problems import (
    DigestMismatch,
    SearchCancelled,
    SearchFailed,
    ServiceUnreachable,
    WaitTimeout,
    problem_from,
)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 2),
        (409, 2),
        (413, 2),
        (422, 2),
        (501, 2),
        (401, 6),
        (403, 6),
        (404, 7),
        (429, 8),
        (500, 1),
        (502, 1),
        (503, 1),
    ],
)
def test_every_refusal_has_the_documented_exit_code(status: int, code: int) -> None:
    assert exits.for_error(problem_from(status, b"{}")) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [("succeeded", 0), ("failed", 3), ("cancelled", 4), ("partial", 5), ("from_the_future", 1)],
)
def test_every_end_of_a_search_has_the_documented_exit_code(status: str, code: int) -> None:
    assert exits.for_search(status) == code


def test_every_other_failure_has_the_documented_exit_code() -> None:
    assert exits.for_error(ServiceUnreachable("x")) == 1
    assert exits.for_error(HomeInUse("x")) == 1
    assert exits.for_error(exits.UsageError("x")) == 2
    assert exits.for_error(SearchFailed("x", {})) == 3
    assert exits.for_error(SearchCancelled("x", {})) == 4
    assert exits.for_error(DigestMismatch("x")) == 9
    assert exits.for_error(WaitTimeout("x")) == 124
