"""Who has had how much of a common good, in relation to weights: the memory behind fair shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")

FORESIGHT_S = 10.0
"""Seconds of use that each slot in hand counts in advance, so that slots that fall free together are spread."""


@dataclass
class Account:
    """One party.

    Attributes:
        weight: Its share in relation to the others'.
        used_s: Slot-seconds it has had, divided by its weight.
        held: Slots in its hands.
        is_active: Whether it holds or waits for any.
    """

    weight: float = 1.0
    used_s: float = 0.0
    held: int = 0
    is_active: bool = False

    @property
    def claimed_s(self) -> float:
        """What it would have had with one slot more for a while; whoever has least goes first."""
        return self.used_s + (self.held + 1) * FORESIGHT_S / self.weight


class Ledger(Generic[K]):
    """Accounts of parties that come and go.

    Use is charged while slots are held, whatever the length of what runs in them. Who comes back after a time without
    wishes has saved nothing: its account begins where the least served of the others stands. What it had beyond its
    share is not forgotten.
    """

    def __init__(self) -> None:
        self._accounts: dict[K, Account] = {}
        self._settled_at_s: float | None = None

    def settle(self, weights: Mapping[K, float], held: Counter[K], now_s: float) -> None:
        """Charge the slots held since the last time, and note who holds and waits from now on.

        Args:
            weights: Of every party that holds or waits.
            held: Slots in hand now, by party.
            now_s: Of a clock that never goes back.
        """
        passed_s = 0.0 if self._settled_at_s is None else now_s - self._settled_at_s
        self._settled_at_s = now_s
        for account in self._accounts.values():
            account.used_s += account.held * passed_s / account.weight
        for name, weight in weights.items():
            self.enter(name, weight)
            self._accounts[name].held = held[name]
        least_s = self._least_s()
        for name in [name for name in self._accounts if name not in weights]:
            self._leave(name, least_s)

    def enter(self, name: K, weight: float) -> None:
        """Note that a party wants slots."""
        least_s = self._least_s()
        account = self._accounts.setdefault(name, Account())
        if not account.is_active:
            account.used_s, account.is_active = max(account.used_s, least_s), True
        account.weight = weight

    def take(self, name: K) -> None:
        """Note that a party took one more slot."""
        self._accounts[name].held += 1

    def claimed_s(self, name: K) -> float:
        """What decides whose turn it is: the least goes first."""
        return self._accounts[name].claimed_s

    def _least_s(self) -> float:
        active = [account.used_s for account in self._accounts.values() if account.is_active]
        return min(active or [account.used_s for account in self._accounts.values()], default=0.0)

    def _leave(self, name: K, least_s: float) -> None:
        account = self._accounts[name]
        account.held, account.is_active = 0, False
        if account.used_s < least_s:
            del self._accounts[name]
