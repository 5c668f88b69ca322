"""What status a search ends with."""

from __future__ import annotations

import pytest

from workers.judging import status_of

DONE, STOPPED = ("succeeded", None), ("stopped", "collapsed")
FAILED, UPSTREAM = ("failed", "nonfinite"), ("failed", "upstream")
LATE, SKIPPED = ("stopped", "deadline_exceeded"), ("skipped", "scheduler")


@pytest.mark.parametrize(
    ("ends", "allowed", "cut_short", "expected"),
    [
        ([DONE, STOPPED, SKIPPED], 0, None, "succeeded"),
        ([DONE, FAILED], 0, None, "failed"),
        ([DONE, FAILED, UPSTREAM], 1, None, "partial"),
        ([DONE, FAILED, FAILED], 1, None, "failed"),
        ([FAILED], 5, None, "failed"),
        ([DONE, LATE], 0, "deadline_exceeded", "partial"),
        ([LATE, LATE], 0, "deadline_exceeded", "failed"),
    ],
)
def test_the_status_follows_from_how_the_lineages_ended(
    ends: list[tuple[str, str | None]], allowed: int, cut_short: str | None, expected: str
) -> None:
    assert status_of(ends, allowed, cut_short)[0] == expected
