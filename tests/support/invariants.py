"""What must hold of a service after any fault, read from the object store and from what clients were told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from service.api.errors import PROBLEMS
from service.settings import Settings
from service.store.record import Record
from tests.support.deployment import Told
from workers.bridge import Bridge
from workers.verify import verify_ticket

TENANT = "local"
LONGEST_ANSWER_S = 5.0


def assert_each_search_ended_once(objects: Path, promised: Mapping[str, Iterable[str]]) -> None:
    """No search that a client was promised is lost, none is there twice, and each has one end.

    Args:
        objects: The store's folder.
        promised: By idempotency key, the ids that POSTs with it were answered.
    """
    found = {key: set(ids) for key, ids in promised.items()}
    assert all(len(ids) == 1 for ids in found.values()), found
    names = {name for ids in found.values() for name in ids}
    assert len(names) == len(found), "two keys were answered with one search"
    folder = objects / "searches" / TENANT
    assert names == {path.name for path in folder.iterdir() if (path / "spec.json").exists()}
    for name in names:
        records = [json.loads(path.read_text()) for path in sorted((folder / name / "log").iterdir())]
        numbers = [record["n"] for record in records]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), name
        assert sum(record["type"] == "terminal" for record in records) == 1, name


def assert_no_level_twice(events: Iterable[Mapping[str, Any]]) -> None:
    """Every level of every lineage was announced with one mask only."""
    masks: dict[tuple[str, int], set[str]] = {}
    for event in events:
        if event["type"] == "level.committed":
            masks.setdefault((event["lineage"], event["level"]), set()).add(event["data"]["mask_sha256"])
    assert all(len(found) == 1 for found in masks.values()), masks


def assert_tickets_verify(settings: Settings, tickets: Iterable[str]) -> None:
    """Chain, counts, nesting and digests of each ticket follow from the stored bytes."""
    bridge = Bridge("verify")
    try:
        record: Record = bridge.call(Record.open(settings, check=False))
        for ticket in tickets:
            report = bridge.call(verify_ticket(record, TENANT, ticket), timeout_s=60)
            assert report.ok, report.as_json()
        bridge.call(record.close())
    finally:
        bridge.close()


def assert_answers_are_documented(told: Iterable[Told]) -> None:
    """Clients got what the API promises, in time; of server errors only that a part is away for a moment."""
    for one in told:
        assert one.status < 500 or one.status == 503, one
        assert one.code is None or PROBLEMS[one.code].status == one.status, one
        assert one.took_s <= LONGEST_ANSWER_S, one


def starts_by_node(events: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many levels began on each machine."""
    return Counter(event["data"]["node"] for event in events if event["type"] == "level.started")
