"""The passing picture of a search: what its driver shows of running lineages until the next heartbeat."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.store import clock
from workers.coordinator import Picture

MAX_ATTEMPTS = 5


class Overlay:
    """Remembers when states began, and paints the picture."""

    def __init__(self, steps: Mapping[str, int]) -> None:
        self._steps = dict(steps)
        self._running_at: str | None = None
        self._states: dict[str, str] = {}
        self._since: dict[str, dict[str, str]] = {}

    @property
    def is_running(self) -> bool:
        """Whether a level has been in training since this driver started."""
        return self._running_at is not None

    def paint(
        self,
        pictures: Mapping[str, Picture],
        progress: Sequence[Mapping[str, Any]],
        *,
        usage: Mapping[str, float],
        conditions: Sequence[Mapping[str, Any]],
        level_s: Sequence[float],
        num_slots: int,
        num_left: int,
    ) -> dict[str, Any]:
        """Return the overlay as the index keeps it.

        Args:
            pictures: Every lineage.
            progress: `{"lineage", "level", "step", "node"}` of each level in training.
            usage: Seconds used so far.
            conditions: Why it is as it is.
            level_s: How long the last levels took.
            num_slots: Levels trained at once.
            num_left: Levels not committed yet.
        """
        now = clock.now()
        if progress and self._running_at is None:
            self._running_at = clock.to_text(now)
        moving = {item["lineage"]: item for item in progress}
        lineages = {name: self._lineage(name, picture, moving.get(name), now) for name, picture in pictures.items()}
        return {
            "status": "running" if self._running_at else "provisioning",
            "status_at": {"running": self._running_at} if self._running_at else {},
            "conditions": [dict(condition) for condition in conditions],
            "usage": dict(usage),
            "eta": _eta(now, level_s, num_slots, num_left),
            "lineages": lineages,
        }

    def _lineage(self, name: str, picture: Picture, moving: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
        since = self._since.setdefault(name, {})
        if self._states.get(name) != picture.state:
            self._states[name] = picture.state
            since[picture.state] = clock.to_text(now)
        shown: dict[str, Any] = {
            "status": picture.state,
            "reason": picture.reason,
            "attempt": picture.attempt,
            "max_attempts": MAX_ATTEMPTS,
            "status_at": dict(since),
            "error": picture.error,
        }
        if moving is not None:
            shown["node"] = moving["node"]
            shown["heartbeat_at"] = clock.to_text(now)
            current = {"level": moving["level"], "step": moving["step"], "steps": self._steps[name]}
            shown["current"] = current
        return shown


def _eta(now: datetime, level_s: Sequence[float], num_slots: int, num_left: int) -> str | None:
    if not level_s or not num_left:
        return None
    left_s = statistics.median(level_s) * num_left / max(1, num_slots)
    return clock.to_text(now + timedelta(seconds=left_s))
