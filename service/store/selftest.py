"""The start-up self-test: a store that ignores conditional puts, or lies about ranges, is refused."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from lth_core.canonical import sha256_hex
from service.store import keys
from service.store.errors import ObjectNotFound, StoreRefused, StoreUnavailable
from service.store.objects import ObjectStore

ROUND_TRIP_BYTES = 5 * 1024 * 1024
MAX_TRIES = 3
"""How often a round is run whose answers stayed unknown."""


async def self_test(objects: ObjectStore, *, num_racers: int = 4, num_rounds: int = 5) -> None:
    """Race conditional puts over separate connections, then check read-after-write, ranges and a 5 MiB round trip.

    Raises:
        StoreRefused: If the store lacks a property that the record rests on.
        StoreUnavailable: If the store cannot be reached.
    """
    nonce = secrets.token_hex(8)
    objects = objects.connect_anew()
    racers = [objects.connect_anew() for _ in range(num_racers)]
    written: list[str] = []
    try:
        for number in range(num_rounds):
            for attempt in range(MAX_TRIES):
                key = keys.self_test(nonce, f"round-{number}-{attempt}")
                written.append(key)
                if await _race(racers, key, last=attempt == MAX_TRIES - 1):
                    break
        key = keys.self_test(nonce, "bytes")
        written.append(key)
        await _round_trip(objects, key)
    finally:
        with suppress(StoreUnavailable):  # what is left lies below scratch/
            for key in written:
                await objects.delete(key)


async def _race(racers: list[ObjectStore], key: str, *, last: bool) -> bool:
    """Run one round; False where an answer stayed unknown, so that nothing follows from it.

    Raises:
        StoreRefused: If the round had not exactly one winner.
        StoreUnavailable: If an answer of the last try stayed unknown.
    """
    payloads = [f"racer {number} of {key}".encode() for number in range(len(racers))]
    puts = (racer.create(key, payload) for racer, payload in zip(racers, payloads, strict=True))
    answers = await asyncio.gather(*puts, return_exceptions=True)
    wins = [answer is True for answer in answers]
    if sum(wins) > 1:
        raise StoreRefused(
            f"the object store ignores conditional puts (If-None-Match): {sum(wins)} of {len(wins)} racing writers "
            "were told that they created one object; exactly 1 must be"
        )
    unknown = [answer for answer in answers if isinstance(answer, BaseException)]
    if unknown and (last or not isinstance(unknown[0], StoreUnavailable)):
        raise unknown[0]
    if unknown:
        return False
    if not any(wins):
        raise StoreRefused("the object store says that a fresh object already exists")
    try:
        standing = await racers[0].get(key)
    except ObjectNotFound:
        raise StoreRefused("the object store does not show an object right after its put") from None
    if standing != payloads[wins.index(True)]:
        raise StoreRefused("the object store ignores conditional puts (If-None-Match): a loser's bytes stand")
    return True


async def _round_trip(objects: ObjectStore, key: str) -> None:
    data = secrets.token_bytes(ROUND_TRIP_BYTES)
    if not await objects.create(key, data):
        raise StoreRefused("the object store says that a fresh object already exists")
    if sha256_hex(await objects.get(key)) != sha256_hex(data):
        raise StoreRefused(f"{ROUND_TRIP_BYTES} bytes came back changed from the object store")
    try:
        part = await objects.get_range(key, 1000, 17)
    except StoreUnavailable:
        raise StoreRefused("the object store does not answer a ranged GET with 206 and that range") from None
    if part != data[1000:1017]:
        raise StoreRefused("the object store answers a ranged GET with other bytes")
