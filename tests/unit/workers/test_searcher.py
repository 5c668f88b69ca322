"""What Tune is told beside the lineages: processes of trials that end wait for the next ones."""

from __future__ import annotations

from typing import Any

from workers.searcher import LevelByLevel
from workers.trial_processes import keep_processes


class Trial:
    placement_group_factory = "all alike"


class Cache:
    def __init__(self) -> None:
        self.num = 0

    def increase_max(self, key: str, by: int) -> None:
        assert key == Trial.placement_group_factory
        self.num += by


class Controller:
    """As much of Tune's controller as is touched."""

    def __init__(self) -> None:
        self._actor_cache = Cache()
        self._trial_to_actor: dict[Any, str] = {}

    def _maybe_reuse_cached_actor(self, trial: Any) -> bool:
        return True


def test_a_process_is_kept_for_every_trial_that_may_run_at_once() -> None:
    controller = Controller()
    scheduler = LevelByLevel(coordinator=None, num_processes=3)  # type: ignore[arg-type]
    for _ in range(5):
        scheduler.on_trial_add(controller, Trial())
    assert controller._actor_cache.num == 3


def test_a_trial_whose_own_process_is_starting_waits_for_it_and_any_other_takes_one_that_was_kept() -> None:
    controller, starting, new = Controller(), Trial(), Trial()
    controller._trial_to_actor[starting] = "an actor"
    keep_processes(controller, starting, 1)
    assert not controller._maybe_reuse_cached_actor(starting)
    assert controller._maybe_reuse_cached_actor(new)


def test_a_controller_of_another_make_is_left_alone() -> None:
    keep_processes(object(), Trial(), 1)


def test_the_controller_of_the_installed_tune_is_of_this_make() -> None:
    from ray.tune.execution.tune_controller import TuneController

    assert callable(TuneController._maybe_reuse_cached_actor)
    made_of = TuneController.__init__.__code__.co_names
    assert {"_actor_cache", "_trial_to_actor"} <= set(made_of)
