"""How a search's levels are judged: rows in, statements that hold or fail out; needs nothing but Python."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Rows = list[dict[str, Any]]
"""One row per committed level of every lineage."""


@dataclass(frozen=True)
class Gate:
    """One statement of a claim.

    Attributes:
        holds: Whether it is true; None where the search has not what it speaks of.
        figures: The numbers that it was read from.
    """

    holds: bool | None
    figures: Any


def accuracies(rows: Rows, treatment: str, level: int) -> dict[int, float]:
    """Return test accuracy at early stop by replicate, several draws of a control averaged."""
    found = defaultdict(list)
    for row in rows:
        if (row["treatment"], row["level"]) == (treatment, level):
            found[row["replicate"]].append(row["test_accuracy"])
    return {replicate: fmean(values) for replicate, values in sorted(found.items())}


def leads(rows: Rows, level: int, rival: str = "random_reinit") -> list[float]:
    """Return how far the ticket is ahead at a level, one value per replicate; `dense` is the rival at level 0."""
    tickets = accuracies(rows, "winning_ticket", level)
    rivals = accuracies(rows, "winning_ticket", 0) if rival == "dense" else accuracies(rows, rival, level)
    return [round(tickets[replicate] - rivals[replicate], 6) for replicate in sorted(tickets.keys() & rivals.keys())]


def by_level(rows: Rows) -> list[dict[str, Any]]:
    """Return, per level, the density and the ticket's leads over dense network and re-initialised control."""
    found = []
    for level in sorted({row["level"] for row in rows if row["level"]}):
        table: dict[str, Any] = {"level": level, "density": next(r["density"] for r in rows if r["level"] == level)}
        for rival in ("dense", "random_reinit"):
            values = leads(rows, level, rival)
            table[f"lead_over_{rival}"] = values
            table[f"mean_over_{rival}"] = round(fmean(values), 6) if values else None
        found.append(table)
    return found


def as_members(gates: dict[str, Gate]) -> dict[str, Any]:
    """Return gates as a result keeps them."""
    return {name: {"holds": gate.holds, "figures": gate.figures} for name, gate in gates.items()}


def tell(gates: dict[str, Gate]) -> bool:
    """Print every statement; tells whether some could be judged and none failed."""
    for statement, gate in gates.items():
        print({True: "holds ", False: "FAILS ", None: "(not run)"}[gate.holds], statement, gate.figures)
    judged = [gate.holds for gate in gates.values() if gate.holds is not None]
    return bool(judged) and all(judged)
