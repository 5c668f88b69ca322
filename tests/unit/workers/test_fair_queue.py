"""Slots are shared by time: tenants by weight, a tenant's searches by weight, first come first served within one."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.fair_queue import FairQueue, Party, Priority

A, B = Party("ada", "a"), Party("bob", "b")


def _any(_item: object) -> bool:
    return True


def shares(
    wishes: dict[Party, tuple[Priority, float]], num_slots: int, *, until_s: float = 8_000.0, depth: int = 3
) -> dict[Party, float]:
    """Let searches keep `num_slots + depth` levels waiting or running; return the share of slot time that each got.

    Args:
        wishes: Priority of each search, and how long each of its levels takes.
        num_slots: Slots.
        until_s: How long.
        depth: Levels that a search has waiting beside those it could have running.
    """
    queue: FairQueue[Party] = FairQueue()
    for party, (priority, _) in wishes.items():
        for _ in range(num_slots + depth):
            queue.push(party, party, priority=priority)
    running: list[tuple[float, int, Party]] = []
    used: Counter[Party] = Counter()
    now_s, numbers = 0.0, count()
    while now_s < until_s:
        queue.settle([party for *_, party in running], now_s)
        while len(running) < num_slots:
            party = queue.pop(_any)
            assert party is not None
            heapq.heappush(running, (now_s + wishes[party][1], next(numbers), party))
        now_s, _, party = heapq.heappop(running)
        used[party] += wishes[party][1]  # type: ignore[assignment]
        queue.settle([other for *_, other in running], now_s)
        queue.push(party, party, priority=wishes[party][0])
    return {party: used[party] / used.total() for party in wishes}


def test_items_of_equal_searches_are_served_in_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for party, item in ((A, "a1"), (A, "a2"), (A, "a3"), (B, "b1"), (B, "b2")):
        queue.push(party, item)
    assert [queue.pop(_any) for _ in range(6)] == ["a1", "b1", "a2", "b2", "a3", None]


@pytest.mark.parametrize("num_slots", [1, 2, 3, 8, 64])
@pytest.mark.parametrize(("mine", "other", "share"), [("high", "normal", 2 / 3), ("high", "low", 4 / 5)])
def test_two_tenants_share_the_time_in_slots_as_their_priorities_say(
    num_slots: int, mine: Priority, other: Priority, share: float
) -> None:
    got = shares({A: (mine, 60.0), B: (other, 60.0)}, num_slots)
    assert got[A] == pytest.approx(share, abs=0.02)


def test_long_levels_take_no_more_time_than_short_ones() -> None:
    got = shares({A: ("normal", 600.0), B: ("normal", 7.0)}, 4, until_s=30_000.0)
    assert got[A] == pytest.approx(0.5, abs=0.03)


def test_more_searches_give_a_tenant_no_more() -> None:
    many = {Party("ada", f"a{i}"): ("normal", 10.0) for i in range(5)}
    got = shares({**many, B: ("normal", 10.0)}, 6)  # type: ignore[arg-type]
    assert got[B] == pytest.approx(0.5, abs=0.02)
    assert all(got[party] == pytest.approx(0.1, abs=0.02) for party in many)


def test_within_a_tenant_the_more_urgent_search_gets_more_and_the_other_does_not_starve() -> None:
    got = shares({A: ("high", 10.0), Party("ada", "later"): ("low", 10.0)}, 5)
    assert got[A] == pytest.approx(0.8, abs=0.02)


def test_who_wanted_nothing_for_long_has_saved_nothing() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push(A, "a0")
    assert queue.pop(_any) == "a0"
    queue.settle([A], 0.0)
    for number in range(4):
        queue.push(A, f"a{number + 1}")
    queue.settle([A], 5_000.0)
    for number in range(4):
        queue.push(B, f"b{number}")
    queue.settle([], 5_000.0)
    assert Counter(str(queue.pop(_any))[0] for _ in range(4)) == {"a": 2, "b": 2}


def test_who_had_too_much_does_not_get_rid_of_it_by_leaving_for_a_moment() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("b1", "b2", "b3"):
        queue.push(B, item)
    queue.push(A, "a1")
    queue.settle([A, A], 0.0)
    assert queue.pop(lambda item: item == "a1") == "a1"
    queue.settle([A, A], 100.0)
    queue.settle([], 101.0)
    queue.push(A, "a2")
    queue.settle([], 101.0)
    assert [queue.pop(_any) for _ in range(4)] == ["b1", "b2", "b3", "a2"]


def test_what_does_not_fit_is_passed_over_and_keeps_its_place() -> None:
    queue: FairQueue[str] = FairQueue()
    for party, item in ((A, "gpu1"), (A, "cpu1"), (B, "gpu2")):
        queue.push(party, item)
    assert queue.pop(lambda item: item.startswith("cpu")) == "cpu1"
    assert [queue.pop(_any), queue.pop(_any)] == ["gpu2", "gpu1"]


def test_within_a_search_a_lower_rank_goes_first_and_equal_ranks_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item, rank in (("control 1", 1), ("chain 1", 0), ("control 2", 1), ("chain 2", 0)):
        queue.push(A, item, rank=rank)
    assert list(queue) == ["chain 1", "chain 2", "control 1", "control 2"]
    queue.push(B, "control of b", rank=1)
    queue.discard("chain 2")
    assert [queue.pop(_any) for _ in range(5)] == ["chain 1", "control of b", "control 1", "control 2", None]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_nothing_is_lost_or_served_twice(pushed: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue()
    items = [(search, number, place) for place, (search, number) in enumerate(pushed)]
    for item in items:
        queue.push(Party("local", item[0]), item)
    served = [queue.pop(_any) for _ in items]
    assert sorted(served) == sorted(items)  # type: ignore[type-var]
    for search in "abc":
        own = [item for item in served if item is not None and item[0] == search]
        assert own == [item for item in items if item[0] == search]
