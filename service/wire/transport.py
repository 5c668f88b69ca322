"""HTTP with patience: requests are repeated after connect errors, 429, 502 and 503, as `Retry-After` asks."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from service.wire.problems import ServiceUnreachable, problem_from

DEFAULT_URL = "http://127.0.0.1:8420"
RETRIED_STATUSES = frozenset({429, 502, 503})
STREAM_SILENCE_S = 60.0  # the service pings every 15 s
_JITTER = random.SystemRandom()


@dataclass(frozen=True)
class RetryPolicy:
    """How long to insist, and how fast.

    Attributes:
        unreachable_s: Give up after this time without any answer.
        refused_s: Give up after this time of answers 429, 502, 503.
        first_pause_s: Pause before the second try; doubles with every try.
        longest_pause_s: Bound of the doubling (`Retry-After` may ask for more).
    """

    unreachable_s: float = 60.0
    refused_s: float = 60.0
    first_pause_s: float = 0.2
    longest_pause_s: float = 8.0

    def pause_s(self, num_tries: int, retry_after_s: float | None) -> float:
        """Pause after `num_tries` failed tries: the asked-for or the doubled time, and up to a quarter more."""
        doubled = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(num_tries - 1, 20))
        return max(doubled, retry_after_s or 0.0) * _JITTER.uniform(1.0, 1.25)


class Tries:
    """Book-keeping of one request over all its tries."""

    def __init__(self, policy: RetryPolicy, url: str) -> None:
        self._policy = policy
        self._url = url
        self._begin = time.monotonic()
        self._num_tries = 0

    def after_error(self, error: httpx2.TransportError) -> float:
        """Pause before the next try.

        Raises:
            ServiceUnreachable: If the patience is used up.
        """
        pause = self._next_pause(None, self._policy.unreachable_s)
        if pause is None:
            reason = str(error) or type(error).__name__
            raise ServiceUnreachable(f"no answer from {self._url}: {reason}") from error
        return pause

    def after_answer(self, response: httpx2.Response) -> float | None:
        """Pause before the next try, or None if this answer is to be taken as it is."""
        if response.status_code not in RETRIED_STATUSES:
            return None
        return self.after_refusal(retry_after_s(response))

    def after_refusal(self, asked_s: float | None) -> float | None:
        """Pause after an answer that may change, or None if the patience is used up."""
        return self._next_pause(asked_s, self._policy.refused_s)

    @property
    def first_pause_s(self) -> float:
        """Pause where nothing went wrong."""
        return self._policy.first_pause_s

    def _next_pause(self, asked_s: float | None, patience_s: float) -> float | None:
        self._num_tries += 1
        pause = self._policy.pause_s(self._num_tries, asked_s)
        return pause if time.monotonic() - self._begin + pause <= patience_s else None


def retry_after_s(response: httpx2.Response) -> float | None:
    """The `Retry-After` header in seconds, whether it is a number or a date."""
    text = response.headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine, so that no proxy may stand between."""
    host = httpx2.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _options(url: str, key: str | None) -> dict[str, Any]:
    headers = {"User-Agent": "lth-client"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx2.Timeout(30.0, connect=5.0, read=60.0)
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": not is_loopback(url)}


_STREAM_TIMEOUT = httpx2.Timeout(30.0, connect=5.0, read=STREAM_SILENCE_S)


class Transport:
    """Blocking requests to one service.

    Args:
        url: Root of the service, without `/v1`.
        key: API key, if the service asks for one.
        policy: Patience with failures.
        socket: Path of a unix socket to speak through (the admin listener).
    """

    def __init__(self, url: str, key: str | None, policy: RetryPolicy, socket: str | None = None) -> None:
        self.url = url
        self._policy = policy
        carrier = httpx2.HTTPTransport(uds=socket) if socket else None
        self._http = httpx2.Client(transport=carrier, **_options(url, key))

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """One answer below 400.

        Raises:
            ProblemError: If the service refused.
            ServiceUnreachable: If it did not answer.
        """
        tries = Tries(self._policy, self.url)
        while True:
            try:
                response = self._http.request(method, path, headers=headers, **options)
            except httpx2.TransportError as error:
                time.sleep(tries.after_error(error))
                continue
            pause = tries.after_answer(response)
            if pause is not None:
                time.sleep(pause)
            elif response.is_success or response.status_code == 304:
                return response
            else:
                raise problem_from(response.status_code, response.content, retry_after_s(response))

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """One try at an answer that is read as it comes; what fails raises `TransportError` or `ProblemError`."""
        with self._http.stream("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as response:
            if not response.is_success:
                raise problem_from(response.status_code, response.read(), retry_after_s(response))
            yield response

    def tries(self) -> Tries:
        """Patience for a caller that repeats by itself."""
        return Tries(self._policy, self.url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """The same for asyncio."""

    def __init__(self, url: str, key: str | None, policy: RetryPolicy) -> None:
        self.url = url
        self._policy = policy
        self._http = httpx2.AsyncClient(**_options(url, key))

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """One answer below 400.

        Raises:
            ProblemError: If the service refused.
            ServiceUnreachable: If it did not answer.
        """
        tries = self.tries()
        while True:
            try:
                response = await self._http.request(method, path, headers=headers, **options)
            except httpx2.TransportError as error:
                await asyncio.sleep(tries.after_error(error))
                continue
            pause = tries.after_answer(response)
            if pause is not None:
                await asyncio.sleep(pause)
            elif response.is_success or response.status_code == 304:
                return response
            else:
                raise problem_from(response.status_code, response.content, retry_after_s(response))

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """One try at an answer that is read as it comes; what fails raises `TransportError` or `ProblemError`."""
        async with self._http.stream("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as response:
            if not response.is_success:
                raise problem_from(response.status_code, await response.aread(), retry_after_s(response))
            yield response

    def tries(self) -> Tries:
        """Patience for a caller that repeats by itself."""
        return Tries(self._policy, self.url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
