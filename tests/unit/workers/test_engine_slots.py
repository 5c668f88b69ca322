"""How many engines a cluster carries, and when one is stuck."""

from __future__ import annotations

import pytest

from workers.engine_slots import Capacity, EngineSlot, Job, Limits
from workers.engines.orders import Order


def order(level: int = 1) -> Order:
    """Some level."""
    return Order("local", "srch", "lin", "0" * 64, level, "{}", "cpu", 1, 100)


def busy_slot(now_s: float) -> tuple[EngineSlot, Job]:
    """An engine with one level in it."""
    slot = EngineSlot("engine-1", ("cpu", 1), actor=None, is_ready=True)
    job = Job(order(), "7")
    slot.take(job)
    slot.moved_at_s = now_s
    return slot, job


@pytest.mark.parametrize(("cpus", "threads", "expected"), [(1, 1, 1), (2, 1, 2), (16, 1, 16), (16, 4, 4), (2, 8, 1)])
def test_engines_fill_the_cpus_and_leave_room_for_trials(cpus: float, threads: int, expected: int) -> None:
    capacity = Capacity(cpus, 0.0, cpus)
    assert capacity.engines(("cpu", threads)) == expected
    others = [("cpu", threads)] * expected
    assert capacity.carries(("cpu", threads), others[:-1])
    assert not capacity.carries(("cpu", threads), others)
    assert capacity.cost(("cpu", threads))[0] * expected < cpus


def test_a_device_that_is_not_there_yet_is_asked_for_once() -> None:
    capacity = Capacity(2.0, 0.0, 2.0)
    assert capacity.carries(("cuda", 1), [])
    assert not capacity.carries(("cuda", 1), [("cuda", 1)])


def test_one_engine_per_gpu() -> None:
    assert Capacity(16.0, 2.0, 8.0).engines(("cuda", 1)) == 2


def test_a_cluster_that_may_grow_is_asked_for_engines_up_to_what_it_may_grow_to() -> None:
    now = Capacity(8.0, 1.0, 8.0)
    grown = now.reaching(Limits(60, 60, {"cpu": 1, "cuda": 128}, cpus=32.0, gpus=4.0))
    gpu = ("cuda", 1)
    assert not now.carries(gpu, [gpu])
    assert [grown.carries(gpu, [gpu] * others) for others in range(5)] == [True, True, True, True, False]
    assert now.reaching(Limits(60, 60, {"cpu": 1, "cuda": 128})) == now


def test_an_engine_without_progress_is_stuck_after_a_minute() -> None:
    slot, _ = busy_slot(0.0)
    slot.note({"steps": {"7": 0}, "beats": 1}, 10.0)
    assert not slot.is_stuck(69.0)
    assert slot.is_stuck(71.0)


def test_slow_steps_are_not_taken_for_stuck() -> None:
    slot, _ = busy_slot(0.0)
    for tick in range(1, 4):
        slot.note({"steps": {"7": tick}, "beats": 1}, 30.0 * tick)
    assert not slot.is_stuck(90.0 + 299.0)
    assert slot.is_stuck(90.0 + 301.0)


def test_an_engine_that_compiles_may_be_silent_for_longer_but_not_for_ever() -> None:
    slot, _ = busy_slot(0.0)
    slot.note({"steps": {"7": 0}, "beats": 1, "preparing": True}, 10.0)
    assert not slot.is_stuck(10.0 + 599.0)
    assert slot.is_stuck(10.0 + 601.0)
    slot.note({"steps": {"7": 0}, "beats": 1, "preparing": False}, 20.0)
    assert slot.is_stuck(10.0 + 61.0)


def test_an_idle_engine_is_never_stuck() -> None:
    slot, job = busy_slot(0.0)
    slot.release(job)
    assert not slot.is_stuck(slot.moved_at_s + 1e6)


def test_the_same_level_is_the_same_work_for_every_search() -> None:
    assert order(1).job == order(1).job != order(2).job
