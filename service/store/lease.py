"""Leadership: a lease in Redis for being quick, an epoch object in the store for being safe."""

from __future__ import annotations

import secrets
import time

from lth_core.canonical import FORMAT, canonical_json
from service.store import clock, keys
from service.store.errors import IndexEmpty, ObjectNotFound, RedisUnavailable, StaleEpoch
from service.store.failpoints import reach
from service.store.index import LEASE, Index
from service.store.objects import ObjectStore

LEASE_TTL_MS = 15_000
RENEW_EVERY_S = 5.0
SELF_STOP_S = 10.0
"""A leader stops this long after the beginning of his last successful renewal."""


class Lease:
    """The leadership of one dispatcher; `epoch` fences everything that he and his children write."""

    def __init__(self, objects: ObjectStore, index: Index, owner: str, epoch: int, renewed_at_s: float) -> None:
        self._objects = objects
        self._index = index
        self.owner = owner
        self.epoch = epoch
        self._renewed_at_s = renewed_at_s
        self._lost = False

    def ok(self) -> bool:
        """Tell whether leading is still allowed; once False it stays False."""
        if boot_time_s() - self._renewed_at_s >= SELF_STOP_S:
            self._lost = True
        return not self._lost

    async def renew(self) -> bool:
        """Renew the lease, every `RENEW_EVERY_S`; return whether leading is still allowed.

        While Redis is down the answer stays True until the self-stop.
        """
        began_s = boot_time_s()
        if not self.ok():
            return False
        try:
            try:
                await self._index.call_plain("renew", self.owner, self.epoch, LEASE_TTL_MS)
            except IndexEmpty:
                await self.assert_anew()
        except StaleEpoch:
            self._lost = True
        except RedisUnavailable:
            return self.ok()
        else:
            self._renewed_at_s = began_s
        return self.ok()

    async def assert_anew(self) -> None:
        """Set lease and epoch in a Redis that lost them, unless a later leader has claimed an epoch.

        Raises:
            StaleEpoch: If there is a later leader.
            RedisUnavailable: If Redis does not answer.
            StoreUnavailable: If the store cannot say.
        """
        if await highest_epoch(self._objects) > self.epoch:
            raise StaleEpoch(f"epoch {self.epoch} was overtaken")
        async with self._index.guarded() as redis:
            await redis.set(LEASE, self.owner, nx=True, px=LEASE_TTL_MS)
        await self._index.call_plain("lead", self.owner, self.epoch, LEASE_TTL_MS)

    async def release(self) -> None:
        """Give the lease up, so that a standby need not wait for its end."""
        self._lost = True
        try:
            await self._index.call_plain("unlead", self.owner)
        except RedisUnavailable:
            return


async def lead(objects: ObjectStore, index: Index, owner: str) -> Lease | None:
    """Try to become the leader; None while another one leads or claims the same epoch first.

    Args:
        objects: Where epochs are claimed.
        index: Where the lease lies.
        owner: Name of this process for people; made unique here.

    Raises:
        RedisUnavailable: If the lease cannot be asked for.
        StoreUnavailable: If the epoch cannot be claimed.
    """
    own = f"{owner}:{secrets.token_hex(8)}"
    began_s = boot_time_s()
    async with index.guarded() as redis:
        if not await redis.set(LEASE, own, nx=True, px=LEASE_TTL_MS):
            return None
    lease = Lease(objects, index, own, await highest_epoch(objects) + 1, began_s)
    claim = {"format": FORMAT, "epoch": lease.epoch, "owner": own, "at": clock.to_text(clock.now())}
    _, ours = await objects.put_if_absent(keys.epoch(lease.epoch), canonical_json(claim))
    if not ours:
        await lease.release()
        return None
    reach("FP_AFTER_EPOCH")
    try:
        await index.call_plain("lead", own, lease.epoch, LEASE_TTL_MS)
    except StaleEpoch:
        return None
    return lease


async def highest_epoch(objects: ObjectStore) -> int:
    """Return the highest epoch ever claimed, 0 before the first; the listing is a hint, the probe decides."""
    numbers = [keys.number_of(name) for name in await objects.list("epochs/")]
    highest = max((number for number in numbers if number is not None), default=0)
    while True:
        try:
            await objects.head(keys.epoch(highest + 1))
        except ObjectNotFound:
            return highest
        highest += 1


def boot_time_s() -> float:
    """Return seconds since boot, time asleep included where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
