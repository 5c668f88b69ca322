"""Events as stored and shown: a stable name, a type, and what there is to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lth_core.canonical import canonical_json
from lth_core.expansion import PlannedLineage
from service.store import clock
from service.store.log import TERMINAL, LogRecord
from service.store.plans import Plan
from service.store.summaries import Summary

LAST_EVENTS = frozenset(f"search.{status}" for status in TERMINAL)
"""Types after which a stream of events ends."""

Event = dict[str, Any]


def make(
    search_id: str,
    event_id: str,
    kind: str,
    *,
    at: str | None = None,
    lineage: str | None = None,
    level: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Build one event; `at` is now unless given."""
    return {
        "event_id": event_id,
        "type": kind,
        "at": at or clock.to_text(clock.now()),
        "search": search_id,
        "lineage": lineage,
        "level": level,
        "data": dict(data or {}),
    }


def flat(events: list[Event]) -> list[str | bytes]:
    """Lay events out as the functions take them: name, JSON, name, JSON."""
    arguments: list[str | bytes] = []
    for event in events:
        arguments += [event["event_id"], canonical_json(event)]
    return arguments


def accepted(plan: Plan) -> list[Event]:
    """The event of a search's acceptance."""
    at = clock.to_text(plan.accepted.accepted_at)
    return [make(plan.id, f"{plan.id}:queued", "search.queued", at=at)]


def logged(plan: Plan, record: LogRecord) -> list[Event]:
    """The events of a log record that changed the search's state."""
    data = record.data
    if record.type == "cancel":
        return [make(plan.id, f"{plan.id}:cancelling", "search.cancelling", at=record.at, data=data)]
    if record.type == "outcome":
        name, status = data["lineage"], data["status"]
        return [make(plan.id, f"{name}:{status}", f"lineage.{status}", at=record.at, lineage=name, data=data)]
    if record.type == "terminal":
        status = data["status"]
        return [make(plan.id, f"{plan.id}:{status}", f"search.{status}", at=record.at, data=data)]
    return []


def committed(plan: Plan, lineages: tuple[PlannedLineage, ...], summary: Summary) -> list[Event]:
    """The events of a committed level, one for each lineage of the search that it belongs to."""
    level = summary["level"]
    events = []
    for lineage in lineages:
        name = plan.ids[lineage.key]
        data = {
            "density": summary["density"],
            "test_accuracy": summary["metrics"]["test_accuracy"],
            "early_stop_step": summary["metrics"]["early_stop_step"],
            "mask_sha256": summary["mask_sha256"],
            "collapsed": summary["collapsed"],
            "treatment": lineage.spec.treatment,
            "replicate": lineage.spec.replicate,
            "ticket": plan.ticket_id(lineage.key, level, summary["committed_at"]) if level else None,
        }
        kind, at = "level.committed", summary["committed_at"]
        event = make(plan.id, f"{name}:{level}:committed", kind, at=at, lineage=name, level=level, data=data)
        events.append(event)
    return events
