"""What an operator's bounds decide: who may come, who goes first, and who is kept without work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.store.scale import Bounds, DeviceClass
from workers.engine_bounds import idle_too_long, may_come, missing, surplus
from workers.engine_slots import EngineSlot, Job
from workers.engines.orders import Order


def engine(number: int, num_levels: int = 0, device: DeviceClass = "cpu", idle_since_s: float = 0.0) -> EngineSlot:
    """An engine that holds some levels."""
    slot = EngineSlot(f"engine-{number}", (device, 1), actor=None, is_ready=True, capacity=8)
    for level in range(num_levels):
        slot.take(Job(Order("local", "srch", "lin", "0" * 64, level, "{}", device, 1, 100), f"{number}.{level}"))
    slot.idle_since_s = idle_since_s
    return slot


def names(engines: list[EngineSlot]) -> list[str]:
    return [slot.name for slot in engines]


def test_without_bounds_any_number_may_come_and_none_is_kept() -> None:
    engines = [engine(number) for number in range(50)]
    assert may_come({}, "cpu", engines)
    assert missing({}, []) == []
    assert surplus({}, engines) == []
    assert idle_too_long({}, engines, 60.0, 61.0) == engines


def test_a_maximum_bounds_its_own_device_class_only() -> None:
    bounds: dict[DeviceClass, Bounds] = {"cpu": Bounds(max=2)}
    engines = [engine(1), engine(2), engine(3, device="cuda")]
    assert may_come(bounds, "cpu", engines[1:])
    assert not may_come(bounds, "cpu", engines)
    assert may_come(bounds, "cuda", engines)


def test_above_a_maximum_those_that_hold_least_go_first_and_of_equals_the_newest() -> None:
    bounds: dict[DeviceClass, Bounds] = {"cpu": Bounds(max=1)}
    engines = [engine(1, 1), engine(2, 3), engine(3, 1), engine(4)]
    assert names(surplus(bounds, engines)) == ["engine-4", "engine-3", "engine-1"]
    assert names(surplus({"cpu": Bounds(max=0)}, engines))[-1] == "engine-2"
    assert surplus({"cuda": Bounds(max=0)}, engines) == []


def test_an_engine_that_leaves_takes_no_level_and_keeps_those_it_has() -> None:
    slot = engine(1, 3)
    assert slot.num_free == 5
    slot.is_leaving = True
    assert slot.num_free == 0
    assert len(slot.jobs) == 3


def test_a_minimum_is_filled_up_and_kept_although_idle() -> None:
    bounds: dict[DeviceClass, Bounds] = {"cpu": Bounds(min=2), "cuda": Bounds(min=1)}
    engines = [engine(number, idle_since_s=10.0 - number) for number in range(3)]
    assert missing(bounds, engines) == [("cuda", 1)]
    assert missing(bounds, []) == [("cpu", 1), ("cpu", 1), ("cuda", 1)]
    assert names(idle_too_long(bounds, engines, 60.0, 100.0)) == ["engine-2"]


def test_idle_engines_of_one_class_do_not_stand_in_for_the_minimum_of_another() -> None:
    bounds: dict[DeviceClass, Bounds] = {"cuda": Bounds(min=1)}
    engines = [engine(1), engine(2, device="cuda")]
    assert names(idle_too_long(bounds, engines, 60.0, 61.0)) == ["engine-1"]


@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_after_every_step_the_number_lies_within_the_bounds_or_busy_engines_are_why(
    held: list[int], low: int, extra: int
) -> None:
    bounds: dict[DeviceClass, Bounds] = {"cpu": Bounds(low, low + extra)}
    engines = [engine(number, num) for number, num in enumerate(held)]
    leaving = surplus(bounds, engines)
    assert len(engines) - len(leaving) <= low + extra
    left = [slot for slot in engines if slot not in leaving or slot.jobs]
    left = [slot for slot in left if slot not in idle_too_long(bounds, left, 60.0, 61.0)]
    assert {slot.name for slot in engines if slot.jobs} <= {slot.name for slot in left}
    num_after = len(left) + len(missing(bounds, left))
    assert num_after >= low
    assert num_after <= max(low + extra, sum(1 for num in held if num))
