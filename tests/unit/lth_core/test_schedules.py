"""Learning rates by absolute step."""

from __future__ import annotations

import math

import pytest

from lth_core.parts import Train
from lth_core.schedules import learning_rate


def test_the_rate_is_constant_by_default():
    assert {learning_rate(Train(lr=0.3), step) for step in range(100)} == {0.3}


def test_the_rate_drops_by_gamma_after_each_milestone():
    train = Train(lr=0.1, steps=100, milestones=(20, 50), gamma=0.1)
    rates = [learning_rate(train, step) for step in (0, 19, 20, 49, 50, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_the_rate_rises_linearly_while_it_warms_up():
    train = Train(lr=0.1, steps=100, warmup_steps=4)
    assert [learning_rate(train, step) for step in range(6)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_a_milestone_inside_the_warm_up_multiplies():
    train = Train(lr=1.0, steps=100, warmup_steps=10, milestones=(5,), gamma=0.5)
    assert learning_rate(train, 4) == pytest.approx(0.5)
    assert learning_rate(train, 5) == pytest.approx(0.3)


def test_cosine_falls_from_the_rate_to_zero_over_the_whole_training():
    train = Train(lr=0.4, steps=100, schedule="cosine")
    halves = {0: 0.4, 25: 0.2 * (1 + 2**-0.5), 50: 0.2, 75: 0.2 * (1 - 2**-0.5), 100: 0.0}
    for step, rate in halves.items():
        assert learning_rate(train, step) == pytest.approx(rate, abs=1e-15)
    rates = [learning_rate(train, step) for step in range(100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.2 * (1 + math.cos(math.pi * 0.99)))
    assert rates[-1] > 0


def test_warm_up_multiplies_the_cosine_which_does_not_wait_for_it():
    plain, warm = (Train(lr=0.4, steps=100, schedule="cosine", warmup_steps=num) for num in (0, 10))
    for step in range(100):
        assert learning_rate(warm, step) == pytest.approx(learning_rate(plain, step) * min(1, (step + 1) / 10))


def test_a_constant_rate_warms_up_too():
    train = Train(lr=0.3, steps=100, schedule="constant", warmup_steps=3)
    assert [learning_rate(train, step) for step in (0, 1, 2, 50, 99)] == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3])
