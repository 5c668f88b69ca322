"""Callers get what their quota says per minute, and streams are counted."""

from __future__ import annotations

import pytest

from service.api.errors import ApiError
from service.api.limits import RateLimiter, StreamSlots


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_quota_is_spent_and_comes_back_with_time() -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    remaining = [limiter.take("read", "alice", 3).remaining for _ in range(3)]
    assert remaining == [2, 1, 0]
    with pytest.raises(ApiError) as refusal:
        limiter.take("read", "alice", 3)
    assert refusal.value.status == 429
    assert refusal.value.headers["Retry-After"] == "20"
    assert refusal.value.headers["RateLimit"] == '"read";r=0;t=60'
    clock.now += 20
    assert limiter.take("read", "alice", 3).remaining == 0


def test_callers_and_kinds_do_not_share_a_bucket() -> None:
    limiter = RateLimiter(clock=Clock())
    limiter.take("read", "alice", 1)
    limiter.take("read", "bob", 1)
    limiter.take("write", "alice", 1)


def test_a_check_takes_nothing() -> None:
    limiter = RateLimiter(clock=Clock())
    for _ in range(5):
        limiter.check("wrong key", "1.2.3.4", 1)
    limiter.take("wrong key", "1.2.3.4", 1)
    with pytest.raises(ApiError):
        limiter.check("wrong key", "1.2.3.4", 1)


def test_forgotten_callers_bound_the_memory() -> None:
    limiter = RateLimiter(max_callers=2, clock=Clock())
    for caller in "abc":
        limiter.take("read", caller, 1)
    limiter.take("read", "a", 1)
    with pytest.raises(ApiError):
        limiter.take("read", "c", 1)


def test_standing_is_told_in_the_headers_of_the_draft() -> None:
    headers = RateLimiter(clock=Clock()).take("read", "alice", 600).headers()
    assert headers == {"RateLimit-Policy": '"read";q=600;w=60', "RateLimit": '"read";r=599;t=1'}


def test_streams_are_counted_per_caller_and_given_back() -> None:
    slots = StreamSlots(1)
    with slots.hold("alice"):
        slots.check("bob")
        with pytest.raises(ApiError) as refusal:
            slots.check("alice")
        assert refusal.value.code == "too_many_streams"
        assert slots.num_open == 1
    slots.check("alice")
    assert slots.num_open == 0
