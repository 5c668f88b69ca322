"""Learning rates by absolute step."""

from __future__ import annotations

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
