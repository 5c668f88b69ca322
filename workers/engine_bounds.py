"""What an operator's bounds mean for the engines there are: who may come, who goes, and who is kept without work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from service.store.scale import DEVICE_CLASSES, Bounds, BoundsByDevice
from workers.engine_slots import EngineClass, EngineSlot

WARM_THREADS = 1
"""Threads of an engine that is started for no level in particular."""


def bounds_of(bounds: BoundsByDevice, device: str) -> Bounds:
    """Bounds of a device class, the default ones where nobody set any."""
    return next((own for name, own in bounds.items() if name == device), Bounds())


def may_come(bounds: BoundsByDevice, device: str, engines: Iterable[EngineSlot]) -> bool:
    """Tell whether one more engine of a device class stays within its maximum."""
    most = bounds_of(bounds, device).max
    return most is None or len(_of_device(engines, device)) < most


def missing(bounds: BoundsByDevice, engines: Sequence[EngineSlot]) -> list[EngineClass]:
    """Return the engines that lack to the minimum of each device class."""
    return [
        (device, WARM_THREADS)
        for device in DEVICE_CLASSES
        for _ in range(bounds_of(bounds, device).min - len(_of_device(engines, device)))
    ]


def surplus(bounds: BoundsByDevice, engines: Sequence[EngineSlot]) -> list[EngineSlot]:
    """Return the engines above the maximum of their device class: those that hold least, of equals the newest."""
    found: list[EngineSlot] = []
    for device in DEVICE_CLASSES:
        most = bounds_of(bounds, device).max
        if most is not None:
            own = _of_device(engines, device)
            places = sorted(range(len(own)), key=lambda place: (len(own[place].jobs), -place))
            found += [own[place] for place in places[: max(0, len(own) - most)]]
    return found


def idle_too_long(
    bounds: BoundsByDevice, engines: Sequence[EngineSlot], idle_s: float, now_s: float
) -> list[EngineSlot]:
    """Return the engines that have been without work for too long, the longest first, down to the minimum."""
    num_left = Counter(slot.engine_class[0] for slot in engines)
    idle = [slot for slot in engines if slot.is_ready and not slot.jobs and now_s - slot.idle_since_s > idle_s]
    found = []
    for slot in sorted(idle, key=lambda slot: slot.idle_since_s):
        device = slot.engine_class[0]
        if num_left[device] > bounds_of(bounds, device).min:
            num_left[device] -= 1
            found.append(slot)
    return found


def _of_device(engines: Iterable[EngineSlot], device: str) -> list[EngineSlot]:
    return [slot for slot in engines if slot.engine_class[0] == device]
