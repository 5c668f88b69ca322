"""How much of the engines one tenant may hold at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class TenantShare:
    """Counts the lineages of every tenant that are in engines, against one limit for all.

    Args:
        limit: Lineages of one tenant that may run at once.
        running: The tenant of each level that is in an engine now.
    """

    def __init__(self, limit: int, running: Iterable[str]) -> None:
        self._limit = limit
        self._running = Counter(running)

    def has_room(self, tenant: str) -> bool:
        """Tell whether one more lineage of a tenant may run."""
        return self._running[tenant] < self._limit

    def take(self, tenant: str) -> bool:
        """Count one more lineage of a tenant if it may run; tell whether it may."""
        if not self.has_room(tenant):
            return False
        self._running[tenant] += 1
        return True
