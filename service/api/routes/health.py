"""Whether the process lives and can serve, what is running, and what the problem codes mean."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from lth_core.canonical import NUMERICS
from service.api import docs, schemas_service
from service.api.context import services_of
from service.api.errors import PROBLEMS, ApiError, slug
from service.api.responses import as_json

DISTRIBUTION = "lottery-ticket-search"
router = APIRouter(tags=["service"])


@router.get("/healthz", response_model=schemas_service.Health, responses=docs.problems())
async def get_health(request: Request) -> Response:
    """Say that the process lives; nothing else is looked at."""
    return as_json(request, {"status": "ok"})


@router.get("/readyz", response_model=schemas_service.Health, responses=docs.problems())
async def get_readiness(request: Request) -> Response:
    """Say whether the service can serve anything: `ok`, `degraded`, or 503."""
    services = services_of(request)
    if services.draining.is_set():
        raise ApiError("draining", "the service is stopping")
    up = await services.record.health()
    if not any(up.values()):
        raise ApiError("store", "neither the index nor the object store answers")
    return as_json(request, {"status": "ok" if all(up.values()) else "degraded", **up})


@router.get("/version", response_model=schemas_service.Version, responses=docs.problems())
async def get_version(request: Request) -> Response:
    """Show what is running."""
    version = {"name": DISTRIBUTION, "version": version_text(), "api": "v1", "numerics": NUMERICS}
    return as_json(request, version)


@router.get("/problems/{slug}", response_model=schemas_service.ProblemPage, responses=docs.problems())
async def get_problem(
    request: Request,
    name: Annotated[
        str,
        Path(
            alias="slug",
            description="Last part of a problem's `type`.",
            json_schema_extra={"enum": [slug(code) for code in PROBLEMS]},
        ),
    ],
) -> Response:
    """Explain a problem code."""
    code = name.replace("-", "_")
    if code not in PROBLEMS or slug(code) != name:
        raise ApiError("not_found", "there is no such problem code")
    kind = PROBLEMS[code]
    page = {"type": f"/problems/{name}", "code": code, "status": kind.status, "title": kind.title}
    return as_json(request, {**page, "advice": kind.advice})


def version_text() -> str:
    """Return the installed version, or 0 where the service runs from a bare folder."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"
