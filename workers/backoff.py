"""When something that died may be started again: soon at first, then ever later, and fresh after a healthy life."""

from __future__ import annotations

import time
from dataclasses import dataclass

HEALTHY_S = 30.0


@dataclass
class Backoff:
    """Pauses that double with each death in a row."""

    first_s: float = 0.5
    longest_s: float = 15.0
    num_deaths: int = 0
    not_before_s: float = 0.0

    def died(self, lived_s: float) -> float:
        """Note a death after a life of `lived_s`; return the pause before the next start."""
        self.num_deaths = 1 if lived_s >= HEALTHY_S else self.num_deaths + 1
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(self.num_deaths - 1, 20))
        self.not_before_s = time.monotonic() + pause_s
        return pause_s

    @property
    def is_over(self) -> bool:
        """Whether the pause is over."""
        return time.monotonic() >= self.not_before_s
