"""First come first served within a search, searches in turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.fair_queue import FairQueue


def _any(_item: object) -> bool:
    return True


def test_searches_are_served_in_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for search, item in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2")):
        queue.push(search, item)
    assert [queue.pop(_any) for _ in range(6)] == ["a1", "b1", "a2", "b2", "a3", None]


def test_what_does_not_fit_is_passed_over_and_keeps_its_place() -> None:
    queue: FairQueue[str] = FairQueue()
    for search, item in (("a", "gpu1"), ("a", "cpu1"), ("b", "gpu2")):
        queue.push(search, item)
    assert queue.pop(lambda item: item.startswith("cpu")) == "cpu1"
    assert [queue.pop(_any), queue.pop(_any)] == ["gpu2", "gpu1"]


def test_within_a_search_a_lower_rank_goes_first_and_equal_ranks_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for item, rank in (("control 1", 1), ("chain 1", 0), ("control 2", 1), ("chain 2", 0)):
        queue.push("a", item, rank=rank)
    assert list(queue) == ["chain 1", "chain 2", "control 1", "control 2"]
    queue.push("b", "control of b", rank=1)
    queue.discard("chain 2")
    assert [queue.pop(_any) for _ in range(5)] == ["chain 1", "control of b", "control 1", "control 2", None]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_nothing_is_lost_or_served_twice(pushed: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue()
    items = [(search, number, place) for place, (search, number) in enumerate(pushed)]
    for item in items:
        queue.push(item[0], item)
    served = [queue.pop(_any) for _ in items]
    assert sorted(served) == sorted(items)  # type: ignore[type-var]
    for search in "abc":
        own = [item for item in served if item is not None and item[0] == search]
        assert own == [item for item in items if item[0] == search]
