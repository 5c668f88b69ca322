"""What the application runs on, and who is calling: the dependencies that every route begins with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant

from service.api.auth import Principal, authenticate
from service.api.errors import ApiError
from service.api.guards import host_of, is_loopback_host
from service.api.limits import RateLimiter, StreamSlots
from service.api.metrics import Metrics
from service.api.validation import refuse
from service.settings import Settings
from service.store.record import Record


@dataclass
class Services:
    """Everything an application holds for its lifetime; nothing of it lives at module level.

    Attributes:
        settings: The process's settings.
        admin: Whether this is the application of the admin listener.
        guarded: Whether requests without a key are served, and must therefore come from this machine itself.
        open_access: Whether a request without a key is served as tenant `local`.
        uploading: Held while an upload is in memory.
        draining: Set when the process is about to end; streams end then.
    """

    settings: Settings
    admin: bool = False
    guarded: bool = False
    open_access: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    limiter: RateLimiter = field(default_factory=RateLimiter)
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    streams: StreamSlots = field(init=False)
    _record: Record | None = None

    def __post_init__(self) -> None:
        self.streams = StreamSlots(self.settings.quota_streams)

    @property
    def record(self) -> Record:
        """The record of searches.

        Raises:
            ApiError: `starting`, before the application has started.
        """
        if self._record is None:
            raise ApiError("starting", "the service is starting")
        return self._record

    def use(self, record: Record | None) -> None:
        """Set the record, when the application starts."""
        self._record = record


def binds_loopback(listen: str) -> bool:
    """Tell whether an address to listen on is a unix path or reachable from this machine only."""
    return listen.startswith("/") or is_loopback_host(host_of(listen))


def services_in(app: FastAPI) -> Services:
    """Return what an application runs on."""
    return cast("Services", app.state.services)


def services_of(request: Request) -> Services:
    """Return what the application of a request runs on."""
    return services_in(request.app)


@dataclass(frozen=True)
class Caller:
    """An authenticated, rate-limited caller of one request."""

    services: Services
    principal: Principal

    @property
    def tenant(self) -> str:
        """Whose objects the caller sees."""
        return self.principal.tenant

    @property
    def record(self) -> Record:
        """The record of searches."""
        return self.services.record


def _known_parameters(dependant: Dependant) -> set[str]:
    names: set[str] = set()
    for own in dependant.query_params:
        names.add(own.alias)
    return names.union(*(_known_parameters(inner) for inner in dependant.dependencies))


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know, and ones given twice: nothing is ignored silently.

    Raises:
        ApiError: `bad_filter`.
    """
    given = [name for name, _ in request.query_params.multi_items()]
    if not given:
        return
    known = _known_parameters(cast("Any", request.scope["route"]).dependant)
    for name in given:
        if name not in known:
            detail = f"is not a parameter here; known are {', '.join(sorted(known)) or 'none'}"
            raise refuse("bad_filter", [{"pointer": name[:60], "detail": detail}])
        if given.count(name) > 1:
            raise refuse("bad_filter", [{"pointer": name, "detail": "is given twice"}])


def _caller(scope: str, kind: str) -> Callable[[Request], Awaitable[Caller]]:
    async def dependency(request: Request) -> Caller:
        services = services_of(request)
        principal = await authenticate(request, services)
        request.state.tenant = principal.tenant
        principal.require(scope)
        quota = services.settings.rate_gets if kind == "read" else services.settings.rate_posts
        standing = services.limiter.take(kind, principal.name, quota)
        request.state.headers.update(standing.headers())
        refuse_unknown_parameters(request)
        return Caller(services, principal)

    return dependency


Reader = Annotated[Caller, Depends(_caller("read", "read"))]
"""A caller who may read."""
Writer = Annotated[Caller, Depends(_caller("write", "write"))]
"""A caller who may submit and cancel."""
Estimator = Annotated[Caller, Depends(_caller("read", "write"))]
"""A caller who may read, by a POST that counts as one."""
Admin = Annotated[Caller, Depends(_caller("admin", "write"))]
"""A caller who may administer the service."""
