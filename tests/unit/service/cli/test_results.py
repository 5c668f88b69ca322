"""Results gathered from levels, as statistics, rows and tables."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from service.cli.results import WINNING, LevelPoint, Stat, levels_by_treatment, points_of, results_of, table_rows
from service.cli.tables import age, results_legend, results_tables, verdict_value, verdicts_text
from service.client import Client
from tests.support.scripted_service import scripted_service
from tests.support.service_documents import SEARCH, tell_everything


def points() -> list[LevelPoint]:
    return [
        LevelPoint(treatment, replicate, "", level, 0.8**level, 0.9 + 0.01 * replicate, 100 + replicate)
        for treatment in ("random_reinit", WINNING)
        for replicate in range(3)
        for level in range(1 if treatment != WINNING else 0, 3)
    ]


def text_of(*parts: object, width: int = 132) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(*parts)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_statistics_leave_out_what_was_not_measured() -> None:
    assert Stat.over([1.0, None, 3.0]) == Stat(mean=2.0, low=1.0, high=3.0, num=2)
    assert Stat.over([None]) is None


def test_there_is_one_row_per_level_with_the_tickets_beside_the_controls() -> None:
    rows = table_rows(points(), {("", 1): {"paper_point": "yes"}})
    assert [row.level for row in rows] == [0, 1, 2]
    assert list(rows[0].accuracy) == [WINNING]
    assert list(rows[1].accuracy) == [WINNING, "random_reinit"]
    assert rows[1].accuracy[WINNING].mean == pytest.approx(0.91)
    assert rows[1].early_stop[WINNING] == Stat(101.0, 100, 102, 3)
    assert rows[1].verdicts == {"paper_point": "yes"}


def document(*series: dict[str, Any]) -> dict[str, Any]:
    heads = {"treatment": WINNING, "repeat": 0, "replicate": 0, "setting": {}}
    columns = ["level", "density", "early_stop_step", "test_accuracy"]
    return {"columns": columns, "series": [heads | one for one in series]}


def test_a_grid_gives_one_curve_per_setting() -> None:
    curves = document({"setting": {"prune.fraction": 0.2}, "points": [[1, 0.8, 10, 0.9]]})
    assert list(levels_by_treatment(points_of(curves))) == ["winning_ticket · prune.fraction=0.2"]


def test_several_draws_of_a_control_count_as_one_replicate() -> None:
    draws = [
        {"repeat": n, "points": [[1, 0.8, step, accuracy]]}
        for n, (step, accuracy) in enumerate([(100, 0.9), (400, 0.8)])
    ]
    [point] = points_of(document(*draws))
    assert point.test_accuracy == pytest.approx(0.85)
    assert point.early_stop_step == pytest.approx(200)


def test_the_table_shows_accuracy_steps_and_verdicts() -> None:
    rows = table_rows(
        points(), {("", 1): {"paper_point": "yes", "certified": "no"}, ("", 2): {"certified": "inconclusive"}}
    )
    text = text_of(*results_tables(rows), results_legend(rows))
    for word in ("dense", "0.8000", "0.6400", "0.9100", "101", "✔", "✘", "~", "ticket", "reinit", "3 replicates"):
        assert word in text, word


def test_a_narrow_terminal_gets_two_tables_and_no_cut_numbers() -> None:
    rows = table_rows(points(), {})
    tables = results_tables(rows, width=80)
    assert len(tables) == 2
    assert "…" not in text_of(*tables, width=80)


def test_verdicts_may_be_words_or_objects() -> None:
    assert verdict_value({"value": "yes", "n": 3}) == "yes"
    assert verdict_value("inconclusive") == "inconclusive"
    assert verdicts_text({"certified": "yes", "mask_matters": "no", "x": "inconclusive"}).plain == (
        "certified not mask_matters"
    )


def test_ages_are_short() -> None:
    assert age(None) == ""
    assert age("2026-01-01T00:00:00.000Z").endswith(" d")


def test_results_are_gathered_from_the_service() -> None:
    with scripted_service() as service, Client(service.url) as client:
        tell_everything(service)
        found, rows = results_of(client.search(SEARCH))
    assert len(found) == 3 * 4 + 3 * 3
    assert rows[2].verdicts["paper_point"] == "yes"
    assert rows[1].verdicts == {}
