"""Lineages of a search, their levels, and the curves through them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from service.api import cursors, curves, docs, params, schemas
from service.api.context import Reader
from service.api.errors import ApiError
from service.api.negotiation import choose
from service.api.responses import as_json, as_page, degraded_header

router = APIRouter(tags=["lineages"])


@router.get("/v1/searches/{search_id}/lineages", response_model=schemas.LineagePage, responses=docs.problems())
async def list_lineages(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    limit: params.Limit = 50,
    after: params.After = None,
    status: params.LineageStatus = None,
    treatment: params.Treatment = None,
    replicate: Annotated[int | None, Query(ge=0, le=2**53, description="Only this replicate.")] = None,
    setting: Annotated[int | None, Query(ge=0, le=2**53, description="Only this cell of the grid.")] = None,
) -> Response:
    """List a search's lineages, in the order of the expansion."""
    page = await caller.record.lineages(
        caller.tenant,
        search_id,
        limit=limit,
        after=cursors.decode("lineages", after),
        status=status,
        treatment=treatment,
        replicate=replicate,
        setting=setting,
    )
    next_after = page.next_after and cursors.encode("lineages", page.next_after)
    return as_page(request, page.data, next_after, headers=degraded_header(page))


@router.get("/v1/searches/{search_id}/lineages/{lineage_id}", response_model=schemas.Lineage, responses=docs.problems())
async def get_lineage(
    request: Request, caller: Reader, search_id: params.SearchId, lineage_id: params.LineageId
) -> Response:
    """Show one lineage."""
    return as_json(request, await caller.record.lineage(caller.tenant, search_id, lineage_id))


@router.get(
    "/v1/searches/{search_id}/lineages/{lineage_id}/levels",
    response_model=schemas.LevelPage,
    responses=docs.problems(),
)
async def list_levels(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    lineage_id: params.LineageId,
    limit: params.Limit = 50,
    after: params.After = None,
) -> Response:
    """List a lineage's levels, from the dense one on."""
    position = cursors.decode("levels", after)
    levels = await caller.record.levels(caller.tenant, search_id, lineage_id)
    rest = [level for level in levels if position is None or level["level"] > _number(position)]
    page = rest[:limit]
    more = len(rest) > limit
    next_after = cursors.encode("levels", str(page[-1]["level"])) if more else None
    return as_page(request, page, next_after, headers=degraded_header(levels))


@router.get(
    "/v1/searches/{search_id}/lineages/{lineage_id}/levels/{number}",
    response_model=schemas.Level,
    responses=docs.problems(),
)
async def get_level(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    lineage_id: params.LineageId,
    number: params.LevelNumber,
) -> Response:
    """Show one level: exact counts, metrics, digests."""
    if not (number.isascii() and number.isdigit() and len(number) <= 2 and str(int(number)) == number):
        raise ApiError("not_found", "there is no such level")
    return as_json(request, await caller.record.level(caller.tenant, search_id, lineage_id, int(number)))


@router.get(
    "/v1/searches/{search_id}/curves",
    response_model=schemas.Curves,
    responses={
        200: {"description": "By `Accept` JSON or CSV.", "content": {"text/csv": {"schema": {"type": "string"}}}},
        **docs.problems(),
    },
)
async def get_curves(
    request: Request,
    caller: Reader,
    search_id: params.SearchId,
    format: Annotated[Literal["json", "csv"] | None, Query(description="Wins over `Accept`.")] = None,  # noqa: A002
) -> Response:
    """Show the metrics of every committed level of a search, ready to plot."""
    media_type = f"{'text' if format == 'csv' else 'application'}/{format}" if format else None
    media_type = media_type or choose(request.headers.get("accept"), ("application/json", "text/csv"))
    table = await curves.table(caller.record, caller.tenant, search_id)
    if media_type == "text/csv":
        return Response(curves.as_csv(table), media_type="text/csv", headers={"Vary": "Accept"})
    return as_json(request, curves.as_document(search_id, table), headers={"Vary": "Accept"}, chosen=True)


def _number(position: str) -> int:
    if not (position.isascii() and position.isdigit() and len(position) <= 3):
        raise ApiError("bad_cursor", "the cursor was not issued for this list")
    return int(position)
