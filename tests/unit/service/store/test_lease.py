"""A leader stops by his own clock, before anybody else may lead."""

from __future__ import annotations

import pytest

from service.store import lease
from service.store.errors import RedisUnavailable
from service.store.index import Index
from service.store.lease import LEASE_TTL_MS, RENEW_EVERY_S, SELF_STOP_S, Lease
from service.store.objects import ObjectStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(lease, "boot_time_s", lambda: now[0])
    return now


def own_lease(url: str) -> Lease:
    return Lease(ObjectStore.from_url("memory://"), Index(url), "me", 1, 1000.0)


def test_a_leader_stops_before_his_lease_ends() -> None:
    assert RENEW_EVERY_S < SELF_STOP_S < LEASE_TTL_MS / 1000


async def test_a_leader_cut_off_from_redis_stops_by_himself_and_for_good(clock: list[float]) -> None:
    own = own_lease("unix:///nonexistent.sock")
    clock[0] += SELF_STOP_S - 0.1
    assert await own.renew()
    clock[0] += 0.2
    assert not own.ok()
    assert not await own.renew()
    clock[0] -= 5
    assert not own.ok()
    await own._index.close()


async def test_the_time_of_a_renewal_counts_from_before_it_was_asked_for(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_lease("unix:///nonexistent.sock")

    async def slow(*_: object) -> int:
        clock[0] += 3
        return 1

    monkeypatch.setattr(own._index, "call_plain", slow)
    assert await own.renew()
    clock[0] += SELF_STOP_S - 3
    assert not own.ok()


async def test_a_failed_renewal_does_not_prolong(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_lease("unix:///nonexistent.sock")

    async def fails(*_: object) -> int:
        raise RedisUnavailable("no answer")

    monkeypatch.setattr(own._index, "call_plain", fails)
    clock[0] += 6
    assert await own.renew()
    clock[0] += 6
    assert not own.ok()
