"""What a caller may use: catalog, presets, data sets, and who the caller is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from lth_core.catalog import catalog
from lth_core.presets import PRESETS
from service.api import docs, schemas_service
from service.api.context import Reader
from service.api.errors import ApiError
from service.api.params import IfNoneMatch
from service.api.responses import as_json, degraded_header
from service.store.errors import UnknownDataset
from service.store.jobs import REPORTS, SEARCH_ANALYSES, TICKET_ANALYSES

_ANSWERS = {**docs.also(304, "It has not changed."), **docs.problems()}
router = APIRouter(tags=["catalog"])
Name = Annotated[str, Path(description="A name.", json_schema_extra={"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"})]


@router.get("/v1/catalog", response_model=schemas_service.Catalog, responses=_ANSWERS)
async def get_catalog(request: Request, _: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """Show the legal values of every choice, whether this service supports them, and what it derives of results."""
    analyses = {"search": SEARCH_ANALYSES, "ticket": TICKET_ANALYSES}
    shown = {**catalog(), "analyses": analyses, "reports": REPORTS}
    return as_json(request, shown, if_none_match=if_none_match, etag=True)


@router.get("/v1/presets", response_model=schemas_service.PresetList, responses=_ANSWERS)
async def list_presets(request: Request, _: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """List the presets with what each one asks for."""
    data = [_preset_head(name) for name in PRESETS]
    return as_json(request, {"data": data}, if_none_match=if_none_match, etag=True)


@router.get("/v1/presets/{name}", response_model=schemas_service.Preset, responses=_ANSWERS)
async def get_preset(request: Request, _: Reader, name: Name, if_none_match: IfNoneMatch = None) -> Response:
    """Show a preset: a whole body, ready to POST."""
    if name not in PRESETS:
        raise ApiError("not_found", "there is no such preset")
    preset = PRESETS[name]().model_dump(mode="json")
    return as_json(request, preset, if_none_match=if_none_match, etag=True)


@router.get("/v1/datasets", response_model=schemas_service.DatasetList, responses=_ANSWERS)
async def list_datasets(request: Request, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """List the registered data sets."""
    data = await caller.record.datasets()
    headers = degraded_header(data)
    return as_json(request, {"data": data}, headers=headers, if_none_match=if_none_match, etag=True)


@router.get("/v1/datasets/{name}", response_model=schemas_service.Dataset, responses=_ANSWERS)
async def get_dataset(request: Request, caller: Reader, name: Name, if_none_match: IfNoneMatch = None) -> Response:
    """Show a registered data set: its digest, shape, classes and sizes."""
    try:
        dataset = await caller.record.dataset(name)
    except UnknownDataset:
        raise ApiError("not_found", "there is no such data set") from None
    return as_json(request, dataset, if_none_match=if_none_match, etag=True)


@router.get("/v1/me", response_model=schemas_service.Me, responses=docs.problems())
async def get_me(request: Request, caller: Reader) -> Response:
    """Show who the caller is to the service."""
    who = caller.principal
    answer = {"object": "me", "tenant": who.tenant, "key": who.key_id, "scopes": sorted(who.scopes)}
    return as_json(request, answer)


@router.get("/v1/quota", response_model=schemas_service.Quota, responses=docs.problems())
async def get_quota(request: Request, caller: Reader) -> Response:
    """Show the limits of the caller's tenant, and what it uses of them now."""
    own = caller.services.settings
    limits = {
        "lineages_per_search": own.quota_lineages,
        "running_lineages": own.quota_running_lineages,
        "live_searches": own.quota_live_searches,
        "body_bytes": own.quota_body_bytes,
        "upload_bytes": own.quota_upload_bytes,
        "streams_per_key": own.quota_streams,
    }
    used = await caller.record.quota(caller.tenant)
    use = {"live_searches": used["live_searches"]}
    rates = {"post_per_minute": own.rate_posts, "get_per_minute": own.rate_gets}
    return as_json(request, {"object": "quota", "limits": limits, "use": use, "rates": rates})


def _preset_head(name: str) -> dict[str, Any]:
    submission = PRESETS[name]()
    spec = submission.spec
    return {
        "name": name,
        "description": (PRESETS[name].__doc__ or "").partition("\n")[0],
        "model": spec.model.name,
        "dataset": spec.dataset.name,
        "lineages": spec.num_lineages,
        "levels": spec.num_levels,
        "url": f"/v1/presets/{name}",
    }
