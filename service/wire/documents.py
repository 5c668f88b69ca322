"""The service's JSON documents as objects; what is unknown to this client stays readable in `document`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.wire.problems import SearchCancelled, SearchFailed

TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})


class SearchDocument:
    """One search as the service last described it.

    Attributes:
        document: The whole JSON of the search.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: dict[str, Any] = dict(document)

    @property
    def id(self) -> str:
        """Name of the search, `srch_...`."""
        return str(self.document["id"])

    @property
    def status(self) -> str:
        """State of the search; values may be added by later services."""
        return str(self.document["status"])

    @property
    def is_terminal(self) -> bool:
        """Whether the search has ended."""
        return self.status in TERMINAL

    @property
    def best_id(self) -> str | None:
        """Name of the best ticket, once it is known."""
        best = self.document.get("best")
        if isinstance(best, Mapping):
            best = best.get("ticket") or best.get("id")
        return str(best) if best else None

    @property
    def path(self) -> str:
        """Where the search lives."""
        return f"/v1/searches/{self.id}"

    def raise_unless_finished(self) -> None:
        """Check the end of a search.

        Raises:
            SearchCancelled: If it was cancelled.
            SearchFailed: If it failed.
        """
        reason = self.document.get("reason")
        because = f" ({reason})" if reason else ""
        if self.status == "cancelled":
            raise SearchCancelled(f"{self.id} was cancelled{because}", self.document)
        if self.status == "failed":
            raise SearchFailed(f"{self.id} failed{because}", self.document)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"


class TicketDocument:
    """One ticket: a mask and the weights to rewind to, at one level of one lineage.

    Attributes:
        document: The whole JSON of the ticket.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: dict[str, Any] = dict(document)

    @property
    def id(self) -> str:
        """Name of the ticket, `tkt_...`."""
        return str(self.document["id"])

    @property
    def path(self) -> str:
        """Where the ticket lives."""
        return f"/v1/tickets/{self.id}"

    @property
    def level(self) -> int:
        """How many times it was pruned."""
        return int(self.document["level"])

    @property
    def density(self) -> float:
        """Share of the prunable weights that it keeps, in (0, 1]."""
        return float(self.document["density"])

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy at early stop, in [0, 1]."""
        value = self.document.get("test_accuracy")
        return None if value is None else float(value)

    @property
    def verdicts(self) -> dict[str, Any]:
        """What the search judged about it; empty until judged."""
        return dict(self.document.get("verdicts") or {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} level={self.level} density={self.density:.4f}>"


@dataclass(frozen=True)
class Event:
    """Something that happened in a search.

    Attributes:
        event_id: Stable name; the same event has the same name however often it is delivered.
        type: For example `level.committed`; types may be added by later services.
        at: When, RFC 3339.
        search: The search.
        lineage: The lineage, for events of one.
        level: The level, for events of one.
        data: What else there is to say.
        position: Where to resume (`Last-Event-ID`).
    """

    event_id: str
    type: str
    at: str = ""
    search: str = ""
    lineage: str | None = None
    level: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    position: str = ""

    @property
    def ends_search(self) -> bool:
        """Whether nothing comes after it."""
        kind, _, state = self.type.partition(".")
        return kind == "search" and state in TERMINAL

    def as_json(self) -> dict[str, Any]:
        """The event as the service's paged form writes it."""
        names = ("event_id", "type", "at", "search", "lineage", "level")
        return {name: getattr(self, name) for name in names} | {"data": dict(self.data)}


def event_from(document: Mapping[str, Any], *, kind: str = "", position: str = "") -> Event:
    """Read one event, from a page or from a stream."""
    level, lineage = document.get("level"), document.get("lineage")
    return Event(
        event_id=str(document.get("event_id") or position),
        type=str(document.get("type") or kind),
        at=str(document.get("at") or ""),
        search=str(document.get("search") or ""),
        lineage=None if lineage is None else str(lineage),
        level=None if level is None else int(level),
        data=document.get("data") or {},
        position=position,
    )


def submission_body(spec: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a POST from a whole body or from a bare spec, and members to set in it unless they are None."""
    body = dict(spec) if "spec" in spec else {"spec": dict(spec)}
    return body | {name: value for name, value in members.items() if value is not None}


def new_idempotency_key() -> str:
    """A key that names one submission over all its tries."""
    return f"lth-{uuid.uuid4().hex}"
