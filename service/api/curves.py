"""Curves: the metrics of every committed level of a search as one table, for plots and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from service.store.record import Record

METRICS = (
    "early_stop_step",
    "converged",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "start_test_accuracy",
    "end_val_accuracy",
    "end_test_accuracy",
)
COLUMNS = ("level", "density", "kept", "collapsed", *METRICS)
LINEAGE_COLUMNS = ("lineage", "treatment", "repeat", "replicate", "setting")
PAGE_SIZE = 200

Row = tuple[dict[str, Any], list[list[Any]]]


async def table(record: Record, tenant: str, search_id: str) -> list[Row]:
    """Collect (lineage, rows of `COLUMNS`) for every lineage of a search that has a committed level."""
    rows: list[Row] = []
    after: str | None = None
    while True:
        page = await record.lineages(tenant, search_id, limit=PAGE_SIZE, after=after)
        for lineage in page.data:
            levels = await record.levels(tenant, search_id, lineage["id"])
            points = [_point(level) for level in levels if level["status"] == "committed"]
            if points:
                rows.append((lineage, points))
        after = page.next_after
        if after is None:
            return rows


def as_document(search_id: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the table as the API shows it: one series per lineage."""
    series = [{**_head(lineage), "points": points} for lineage, points in rows]
    return {"object": "curves", "search": search_id, "columns": list(COLUMNS), "series": series}


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV, one line per level; a setting is written as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*LINEAGE_COLUMNS, *COLUMNS])
    for lineage, points in rows:
        head = _head(lineage)
        head["setting"] = json.dumps(head["setting"], sort_keys=True)
        writer.writerows([*head.values(), *point] for point in points)
    return text.getvalue()


def _head(lineage: dict[str, Any]) -> dict[str, Any]:
    return {"lineage": lineage["id"], **{name: lineage[name] for name in LINEAGE_COLUMNS[1:]}}


def _point(level: dict[str, Any]) -> list[Any]:
    metrics = level["metrics"]
    own = [level[name] for name in ("level", "density", "kept", "collapsed")]
    return [*own, *(metrics.get(name) for name in METRICS)]
