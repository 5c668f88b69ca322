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
            key = keys.self_test(nonce, f"round-{number}")
            written.append(key)
            await _race(racers, key)
        key = keys.self_test(nonce, "bytes")
        written.append(key)
        await _round_trip(objects, key)
    finally:
        with suppress(StoreUnavailable):  # what is left lies below scratch/
            for key in written:
                await objects.delete(key)


async def _race(racers: list[ObjectStore], key: str) -> None:
    payloads = [f"racer {number} of {key}".encode() for number in range(len(racers))]
    wins = await asyncio.gather(*(racer.create(key, payload) for racer, payload in zip(racers, payloads, strict=True)))
    if sum(wins) != 1:
        raise StoreRefused(
            f"the object store ignores conditional puts (If-None-Match): {sum(wins)} of {len(wins)} racing writers "
            "were told that they created one object; exactly 1 must be"
        )
    try:
        standing = await racers[0].get(key)
    except ObjectNotFound:
        raise StoreRefused("the object store does not show an object right after its put") from None
    if standing != payloads[wins.index(True)]:
        raise StoreRefused("the object store ignores conditional puts (If-None-Match): a loser's bytes stand")


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
