"""The application: built by a factory from its settings, with everything it holds in its lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from lth_core.spec import Submission
from service.api import docs
from service.api.bodies import CancelRequest, KeyRequest, ScaleRequest
from service.api.context import Services, binds_loopback
from service.api.edge import Edge
from service.api.errors import STATUS_CODES, ApiError
from service.api.responses import encode
from service.api.routes import (
    admin,
    catalog,
    cluster,
    derived,
    downloads,
    events,
    health,
    lineages,
    searches,
    tickets,
    uploads,
)
from service.api.schemas import Analysis
from service.api.uploading import UploadManifest
from service.api.validation import parameter_problem
from service.settings import Settings
from service.store.record import Record

DESCRIPTION = """Submit a search for lottery tickets (Frankle & Carbin, ICLR 2019), watch it, and download the
masks with the weights to rewind to, verified and with their statistics.

A *search* expands into *lineages* (one replicate of one setting and treatment), each a chain of *levels*; the mask
and rewind weights of a committed level are a *ticket*."""
PUBLIC = (health, searches, lineages, events, tickets, downloads, derived, uploads, catalog, cluster)


def create_app(settings: Settings, record: Record | None = None) -> FastAPI:
    """Build the public application.

    Args:
        settings: How this process is configured. On a loopback `listen` no API key is needed; elsewhere it is.
        record: An open record to use, which stays the caller's; without one the lifespan opens and closes its own.
    """
    local = binds_loopback(settings.listen)
    services = Services(settings, guarded=local, open_access=local)
    return _build(
        services, record, [room.router for room in PUBLIC], (Submission, CancelRequest, UploadManifest, Analysis)
    )


def create_admin_app(settings: Settings, record: Record, services: Services | None = None) -> FastAPI:
    """Build the application of the admin listener; who reaches it may administer, so it binds to this machine only.

    Args:
        settings: How this process is configured.
        record: An open record; it stays the caller's.
        services: Those of the public application, to share its metrics and its end.
    """
    own = Services(settings, admin=True, guarded=not settings.admin_listen.startswith("/"), open_access=True)
    if services is not None:
        own.metrics, own.draining = services.metrics, services.draining
    return _build(own, record, [health.router, admin.router], (KeyRequest, ScaleRequest))


def _build(
    services: Services, record: Record | None, routers: Sequence[APIRouter], bodies: Sequence[type[BaseModel]]
) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        own = await Record.open(services.settings) if record is None else None
        services.use(record or own)
        try:
            yield
        finally:
            services.draining.set()
            if own is not None:
                await own.close()

    app = FastAPI(
        title="Lottery ticket search",
        summary="Winning tickets as a service.",
        description=DESCRIPTION,
        version=health.version_text(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False},
        middleware=[Middleware(Edge, services=services)],
        exception_handlers={
            HTTPException: _raise_http_problem,
            RequestValidationError: _raise_parameter_problem,
        },
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.routes = [route for router in routers for route in router.routes]
    for router in routers:
        app.include_router(router)
    _serve_document(app, bodies)
    return app


def _serve_document(app: FastAPI, bodies: Sequence[type[BaseModel]]) -> None:
    built: list[bytes] = []

    def document() -> dict[str, Any]:
        return docs.document(app, bodies)

    async def serve(_: Request) -> Response:
        """Serve the OpenAPI document, built once."""
        if not built:
            built.append(encode(app.openapi()))
        return Response(built[0], media_type="application/json")

    app.openapi = document  # type: ignore[method-assign]
    app.add_api_route("/openapi.json", serve, methods=["GET"], include_in_schema=False)


async def _raise_http_problem(request: Request, error: Exception) -> Response:
    """Turn the framework's refusals into problems; `Allow` names every method of the path."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
        raise ApiError("method_not_allowed", f"allowed here: {headers['Allow']}", headers=headers)
    code = STATUS_CODES.get(error.status_code, "unexpected")
    detail = "there is no such resource" if code == "not_found" else error.detail
    raise ApiError(code, detail, headers=headers)


async def _raise_parameter_problem(_: Request, error: Exception) -> Response:
    """Turn the framework's validation errors of parameters into a problem."""
    assert isinstance(error, RequestValidationError)
    raise parameter_problem(error)


def _methods(request: Request) -> list[str]:
    path = request.scope["path"]
    matching = (route for route in request.app.state.routes if route.path_regex.match(path))
    return sorted({method for route in matching for method in route.methods} or {"GET"})
