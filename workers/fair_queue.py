"""Who gets the next free slot: tenants by weight, a tenant's searches by weight, first come first served within one."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter
from typing import Generic, Literal, NamedTuple, TypeVar

from workers.ledger import Ledger

T = TypeVar("T")

Priority = Literal["low", "normal", "high"]
WEIGHTS: dict[Priority, float] = {"low": 1.0, "normal": 2.0, "high": 4.0}
"""Shares of searches that want more than there is: `high` gets twice what `normal` gets, `low` half of it."""


class Party(NamedTuple):
    """A search and whose it is."""

    tenant: str
    search: str


class FairQueue(Generic[T]):
    """Waiting items of several searches.

    A tenant weighs as much as the most urgent of its searches that holds a slot or waits for one: more searches do not
    give it more. Time in slots is what is shared, not the number of items; `settle` tells the queue who holds how many.
    """

    def __init__(self) -> None:
        self._lines: dict[Party, list[tuple[int, T]]] = {}
        self._weights: dict[Party, float] = {}
        self._tenants: Ledger[str] = Ledger()
        self._searches: Ledger[Party] = Ledger()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[T]:
        """Items of one search after the other, those that come next first."""
        for party in sorted(self._lines, key=self._turn):
            yield from (item for _, item in self._lines[party])

    def push(self, party: Party, item: T, *, priority: Priority = "normal", rank: int = 0) -> None:
        """Let an item wait behind those of its search that have no higher rank."""
        self._weights[party] = WEIGHTS[priority]
        self._tenants.enter(party.tenant, self._tenant_weights()[party.tenant])
        self._searches.enter(party, WEIGHTS[priority])
        insort(self._lines.setdefault(party, []), (rank, item), key=itemgetter(0))

    def settle(self, running: Collection[Party], now_s: float) -> None:
        """Charge the time in slots since the last time; to be called before slots are given away.

        Args:
            running: The search of every item that is in a slot now.
            now_s: Of a clock that never goes back.
        """
        present = {*running, *self._lines}
        self._weights = {party: self._weights.get(party, WEIGHTS["normal"]) for party in present}
        self._tenants.settle(self._tenant_weights(), Counter(party.tenant for party in running), now_s)
        self._searches.settle(self._weights, Counter(running), now_s)

    def pop(self, fits: Callable[[T], bool]) -> T | None:
        """Take the item whose turn it is among those that fit; None if none fits."""
        for party in sorted(self._lines, key=self._turn):
            line = self._lines[party]
            for place, (_, item) in enumerate(line):
                if fits(item):
                    del line[place]
                    if not line:
                        del self._lines[party]
                    self._tenants.take(party.tenant)
                    self._searches.take(party)
                    return item
        return None

    def discard(self, item: T) -> None:
        """Take an item out of the line, wherever it waits."""
        for party, line in list(self._lines.items()):
            self._lines[party] = left = [entry for entry in line if entry[1] is not item]
            if not left:
                del self._lines[party]

    def _tenant_weights(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for party, weight in self._weights.items():
            found[party.tenant] = max(weight, found.get(party.tenant, 0.0))
        return found

    def _turn(self, party: Party) -> tuple[float, float]:
        return self._tenants.claimed_s(party.tenant), self._searches.claimed_s(party)
