"""Trying again while a part of the record is down: its writes may be repeated, so an unknown answer is tried anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.store.errors import RedisUnavailable, StoreUnavailable

T = TypeVar("T")
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0


async def persist(operation: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Run an operation of the record again and again while Redis or the object store is down.

    Args:
        operation: A write that may be repeated, or a read.
        patience_s: After how long the last error is passed on.

    Raises:
        RedisUnavailable: If Redis stayed down.
        StoreUnavailable: If the store stayed down.
    """
    deadline = time.monotonic() + patience_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await operation()
        except (RedisUnavailable, StoreUnavailable):
            if time.monotonic() + pause_s > deadline:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
