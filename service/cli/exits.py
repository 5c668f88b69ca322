"""Exit codes of `lth`, and which failure leads to which."""

from __future__ import annotations

from service.local.home import CannotStart
from service.wire.problems import (
    DigestMismatch,
    LthError,
    ProblemError,
    SearchCancelled,
    SearchFailed,
    ServiceUnreachable,
    WaitTimeout,
)

DONE = 0
FAULT = 1
REFUSED = 2
FAILED = 3
CANCELLED = 4
PARTIAL = 5
FORBIDDEN = 6
NOT_FOUND = 7
QUOTA = 8
UNVERIFIED = 9
TIMED_OUT = 124
DETACHED = 130

_BY_STATUS = {401: FORBIDDEN, 403: FORBIDDEN, 404: NOT_FOUND, 429: QUOTA, 501: REFUSED}
_BY_END = {"failed": FAILED, "cancelled": CANCELLED, "partial": PARTIAL}
_BY_ERROR: tuple[tuple[type[BaseException], int], ...] = (
    (SearchCancelled, CANCELLED),
    (SearchFailed, FAILED),
    (WaitTimeout, TIMED_OUT),
    (DigestMismatch, UNVERIFIED),
    (ServiceUnreachable, FAULT),
    (CannotStart, FAULT),
)


class UsageError(LthError):
    """The command was used in a way that cannot work; the text says how it can."""


def for_search(status: str) -> int:
    """Exit code of a command that followed a search to this end; an end this client does not know is a fault."""
    return DONE if status == "succeeded" else _BY_END.get(status, FAULT)


def for_error(error: BaseException) -> int:
    """Exit code of a command that ended by this error."""
    if isinstance(error, ProblemError):
        refused = REFUSED if 400 <= error.status < 500 else FAULT
        return _BY_STATUS.get(error.status, refused)
    if isinstance(error, UsageError):
        return REFUSED
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAULT)
