"""The results of a search, gathered level by level: tickets against controls, mean and range over replicates."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.client import Search

WINNING = "winning_ticket"


@dataclass(frozen=True)
class LevelPoint:
    """What one committed level measured in one replicate.

    Attributes:
        treatment: What was trained under the mask.
        replicate: Its seed.
        setting: The grid cell, as text; empty without a grid.
        level: How many times it was pruned.
        density: Share of the prunable weights kept.
        test_accuracy: At early stop, in [0, 1].
        early_stop_step: Step of the lowest validation loss.
        converged: Whether that was before the last evaluation; if not, the true step lies later.
    """

    treatment: str
    replicate: int
    setting: str
    level: int
    density: float
    test_accuracy: float | None
    early_stop_step: float | None
    converged: bool = True


@dataclass(frozen=True)
class Stat:
    """Mean and range over replicates."""

    mean: float
    low: float
    high: float
    num: int

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Stat | None:
        """The statistics of the values that are there, or None if none is."""
        known = [value for value in values if value is not None]
        return cls(sum(known) / len(known), min(known), max(known), len(known)) if known else None


@dataclass(frozen=True)
class Row:
    """One level of one setting: every treatment's numbers, and what the search judged.

    Attributes:
        setting: The grid cell, as text.
        level: How many times it was pruned.
        density: Share of the prunable weights kept, mean over replicates.
        accuracy: Test accuracy at early stop, by treatment.
        early_stop: Early-stop step, by treatment.
        verdicts: By name, of the tickets of this level.
    """

    setting: str
    level: int
    density: float
    accuracy: Mapping[str, Stat]
    early_stop: Mapping[str, Stat]
    verdicts: Mapping[str, Any] = field(default_factory=dict)


def setting_text(setting: Mapping[str, Any] | None) -> str:
    """A grid cell in few letters: `prune.fraction=0.2`."""
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted((setting or {}).items()))


def collect(search: Search) -> list[LevelPoint]:
    """Every committed level of a search, its draws averaged within each replicate."""
    return points_of(search.curves())


def points_of(curves: Mapping[str, Any]) -> list[LevelPoint]:
    """The numbers in a curves document.

    Several draws of a control count as one replicate: accuracy by its mean, the early-stop step geometrically.
    """
    places: dict[tuple[str, str, int, int], list[dict[str, Any]]] = {}
    for series in curves["series"]:
        for values in series["points"]:
            level = dict(zip(curves["columns"], values, strict=True))
            setting = setting_text(series.get("setting"))
            place = (str(series["treatment"]), setting, int(series["replicate"]), int(level["level"]))
            places.setdefault(place, []).append(level)
    return [
        LevelPoint(
            treatment=treatment,
            replicate=replicate,
            setting=setting,
            level=level,
            density=sum(draw["density"] for draw in draws) / len(draws),
            test_accuracy=_mean([draw["test_accuracy"] for draw in draws]),
            early_stop_step=_geometric_mean([draw["early_stop_step"] for draw in draws]),
            converged=all(draw.get("converged") is not False for draw in draws),
        )
        for (treatment, setting, replicate, level), draws in places.items()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    stat = Stat.over(values)
    return stat.mean if stat else None


def _geometric_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < 2 or min(known) <= 0:
        return _mean(known)
    return math.exp(sum(math.log(value) for value in known) / len(known))


def treatments_of(points: Iterable[LevelPoint]) -> list[str]:
    """The treatments that occur, the tickets first."""
    return sorted({point.treatment for point in points}, key=lambda name: (name != WINNING, name))


def levels_by_treatment(points: Iterable[LevelPoint]) -> dict[str, list[LevelPoint]]:
    """The points of every curve: by treatment, and by setting where there is a grid."""
    curves: dict[str, list[LevelPoint]] = {}
    for point in points:
        name = f"{point.treatment} · {point.setting}" if point.setting else point.treatment
        curves.setdefault(name, []).append(point)
    return curves


def verdicts_by_level(search: Search) -> dict[tuple[str, int], dict[str, Any]]:
    """What the search judged, by setting and level."""
    tickets = (ticket for ticket in search.tickets(treatment=WINNING) if ticket.verdicts)
    return {(setting_text(t.document.get("setting")), t.level): t.verdicts for t in tickets}


def table_rows(points: Sequence[LevelPoint], verdicts: Mapping[tuple[str, int], Mapping[str, Any]]) -> list[Row]:
    """One row per setting and level, dense first."""
    places = sorted({(point.setting, point.level) for point in points})
    rows = []
    for setting, level in places:
        here = [point for point in points if (point.setting, point.level) == (setting, level)]
        by_name = {name: [p for p in here if p.treatment == name] for name in treatments_of(here)}
        accuracy = {name: Stat.over(p.test_accuracy for p in some) for name, some in by_name.items()}
        steps = {name: Stat.over(p.early_stop_step for p in some) for name, some in by_name.items()}
        rows.append(
            Row(
                setting=setting,
                level=level,
                density=sum(point.density for point in here) / len(here),
                accuracy={name: stat for name, stat in accuracy.items() if stat},
                early_stop={name: stat for name, stat in steps.items() if stat},
                verdicts=verdicts.get((setting, level), {}),
            )
        )
    return rows


def results_of(search: Search) -> tuple[list[LevelPoint], list[Row]]:
    """Points and table of a search."""
    points = collect(search)
    return points, table_rows(points, verdicts_by_level(search))
