"""What Tune is told to run: by the board, as far as slots go, and no process more than a search is worth."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.unit.workers.test_board import make_board
from workers.coordinator import Deed, SearchCoordinator


class Driver:
    """A coordinator and what it wants done."""

    def __init__(self, **spec: Any) -> None:
        self.deeds: list[Deed] = []
        self.num_trials = 0
        self.board = make_board(**spec)
        self.coordinator = SearchCoordinator(
            self.board,
            tenant="local",
            search="srch_x",
            epoch=1,
            priority="normal",
            do=self.deeds.append,
            record_rung=print,
            on_over=int,
        )

    def suggest(self) -> dict[str, Any] | None:
        """Ask for a trial; return its task."""
        self.num_trials += 1
        config = self.coordinator.suggest(f"trial-{self.num_trials}")
        return None if config is None else dict(json.loads(config["task"]))


def test_trials_begin_with_one_and_go_on_to_one_per_slot_when_it_is_up() -> None:
    driver = Driver(replicates=20, prune={"levels": 20})
    driver.coordinator.expect_slots(3)
    first = driver.suggest()
    assert first is not None
    assert driver.suggest() is None
    driver.coordinator.heard_of_trials()
    time.sleep(0.1)  # 400 levels of at least this
    assert [driver.suggest() is not None for _ in range(3)] == [True, True, False]
    assert driver.board.num_running == 3


def test_one_lineage_more_than_slots_runs_once_a_level_is_committed() -> None:
    driver = Driver(replicates=20, prune={"levels": 20})
    driver.coordinator.expect_slots(2)
    driver.suggest()
    driver.coordinator.heard_of_trials()
    time.sleep(0.1)
    assert driver.suggest() is not None
    assert driver.suggest() is None
    assert driver.coordinator.level_done(
        "trial-1", {"level": 0, "collapsed": False, "val_accuracy": 0.5, "busy_s": 0.1}
    )
    assert driver.suggest() is not None
    assert driver.suggest() is None


def test_a_search_of_a_moment_is_left_to_the_trial_it_has() -> None:
    driver = Driver(replicates=3)
    driver.coordinator.expect_slots(8)
    driver.suggest()
    for level in range(2):
        result = {"level": level, "collapsed": False, "val_accuracy": 0.5, "busy_s": 0.01}
        driver.coordinator.level_done("trial-1", result)
        assert driver.suggest() is None
    assert [deed.kind for deed in driver.deeds] == ["started", "committed", "committed"]
