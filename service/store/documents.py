"""What reading methods return: JSON documents that say whether they were read under a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Degraded = Literal["redis", "store"]
"""The part that is down: `redis` = read from the objects, `store` = read from an index that may be stale."""


class Document(dict[str, Any]):
    """A JSON object.

    Attributes:
        degraded: Which part was down when it was read, None if all was well.
    """

    def __init__(self, content: Mapping[str, Any], degraded: Degraded | None = None) -> None:
        super().__init__(content)
        self.degraded = degraded
        if degraded == "store":
            self["stale"] = True


class Documents(list[dict[str, Any]]):
    """A JSON array of objects; `degraded` as in `Document`."""

    def __init__(self, content: Iterable[dict[str, Any]], degraded: Degraded | None = None) -> None:
        super().__init__(content)
        self.degraded = degraded


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes:
        data: The documents of this page.
        next_after: Where the next page begins, None if this is the last one.
        degraded: As in `Document`.
    """

    data: list[dict[str, Any]]
    next_after: str | None
    degraded: Degraded | None = None


@dataclass(frozen=True)
class EventPage:
    """Events of a search, oldest first.

    Attributes:
        data: The events, each with the `id` at which reading can go on after it.
        next_after: Where the next page begins, None if there is nothing more yet.
        position: Where to go on for events still to come.
        ended: Whether the search's last event lies at or before `position`.
    """

    data: list[dict[str, Any]]
    next_after: str | None
    position: str
    ended: bool
