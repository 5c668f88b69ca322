"""What happens after a failure: again at once, again later, or never, by the class of the error."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from workers.engines.orders import ErrorClass, Failure

MAX_SAME = 3
"""So many failures of one class on one level, the level to blame, are poison."""
MAX_RESOURCE = 2
"""A level that ran out of memory is tried once more, in a fresh engine."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

FINAL: frozenset[ErrorClass] = frozenset({"user", "nonfinite", "divergence", "upstream"})
"""Classes that trying again cannot cure."""


@dataclass(frozen=True)
class Again:
    """Try the lineage again from its last committed level, after a pause."""

    after_s: float


@dataclass(frozen=True)
class GiveUp:
    """Fail the lineage with this class."""

    error_class: ErrorClass


@dataclass
class RetryBook:
    """The failures of one lineage since it last made progress."""

    num_in_a_row: int = 0
    blamed: Counter[tuple[int, ErrorClass]] = field(default_factory=Counter)

    def progress(self) -> None:
        """Note a committed level."""
        self.num_in_a_row = 0
        self.blamed.clear()

    def decide(self, level: int, failure: Failure) -> Again | GiveUp:
        """Decide what follows a failure at a level."""
        error_class = failure.error_class
        if error_class in FINAL:
            return GiveUp(error_class)
        self.num_in_a_row += 1
        if failure.blamed:
            self.blamed[level, error_class] += 1
            if error_class == "resource" and self.blamed[level, error_class] >= MAX_RESOURCE:
                return GiveUp("resource")
            if self.blamed[level, error_class] >= MAX_SAME:
                return GiveUp("poison")
        return Again(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.num_in_a_row - 1, 10)))
