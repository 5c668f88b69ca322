"""The connection to the index in Redis: functions by generation and epoch, consistent reads, errors as ours."""

from __future__ import annotations

import copy
import importlib.resources
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.store.errors import IndexEmpty, RedisUnavailable, StaleEpoch, StoreRefused

GENERATION = "lth:generation"
EPOCH = "lth:epoch"
LEASE = "lth:lease"
STALE_REFUSED = "lth:stale_refused"
MIN_MAJOR_VERSION = 7
BLOCK_MS = 1000
PAUSE_AFTER_FAILURE_S = 0.5
"""How long Redis is taken for down after a failure, so that one request does not pay for it twice."""

Queue = Callable[[Any, str], object]
"""Queues reads on a pipeline; the second argument is the prefix of the current generation's keys."""


class _OldGenerationError(Exception):
    """The index was rebuilt under a new generation since this process last looked."""


class Index:
    """One process's connection to the index; nothing here is retried but reads and functions safe to repeat."""

    def __init__(self, url: str) -> None:
        limits: dict[str, Any] = {
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
        }
        if url.startswith("unix:"):
            del limits["socket_keepalive"]
        self._redis: Any = Redis.from_url(url, socket_timeout=2, **limits)
        self._blocking: Any = Redis.from_url(url, socket_timeout=3, **limits)
        self._generation: str | None = None
        self._bound = False
        self._down_until_s = 0.0

    def at(self, generation: str) -> Index:
        """Return this connection bound to a generation, the one that is being built."""
        bound = copy.copy(self)
        bound._generation = generation
        bound._bound = True
        return bound

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._blocking.aclose()

    async def ping(self) -> None:
        """Ask for a sign of life.

        Raises:
            RedisUnavailable: If there is none.
        """
        self._down_until_s = 0.0
        async with self._translated():
            await self._redis.ping()

    async def refuse_unsafe(self) -> None:
        """Check version and eviction policy, and load the functions.

        Raises:
            StoreRefused: If Redis is too old for functions, or would evict keys.
            RedisUnavailable: If it does not answer.
        """
        async with self._translated():
            info = await self._redis.info()
            version = str(info.get("valkey_version") or info["redis_version"])
            if int(version.split(".")[0]) < MIN_MAJOR_VERSION:
                raise StoreRefused(f"Redis must be version {MIN_MAJOR_VERSION} or newer, is {version}")
            if (policy := info.get("maxmemory_policy")) != "noeviction":
                raise StoreRefused(f"Redis must have maxmemory-policy noeviction, has {policy}")
            await self._load_functions()

    async def generation(self) -> str:
        """Return the current generation.

        Raises:
            IndexEmpty: If there is none, so that the index must be rebuilt.
        """
        async with self._translated():
            current = await self._redis.get(GENERATION)
        if current is None:
            raise IndexEmpty("the index is empty")
        self._generation = current.decode()
        return self._generation

    async def call(self, function: str, *arguments: str | bytes | int | float) -> Any:
        """Call a function of the library whose first argument is the generation, which is filled in here.

        Raises:
            StaleEpoch: If a higher epoch has been seen.
            RedisUnavailable: If the answer is unknown or Redis refuses to write.
        """
        for _ in range(3):
            generation = self._generation or await self.generation()
            try:
                return await self.call_plain(function, generation, *arguments)
            except _OldGenerationError:
                if self._bound:
                    break
                self._generation = None
        raise RedisUnavailable("the index is being rebuilt again and again")

    async def call_plain(self, function: str, *arguments: str | bytes | int | float) -> Any:
        """Call a function of the library that is not bound to a generation.

        Raises:
            StaleEpoch: If a higher epoch has been seen.
            RedisUnavailable: If the answer is unknown or Redis refuses to write.
        """
        async with self._translated():
            try:
                return await self._redis.fcall(f"lth_{function}", 0, *arguments)
            except ResponseError as error:
                if "Function not found" not in str(error):
                    raise
            await self._load_functions()
            return await self._redis.fcall(f"lth_{function}", 0, *arguments)

    async def read(self, queue: Queue) -> list[Any]:
        """Run queued reads in one round trip and return their answers, all of one generation.

        Raises:
            IndexEmpty: If the index must be rebuilt.
            RedisUnavailable: If Redis does not answer.
        """
        for _ in range(3):
            generation = self._generation or await self.generation()
            async with self._translated():
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.get(GENERATION)
                queue(pipeline, f"lth:{generation}:")
                current, *answers = await pipeline.execute()
            if self._bound or (current is not None and current.decode() == generation):
                return list(answers)
            self._generation = None
        raise RedisUnavailable("the index is being rebuilt again and again")

    async def read_one(self, queue: Queue) -> Any:
        """Run one queued read and return its answer; errors as in `read`."""
        return (await self.read(queue))[0]

    async def wait_for_bell(self, position: str) -> tuple[str, list[str]]:
        """Wait up to a second for news after a position of the bell, `$` meaning from now on.

        Returns:
            The new position and what rang: `queue`, `derive` or `search/tenant`.
        """
        generation = self._generation or await self.generation()
        stream = f"lth:{generation}:bell"
        async with self._translated():
            if position == "$":
                last = await self._redis.xrevrange(stream, count=1)
                return (last[0][0].decode() if last else "0-0"), []
            answer = await self._blocking.xread({stream: position}, block=BLOCK_MS)
        if not answer:
            await self.generation()
            return position, []
        entries = _entries(answer)
        return entries[-1][0].decode(), [fields[b"what"].decode() for _, fields in entries]

    async def _load_functions(self) -> None:
        source = importlib.resources.files("service.store").joinpath("functions.lua").read_text()
        await self._redis.function_load(source, replace=True)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Turn Redis' errors into ours; anything but an answer is unknown."""
        if time.monotonic() < self._down_until_s:
            raise RedisUnavailable("Redis did not answer a moment ago")
        try:
            yield
        except ResponseError as error:
            raise self._refusal(str(error)) from error
        except (RedisError, OSError, TimeoutError) as error:
            self._down_until_s = time.monotonic() + PAUSE_AFTER_FAILURE_S
            raise RedisUnavailable(f"Redis does not answer: {type(error).__name__}") from error

    def _refusal(self, text: str) -> Exception:
        code, _, detail = text.partition(" ")
        if code == "STALE":
            return StaleEpoch(detail)
        if code == "OLDGEN":
            return _OldGenerationError(detail)
        if code in ("NOGEN", "NOEPOCH"):
            self._generation = self._generation if self._bound else None
            return IndexEmpty(detail)
        return RedisUnavailable(f"Redis refuses: {text}")

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[Any]:
        """Lend the client itself, with errors turned into ours."""
        async with self._translated():
            yield self._redis


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Unwrap the entries of the one stream of an XREAD, in either protocol's form."""
    if isinstance(answer, dict):
        (value,) = answer.values()
        return list(value[0]) if value and isinstance(value[0], list) else list(value)
    return list(answer[0][1])
