"""Rungs: when a setting is judged, by Tune's own rule, and that a replay decides nothing anew."""

from __future__ import annotations

from lth_core.parts import Scheduler
from workers.schedulers import Asha, Fifo, Trials, judge_of

ASHA = Scheduler(name="asha", grace_levels=1, reduction_factor=2)


def test_asha_has_its_rungs_at_powers_of_the_reduction_factor_below_the_last_level() -> None:
    assert Asha(ASHA, 8).rungs == (1, 2, 4)
    assert Asha(Scheduler(name="asha", grace_levels=3, reduction_factor=3), 20).rungs == (3, 9)
    assert Asha(Scheduler(name="asha", grace_levels=30, reduction_factor=2), 5).rungs == ()
    assert Fifo().rungs == ()


def test_asha_stops_what_is_below_the_best_share() -> None:
    judge = judge_of(ASHA, 8)
    assert judge.decide(0, 1, 0.9) == "continue"
    assert judge.decide(1, 1, 0.5) == "stop"
    assert judge.decide(2, 1, 0.95) == "continue"


def test_a_setting_is_judged_when_all_its_chains_are_there_and_only_once() -> None:
    trials = Trials(judge_of(ASHA, 8))
    assert trials.due(0, {1: None}) is None
    rung = trials.due(0, {1: [0.8, 0.9]})
    assert rung is not None
    assert (rung.level, rung.decision) == (1, "continue")
    assert abs(rung.value - 0.85) < 1e-12
    assert trials.due(0, {1: [0.8, 0.9], 2: None}) is None


def test_no_chain_passes_a_rung_before_the_decision() -> None:
    trials = Trials(judge_of(ASHA, 8))
    assert trials.may_run(0, 1)
    assert not trials.may_run(0, 2)
    trials.due(0, {1: [0.5]})
    assert trials.may_run(0, 2)
    assert not trials.may_run(0, 3)


def test_a_replayed_log_gives_the_same_next_decision() -> None:
    first = Trials(judge_of(ASHA, 8))
    logged = [rung.to_data() for setting, value in ((0, 0.9), (1, 0.5)) if (rung := first.due(setting, {1: [value]}))]
    again = Trials(judge_of(ASHA, 8), logged)
    assert again.stopped == first.stopped == {1}
    assert again.due(0, {1: [0.1], 2: None}) is None
    decisions = [trials.due(2, {1: [0.7]}) for trials in (first, again)]
    assert decisions[0] == decisions[1]
