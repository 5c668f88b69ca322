"""The early-stopping step, found afterwards."""

from __future__ import annotations

import json

from lth_core.curves import Curves, Point
from lth_core.evaluation import Score


def curves(*losses: float) -> Curves:
    made = Curves()
    for i, loss in enumerate(losses):
        made.add(Point(10 * i, 0.1, Score(loss, 0.5) if i else None, Score(loss, 0.5)))
    return made


def test_early_stop_is_the_first_of_equal_minima():
    assert curves(9.0, 3.0, 1.0, 2.0, 1.0, 4.0).early_stop.step == 20


def test_the_start_never_counts_even_if_it_is_the_lowest():
    found = curves(0.1, 3.0, 2.0, 4.0)
    assert found.early_stop.step == 20
    assert found.converged


def test_a_minimum_at_the_end_is_not_converged():
    assert not curves(9.0, 3.0, 2.0, 1.0).converged
    assert not curves(9.0, 3.0).converged
    assert curves(9.0, 1.0, 1.0).converged


def test_an_evaluation_that_does_not_count_is_never_the_early_stop():
    made = Curves()
    for i, loss in enumerate([9.0, 1.0, 2.0, 4.0, 3.0, 3.5]):
        made.add(Point(i, 0.1, None, Score(loss, 0)), counts=i >= 3)
    assert made.early_stop.step == 4
    assert len(made.points) == 6


def test_adding_tells_whether_the_loss_is_the_lowest_so_far():
    made = Curves()
    told = [made.add(Point(i, 0.1, None, Score(loss, 0))) for i, loss in enumerate([0.0, 3.0, 3.0, 2.0, 5.0])]
    assert told == [False, True, False, True, False]


def test_lines_are_canonical_json_with_null_where_nothing_was_read():
    lines = curves(2.0, 1.0).to_jsonl().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == {
        "step": 0,
        "lr": 0.1,
        "train_loss": None,
        "train_accuracy": None,
        "val_loss": 2.0,
        "val_accuracy": 0.5,
        "test_loss": None,
        "test_accuracy": None,
    }
