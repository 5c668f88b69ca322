"""How many trials begin at once: one at first, more where they save more time than the start of a process takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ramp import SILENCE_S, START_S, Ramp

LONG = 300
"""Levels of a search that is worth every process."""


def heard_ramp(num_processes: int = 1) -> Ramp:
    """A ramp whose trials were begun and heard of at second 0."""
    ramp = Ramp()
    for num in range(num_processes):
        ramp.began(num + 1, 0.0)
    ramp.heard(0.0)
    return ramp


def test_the_first_trial_begins_at_once_and_alone_until_it_is_heard_of() -> None:
    ramp = Ramp()
    assert ramp.is_worth_one_more(0, LONG, 0, 0.0)
    ramp.began(1, 0.0)
    assert not ramp.is_worth_one_more(1, LONG, 0, SILENCE_S - 1)
    ramp.heard(SILENCE_S - 1)
    assert ramp.is_worth_one_more(1, LONG, 0, SILENCE_S)


def test_a_first_trial_that_stays_silent_does_not_hold_up_the_others() -> None:
    ramp = Ramp()
    ramp.began(1, 0.0)
    assert ramp.is_worth_one_more(1, LONG, 0, SILENCE_S + 0.1)


def test_where_no_engine_could_be_done_soon_trials_begin_together() -> None:
    ramp, steps = Ramp(), 15_000_000
    for num in range(6):
        assert ramp.is_worth_one_more(num, LONG, steps, 0.0)
        ramp.began(num + 1, 0.0)
    assert not ramp.is_worth_one_more(7, LONG, steps, 0.0)


def test_a_search_that_its_first_trial_ends_sooner_than_another_starts_gets_no_other() -> None:
    ramp = heard_ramp()
    for done in range(1, 30):
        now_s = done * 0.1
        ramp.done(now_s)
        assert not ramp.is_worth_one_more(1, 30 - done, 10 * (30 - done), now_s)


def test_a_level_in_training_counts_for_as_long_as_it_takes_already() -> None:
    ramp = heard_ramp()
    assert not ramp.is_worth_one_more(1, 3, 0, START_S / 2)
    assert ramp.is_worth_one_more(1, 3, 0, START_S)


@pytest.mark.parametrize("num_running", [1, 3, 16])
def test_one_more_of_n_must_save_its_start(num_running: int) -> None:
    ramp = heard_ramp(num_running)
    ramp.done(1.0)
    enough = int(START_S * (num_running + 1))
    assert not ramp.is_worth_one_more(num_running, enough, 0, 1.0)
    assert ramp.is_worth_one_more(num_running, enough + 1, 0, 1.0)


@given(st.integers(1, 20), st.integers(0, 400), st.floats(0, 1e5))
def test_a_process_that_is_there_is_always_used(num_processes: int, num_left: int, now_s: float) -> None:
    ramp = heard_ramp(num_processes)
    assert all(ramp.is_worth_one_more(num, num_left, 0, now_s) for num in range(num_processes))


@given(st.integers(1, 63), st.integers(1, 400), st.floats(0.001, 3600))
def test_a_process_that_is_worth_it_stays_so_until_a_level_is_done(num: int, num_left: int, age_s: float) -> None:
    ramp = heard_ramp(num)
    if ramp.is_worth_one_more(num, num_left, 0, age_s):
        assert ramp.is_worth_one_more(num, num_left, 0, 2 * age_s)
        assert num == 1 or ramp.is_worth_one_more(num - 1, num_left, 0, age_s)
