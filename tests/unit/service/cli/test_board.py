"""The live picture of a search."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from service.cli.board import MAX_ROWS, Board, sparkline, step_bar
from service.wire.documents import event_from
from tests.support.service_documents import lineages, search


def picture(board: Board) -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def committed(lineage: str, level: int, accuracy: float) -> dict[str, Any]:
    data = {"density": 0.8**level, "test_accuracy": accuracy}
    return {
        "event_id": f"{lineage}:{level}",
        "type": "level.committed",
        "lineage": lineage,
        "level": level,
        "data": data,
    }


def test_the_picture_shows_every_lineage_with_its_level_step_density_and_accuracy() -> None:
    some = lineages()
    some[0] |= {"status": "running", "levels_done": 3, "current": {"level": 3, "step": 100, "steps": 400}}
    board = Board(search("running"), some)
    for level, accuracy in enumerate((0.95, 0.96, 0.97)):
        board.hear(event_from(committed(some[0]["id"], level, accuracy)))
    text = picture(board)
    for word in ("lenet-digits", "running", "4/21 levels", "3/4", "100/400", "0.6400", "0.9700", "▁▅█", "Ctrl-C"):
        assert word in text, word
    assert text.count("random reinit") == 3


def test_events_of_unknown_types_change_nothing() -> None:
    board = Board(search("running"), lineages())
    board.hear(event_from({"event_id": "x", "type": "from.the_future", "lineage": "lin_1", "level": 2}))
    assert board.trails == {}


def test_errors_and_conditions_are_told() -> None:
    some = lineages()
    some[1] |= {"status": "failed", "error": {"class": "nonfinite", "message": "loss is not finite at step 17"}}
    waiting = {"type": "GPUAvailable", "status": "False", "message": "0 GPU workers"}
    text = picture(Board(search("running", conditions=[waiting]), some))
    assert "loss is not finite at step 17" in text
    assert "0 GPU workers" in text


def test_of_very_many_lineages_the_busy_ones_are_shown() -> None:
    many = [lineages()[0] | {"id": f"lin_{i}", "replicate": i, "status": "pending"} for i in range(MAX_ROWS + 12)]
    many[-1]["status"] = "running"
    text = picture(Board(search("running", counts={"lineages": 42, "pending": 41, "running": 1}), many))
    assert "12 more lineages" in text
    assert "41 pending" in text
    assert str(MAX_ROWS + 11) in text


def test_bars_and_sparklines_take_any_input() -> None:
    assert step_bar({"status": "pending"}).plain == ""
    assert step_bar({"status": "running", "current": {"step": 9, "steps": 8}}).plain.endswith("8/8")
    assert sparkline([0.5]).plain == ""
    assert sparkline([0.5, 0.5]).plain == "▁▁"
