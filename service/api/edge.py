"""The outermost layer around every request: its id, its size, its guard, its log line, and the honest 500."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lth_core.keys import ulid
from service.api.context import Services
from service.api.errors import ApiError, problem, translate
from service.api.guards import check_same_machine

MAX_DRAINED_BYTES = 64 * 1024 * 1024
MAX_DRAIN_S = 5.0
PROBLEM_MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED = 499
"""Status under which a request is counted whose caller left before the answer."""
UPLOAD = ("POST", "/v1/tickets")
_QUIET_ROUTES = frozenset({"/healthz", "/readyz"})
_log = structlog.get_logger("lth.api")


def problem_response(scope: Scope, error: ApiError) -> JSONResponse:
    """Return the answer for a refusal of this request."""
    document = problem(error, instance=quote(scope["path"]), request_id=scope["state"]["request_id"])
    headers = {**error.headers, "Content-Type": PROBLEM_MEDIA_TYPE, "Cache-Control": "no-store"}
    return JSONResponse(document, error.status, headers=headers)


class Edge:
    """ASGI middleware; what it adds to the scope's state: `request_id`, and `headers` for the answer.

    Args:
        app: The application inside.
        services: What the application runs on.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = f"req_{ulid(datetime.now(UTC), os.urandom(10))}"
        state["headers"] = {}
        begin = time.perf_counter()
        answer = _Answer(send, state)
        try:
            await self._serve(scope, receive, answer)
        finally:
            self._record(scope, answer.status, time.perf_counter() - begin)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        body = _Body(receive, self._bound_of(scope))
        try:
            self._check(scope)
            await self._app(scope, body.receive, answer.send)
        except ApiError as error:
            if error.code == "body_too_large":
                await body.drain()
            await problem_response(scope, error)(scope, receive, answer.send)
        except ClientDisconnect:
            return
        except Exception as failure:
            known = translate(failure)
            if known is None:
                self._services.metrics.unexpected.inc()
                _log.exception("unexpected", request_id=scope["state"]["request_id"], route=route_of(scope))
            if answer.status:
                raise
            refusal = known or ApiError("unexpected", "the service did not foresee this error; it has been logged")
            await problem_response(scope, refusal)(scope, receive, answer.send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._services.guarded and "authorization" not in headers:
            check_same_machine(headers)
        length = headers.get("content-length", "0")
        bound = self._bound_of(scope)
        if not (length.isascii() and length.isdigit()) or int(length) > bound:
            raise too_large(bound)

    def _bound_of(self, scope: Scope) -> int:
        """Return how many bytes the body of a request may have: only an upload may be large."""
        settings = self._services.settings
        is_upload = (scope["method"], scope["path"]) == UPLOAD
        return settings.quota_upload_bytes if is_upload else settings.quota_body_bytes

    def _record(self, scope: Scope, status: int, duration_s: float) -> None:
        route = route_of(scope)
        status = status or CLIENT_CLOSED
        self._services.metrics.observe(route, scope["method"], status, duration_s)
        if route in _QUIET_ROUTES:
            return
        state = scope["state"]
        _log.info(
            "request",
            request_id=state["request_id"],
            method=scope["method"],
            route=route,
            status=status,
            duration_ms=round(duration_s * 1000, 2),
            tenant=state.get("tenant"),
        )


def too_large(bound: int) -> ApiError:
    """Return the refusal of a body over the bound."""
    return ApiError("body_too_large", f"a body may have at most {bound} bytes")


def route_of(scope: Scope) -> str:
    """Return the template of the route that was chosen, such as `/v1/searches/{search_id}`."""
    return getattr(scope.get("route"), "path", "unmatched")


class _Body:
    """The request's body, counted while it is read."""

    def __init__(self, receive: Receive, bound: int) -> None:
        self._receive = receive
        self._bound = bound
        self._size_bytes = 0
        self._done = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._size_bytes += len(message.get("body", b""))
            self._done = not message.get("more_body", False)
            if self._size_bytes > self._bound:
                raise too_large(self._bound)
        else:
            self._done = True
        return message

    async def drain(self) -> None:
        """Read what is left, within bounds, so that the client is done sending and reads the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DRAIN_S):
                while not self._done and self._size_bytes <= MAX_DRAINED_BYTES:
                    with suppress(ApiError):
                        await self.receive()


class _Answer:
    """The answer on its way out: notes its status and adds the headers that every answer carries."""

    def __init__(self, send: Send, state: dict[str, Any]) -> None:
        self._send = send
        self._state = state
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._state["request_id"]
            headers["X-Content-Type-Options"] = "nosniff"
            for name, value in self._state["headers"].items():
                headers[name] = value
        await self._send(message)
