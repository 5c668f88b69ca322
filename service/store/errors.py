"""Lifecycle errors of the record; what HTTP makes of them stands in the front's one table."""

# ruff: noqa: N818  (states of the record read as they are, without a suffix)

from __future__ import annotations


class RecordError(Exception):
    """Base of every error that the record raises on purpose."""


class NotFound(RecordError):
    """The tenant has no such search, lineage, level, ticket or key."""


class NotKept(RecordError):
    """The ticket exists, but its search did not ask to keep this part of it."""


class UnknownDataset(RecordError):
    """No data set of this name is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(f"data set {name!r} is not registered; register it with: lth data add {name}")
        self.name = name


class IdempotencyKeyReused(RecordError):
    """The idempotency key already names a search with another body."""


class AlreadyTerminal(RecordError):
    """The search has ended; `status` is the state that stands."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the search has already ended: {status}")
        self.status = status


class TooManyLineages(RecordError):
    """The specification expands to more lineages or levels than a search may have."""

    def __init__(self, detail: str, count: int, limit: int) -> None:
        super().__init__(detail)
        self.count = count
        self.limit = limit


class TooLargeForQuota(RecordError):
    """The search can never fit the tenant's quota."""


class QuotaExceeded(RecordError):
    """The tenant's quota is spent for now; try again after `retry_after_s`."""

    def __init__(self, detail: str, retry_after_s: float = 30.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class BadCursor(RecordError):
    """A paging cursor or event position that this service never gave out."""


class RedisUnavailable(RecordError):
    """Redis is down, empty or refuses to write; the fact may or may not have been applied."""


class IndexEmpty(RedisUnavailable):
    """Redis answers, but its index is gone and must be rebuilt from the objects."""


class StoreUnavailable(RecordError):
    """The object store is down, slow or refuses us; the write may or may not have been applied."""


class StoreRefused(RecordError):
    """The object store or Redis lacks a property that safety rests on; the service does not start on it."""


class ObjectNotFound(RecordError):
    """No object lies under this key."""


class ArtefactCorrupt(RecordError):
    """Stored bytes do not match their digest; they are never served."""


class StaleEpoch(RecordError):
    """The writer is no longer the leader: a higher epoch has been seen."""


class UnknownFormat(RecordError):
    """A stored document has a format that this version does not know; it is refused, never guessed."""


class ExportFailed(RecordError):
    """A worker could not make the form of a ticket that was asked for."""


class NotPossible(RecordError):
    """A worker could not make the analysis or report that was asked for; the text says why."""


class UnknownTicket(RecordError):
    """The tenant has no such ticket to transfer."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no ticket {name}")
        self.name = name


class UnknownUpload(RecordError):
    """The tenant has uploaded no such ticket."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no upload {name}; upload a ticket by POST /v1/tickets")
        self.name = name
