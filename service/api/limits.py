"""Rate limits: one token bucket per caller and kind of request, and a cap on open event streams."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.api.errors import ApiError

WINDOW_S = 60


@dataclass
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True)
class Standing:
    """How a caller stands against a limit: name, quota per window, what remains, seconds until it is whole again."""

    name: str
    quota: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return the `RateLimit` fields of the IETF draft."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={WINDOW_S}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_s}',
        }


class RateLimiter:
    """Token buckets of one process; callers that were not seen for long are forgotten first.

    Args:
        max_callers: How many buckets are remembered.
        clock: Monotonic seconds.
    """

    def __init__(self, *, max_callers: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._max_callers = max_callers
        self._clock = clock

    def take(self, name: str, caller: str, quota: int) -> Standing:
        """Take one token.

        Raises:
            ApiError: `rate_limited`, with `Retry-After`, if the bucket is empty.
        """
        bucket = self._bucket(name, caller, quota)
        if bucket.tokens < 1:
            retry_s = max(1, math.ceil((1 - bucket.tokens) * WINDOW_S / quota))
            standing = self._standing(name, quota, bucket)
            raise ApiError(
                "rate_limited",
                f"{quota} {name} requests per minute are allowed",
                headers={"Retry-After": str(retry_s), **standing.headers()},
            )
        bucket.tokens -= 1
        return self._standing(name, quota, bucket)

    def check(self, name: str, caller: str, quota: int) -> None:
        """Refuse like `take`, but take nothing."""
        if self._bucket(name, caller, quota).tokens < 1:
            self.take(name, caller, quota)

    def _bucket(self, name: str, caller: str, quota: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault((name, caller), _Bucket(float(quota), now))
        self._buckets.move_to_end((name, caller))
        bucket.tokens = min(float(quota), bucket.tokens + (now - bucket.at) * quota / WINDOW_S)
        bucket.at = now
        while len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        return bucket

    @staticmethod
    def _standing(name: str, quota: int, bucket: _Bucket) -> Standing:
        reset_s = math.ceil((quota - bucket.tokens) * WINDOW_S / quota)
        return Standing(name, quota, max(0, int(bucket.tokens)), reset_s)


class StreamSlots:
    """Counts the open event streams of each caller."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._open: dict[str, int] = {}

    @property
    def num_open(self) -> int:
        """All open streams of this process."""
        return sum(self._open.values())

    def check(self, caller: str) -> None:
        """Raise `too_many_streams` if the caller has no free stream."""
        if self._open.get(caller, 0) >= self._max_streams:
            raise ApiError("too_many_streams", f"{self._max_streams} event streams per key are allowed")

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Count one stream while the block runs."""
        self._open[caller] = self._open.get(caller, 0) + 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
