"""What happens to engines and machines of a cluster, one line each, the last few of which are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

EventKind = Literal["engine_requested", "engine_ready", "engine_idle", "engine_lost", "node_joined", "node_lost"]
MAX_EVENTS = 50


@dataclass(frozen=True)
class ClusterEvent:
    """Something that changed what the cluster can train.

    Attributes:
        at: When, RFC 3339.
        kind: `engine_idle`: it went without harm; `engine_lost`: it died, was stuck, or never started.
        node: Machine, as far as it is known.
        engine: Name of the engine, None where a machine came or went.
        device: Its class of device.
        threads: Its threads.
        reason: Why, in words.
    """

    at: str
    kind: EventKind
    node: str
    engine: str | None = None
    device: str | None = None
    threads: int | None = None
    reason: str | None = None


def latest(*sources: Iterable[ClusterEvent]) -> list[dict[str, Any]]:
    """Join events of several sources and return the last ones, the oldest first."""
    events = sorted((event for source in sources for event in source), key=lambda event: event.at)
    return [asdict(event) for event in events[-MAX_EVENTS:]]
