"""Which failures are tried again, and for how long."""

from __future__ import annotations

import pytest

from workers.engines.orders import ErrorClass, Failure
from workers.retries import LONGEST_PAUSE_S, Again, GiveUp, RetryBook


@pytest.mark.parametrize("error_class", ["user", "nonfinite", "divergence", "upstream"])
def test_what_trying_again_cannot_cure_fails_at_once(error_class: ErrorClass) -> None:
    assert RetryBook().decide(3, Failure(error_class, "")) == GiveUp(error_class)


def test_faults_of_the_infrastructure_are_free_and_wait_ever_longer() -> None:
    book = RetryBook()
    pauses = [book.decide(0, Failure("infra", "", blamed=False)) for _ in range(20)]
    assert all(isinstance(pause, Again) for pause in pauses)
    seconds = [pause.after_s for pause in pauses if isinstance(pause, Again)]
    assert seconds == sorted(seconds)
    assert seconds[0] <= 1
    assert seconds[-1] == LONGEST_PAUSE_S


def test_three_deaths_of_one_level_are_poison() -> None:
    book = RetryBook()
    decisions = [book.decide(2, Failure("infra", "")) for _ in range(3)]
    assert [type(decision) for decision in decisions] == [Again, Again, GiveUp]
    assert decisions[-1] == GiveUp("poison")


def test_progress_clears_the_account() -> None:
    book = RetryBook()
    for level in range(9):
        assert isinstance(book.decide(level, Failure("infra", "")), Again)
        book.progress()


def test_memory_is_tried_once_more() -> None:
    book = RetryBook()
    assert isinstance(book.decide(0, Failure("resource", "")), Again)
    assert book.decide(0, Failure("resource", "")) == GiveUp("resource")
