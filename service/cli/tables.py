"""Searches, tickets and results as tables for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from service.cli.results import WINNING, Row, Stat
from service.client import Ticket

WIDE = 112
STATUS_STYLES = {
    "succeeded": "green",
    "committed": "green",
    "running": "bold blue",
    "provisioning": "blue",
    "retrying": "yellow",
    "partial": "yellow",
    "cancelling": "yellow",
    "stopped": "yellow",
    "failed": "bold red",
    "cancelled": "magenta",
    "paused": "yellow",
}
VERDICT_STYLES = {"yes": "green", "no": "red", "inconclusive": "yellow"}
VERDICT_MARKS = {"yes": "✔", "no": "✘", "inconclusive": "~"}
VERDICT_HEADS = {
    "paper_point": "paper\npoint",
    "certified": "certi-\nfied",
    "initialisation_matters": "init\nmatters",
    "mask_matters": "mask\nmatters",
    "matching": "match-\ning",
    "trained_matches": "trained\nmatches",
    "lost": "lost",
    "not_converged": "not con-\nverged",
}
WARNINGS = ("lost", "not_converged")
SHORT_NAMES = {WINNING: "ticket", "random_reinit": "reinit", "random_mask": "random", "shuffled_mask": "shuffled"}


def status_text(status: str) -> Text:
    """A state in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, "dim"))


def new_table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    """An empty table in the house's look; the columns in `right` hold numbers."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    numbers = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    return table


def share(value: float | None) -> str:
    """A density or accuracy with four digits."""
    return "" if value is None else f"{value:.4f}"


def age(moment: str | None, now: dt.datetime | None = None) -> str:
    """How long ago an RFC 3339 moment was."""
    if not moment:
        return ""
    try:
        then = dt.datetime.fromisoformat(moment)
    except ValueError:
        return moment
    seconds = int(((now or dt.datetime.now(dt.UTC)) - then).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"


def searches_table(documents: Iterable[Mapping[str, Any]]) -> Table:
    """Searches, one per line."""
    table = new_table("id", "name", "status", "levels", "failed", "age", right=("levels", "failed", "age"))
    for document in documents:
        progress = document.get("progress") or {}
        counts = document.get("counts") or {}
        table.add_row(
            str(document["id"]),
            str(document.get("name") or ""),
            status_text(str(document["status"])),
            f"{progress.get('levels_done', 0)}/{progress.get('levels_total', 0)}",
            str(counts.get("failed") or ""),
            age((document.get("status_at") or {}).get("queued")),
        )
    return table


def tickets_table(tickets: Iterable[Ticket]) -> Table:
    """Tickets, one per line."""
    numbers = ("level", "density", "accuracy", "early stop")
    table = new_table("id", "treatment", "seed", *numbers, right=("seed", *numbers))
    table.add_column("verdicts")
    for ticket in tickets:
        document = ticket.document
        table.add_row(
            ticket.id,
            SHORT_NAMES.get(str(document["treatment"]), str(document["treatment"])),
            str(document.get("replicate", "")),
            str(ticket.level),
            share(ticket.density),
            share(ticket.test_accuracy),
            str(document.get("early_stop_step") or ""),
            verdicts_text(ticket.verdicts),
        )
    return table


def verdict_value(verdict: Any) -> str:
    """`yes`, `no` or `inconclusive`, also where the verdict is an object with its statistics."""
    return str(verdict.get("value", verdict.get("verdict", ""))) if isinstance(verdict, Mapping) else str(verdict)


def verdicts_text(verdicts: Mapping[str, Any]) -> Text:
    """All verdicts that say yes or no, in one line."""
    text = Text()
    for name, verdict in verdicts.items():
        value = verdict_value(verdict)
        if name in WARNINGS and value != "yes":
            continue
        if value in ("yes", "no"):
            text.append(f"{name} " if value == "yes" else f"not {name} ", VERDICT_STYLES[value])
    text.rstrip()
    return text


def results_tables(rows: Sequence[Row], width: int = 132) -> list[Table]:
    """Density by density: accuracy and early-stop step of tickets and controls, and the verdicts.

    Args:
        rows: The results.
        width: Characters per line; a narrow terminal gets two tables, one below the other.
    """
    if width >= WIDE:
        return [_results_table(rows, accuracy=True, early_stop=True)]
    return [_results_table(rows, accuracy=True), _results_table(rows, early_stop=True)]


def _results_table(rows: Sequence[Row], *, accuracy: bool = False, early_stop: bool = False) -> Table:
    treatments = _treatments(rows)
    verdicts = [name for name in VERDICT_HEADS if accuracy and _is_telling(name, rows)]
    settings = any(row.setting for row in rows)
    table = new_table(*(["setting"] if settings else []))
    for head in ("level", "density"):
        table.add_column(head, justify="right", no_wrap=True)
    for kind in ("acc.",) * accuracy + ("early stop",) * early_stop:
        for name in treatments:
            table.add_column(f"{kind}\n{SHORT_NAMES.get(name, name)}", justify="right", no_wrap=True)
    for name in verdicts:
        table.add_column(VERDICT_HEADS[name], justify="center", no_wrap=True)
    for row in rows:
        best = max((stat.mean for stat in row.accuracy.values()), default=0.0)
        cells: list[str | Text] = [row.setting] if settings else []
        cells += [str(row.level) if row.level else "dense", share(row.density)]
        if accuracy:
            cells += [_accuracy(row.accuracy.get(name), best, len(row.accuracy)) for name in treatments]
        if early_stop:
            cells += [_step(row.early_stop.get(name)) for name in treatments]
        cells += [_verdict(name, row.verdicts.get(name)) for name in verdicts]
        table.add_row(*cells)
    return table


def results_legend(rows: Sequence[Row]) -> Text:
    """What the numbers and marks of the table mean."""
    num = max((stat.num for row in rows for stat in row.accuracy.values()), default=0)
    text = Text(f"mean of {num} replicate{'s' if num != 1 else ''} at early stop, best in bold", style="dim")
    if any(row.verdicts for row in rows):
        text.append("; verdicts: ✔ yes, ✘ no, ~ inconclusive, ! beware (bounds per level, unadjusted)")
    return text


def _treatments(rows: Sequence[Row]) -> list[str]:
    names = {name for row in rows for name in row.accuracy}
    return sorted(names, key=lambda name: (name != WINNING, name))


def _is_telling(name: str, rows: Sequence[Row]) -> bool:
    """Whether a verdict decided anything; of the warnings only `yes` is worth a column."""
    telling = {"yes"} if name in WARNINGS else {"yes", "no"}
    return any(verdict_value(row.verdicts.get(name, "")) in telling for row in rows)


def _accuracy(stat: Stat | None, best: float, num_rivals: int) -> Text:
    if stat is None:
        return Text("")
    return Text(f"{stat.mean:.4f}", style="bold" if num_rivals > 1 and stat.mean >= best else "")


def _step(stat: Stat | None) -> str:
    return "" if stat is None else f"{stat.mean:.0f}"


def _verdict(name: str, verdict: Any) -> Text:
    value = verdict_value(verdict) if verdict is not None else ""
    if name in WARNINGS:
        return Text("!" if value == "yes" else "", style="bold yellow")
    return Text(VERDICT_MARKS.get(value, value), style=VERDICT_STYLES.get(value, ""))
