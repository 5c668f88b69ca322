"""Administration, on a listener of its own: API keys, bounds of the engines, and the index written anew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.api import docs, examples, schemas_cluster, schemas_service
from service.api.bodies import KeyRequest, ScaleRequest, read_json
from service.api.context import Admin
from service.api.errors import ApiError
from service.api.responses import as_json
from service.api.validation import refuse, validate
from service.store import clock
from service.store.keys import is_key_id

router = APIRouter(tags=["admin"])
KeyId = Annotated[str, Path(description="Id of a key.", json_schema_extra={"pattern": "^[0-9A-Za-z]{8}$"})]


@router.post(
    "/admin/v1/keys",
    status_code=201,
    response_model=schemas_service.NewApiKey,
    openapi_extra=docs.body("KeyRequest", examples.API_KEY),
    responses=docs.problems(*docs.BODY),
)
async def create_key(request: Request, caller: Admin) -> Response:
    """Make an API key; its secret is shown in this answer only."""
    wish = validate(KeyRequest, await read_json(request))
    try:
        expires_at = None if wish.expires_at is None else clock.from_text(wish.expires_at)
    except (ValueError, OverflowError):
        detail = "must be an RFC 3339 time with an offset, such as 2026-11-22T09:10:11Z"
        raise refuse("invalid_spec", [{"pointer": "/expires_at", "detail": detail}]) from None
    shown, key = await caller.record.create_api_key(wish.tenant, wish.scopes, name=wish.name, expires_at=expires_at)
    return as_json(request, {**shown, "key": key}, 201)


@router.get("/admin/v1/keys", response_model=schemas_service.ApiKeyList, responses=docs.problems())
async def list_keys(request: Request, caller: Admin) -> Response:
    """List all API keys without their secrets."""
    return as_json(request, {"data": await caller.record.api_keys()})


@router.delete("/admin/v1/keys/{key_id}", status_code=204, response_class=Response, responses=docs.problems())
async def revoke_key(caller: Admin, key_id: KeyId) -> Response:
    """Revoke an API key at once."""
    if not is_key_id(key_id):
        raise ApiError("not_found", "there is no such key")
    await caller.record.revoke_api_key(key_id)
    return Response(status_code=204)


@router.post("/admin/v1/rebuild", response_model=schemas_service.Rebuilt, responses=docs.problems())
async def rebuild(request: Request, caller: Admin) -> Response:
    """Write the index anew from the object store."""
    generation = await caller.record.rebuild()
    return as_json(request, {"object": "rebuild", "generation": generation})


@router.post(
    "/admin/v1/scale",
    response_model=schemas_cluster.Scale,
    openapi_extra=docs.body("ScaleRequest", examples.SCALE),
    responses=docs.problems(*docs.BODY),
)
async def set_scale(request: Request, caller: Admin) -> Response:
    """Bound the engines of device classes; the cluster obeys within seconds, and no busy engine is ended for it."""
    wish = validate(ScaleRequest, await read_json(request))
    return as_json(request, (await caller.record.set_scale(wish.wishes())).document())


@router.get("/admin/v1/scale", response_model=schemas_cluster.Scale, responses=docs.problems())
async def get_scale(request: Request, caller: Admin) -> Response:
    """Show the bounds of the engines."""
    return as_json(request, (await caller.record.scale()).document())


@router.delete("/admin/v1/scale", status_code=204, response_class=Response, responses=docs.problems())
async def reset_scale(caller: Admin) -> Response:
    """Bound no device class any more."""
    await caller.record.reset_scale()
    return Response(status_code=204)
